"""What of a PDF page has no text, though it is drawn: PDFium is asked, so that nothing is lost without a word.

- A font without a map of its glyphs to characters: what comes out are the numbers of glyphs, which look like a text.
- A font that is not in the document, of Chinese and others with thousands of characters: without its glyphs PDFium
  leaves out what is drawn one character at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

#: The share of characters without a text from which on a page is not read.
MOST_WITHOUT_TEXT = 0.02
#: Points that an object has to be wide to be read, and forms in forms that are looked into.
NARROWEST, DEEPEST = 0.001, 16
#: The number of a character that fonts of 256 characters do not have, and the size at which its width is asked for.
_BEYOND, _SIZE = 0xB5C4, 12.0


def unread(page: Any, share: float) -> str:
    """Return why a page cannot be read, as a sentence's end; empty where it can. ``share`` is that `without_text`."""
    if share > MOST_WITHOUT_TEXT:
        return "in fonts that do not say which characters they have"
    if any(_is_left_out(it) for it in _texts(page.raw)):
        return "in fonts that are not in the document"
    return ""


def without_text(words: Any) -> float:
    """Return the share of a page's characters of which is not known what they are."""
    import pypdfium2.raw as c

    count = c.FPDFText_CountChars(words.raw)
    wrong = [c.FPDFText_HasUnicodeMapError(words.raw, it) for it in range(count)].count(1)
    return float(wrong / max(count, 1))


def _texts(page: Any) -> Iterator[Any]:
    """Yield the objects of a page that draw text, also those in forms."""
    import pypdfium2.raw as c

    holders = [(c.FPDFPage_CountObjects, c.FPDFPage_GetObject, page, 0)]
    while holders:
        count, get, holder, depth = holders.pop()
        for number in range(max(count(holder), 0)):
            found = get(holder, number)
            kind = c.FPDFPageObj_GetType(found)
            if kind == c.FPDF_PAGEOBJ_TEXT:
                yield found
            elif kind == c.FPDF_PAGEOBJ_FORM and depth < DEEPEST:
                holders.append((c.FPDFFormObj_CountObjects, c.FPDFFormObj_GetObject, found, depth + 1))


def _is_left_out(text: Any) -> bool:
    """Tell whether an object has no width, because of a missing font with more than 256 characters."""
    import pypdfium2.raw as c

    left, bottom, right, top = (c.FS_FLOAT() for _ in range(4))
    known = c.FPDFPageObj_GetBounds(text, left, bottom, right, top)
    if known and right.value - left.value > NARROWEST:
        return False
    font, width = c.FPDFTextObj_GetFont(text), c.FS_FLOAT()
    if not font or c.FPDFFont_GetIsEmbedded(font) == 1:
        return False
    # Fonts of 256 characters have the width of their first one for any other.
    asked = c.FPDFFont_GetGlyphWidth(font, _BEYOND, _SIZE, width)
    return bool(asked) and width.value > 0.9 * _SIZE
