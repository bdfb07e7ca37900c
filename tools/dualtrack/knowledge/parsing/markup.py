"""HTML documents, and the encoding of pages and of texts in mails."""

from __future__ import annotations

import re

from dualtrack.knowledge.parsing import pages, text
from dualtrack.knowledge.parsing.blocks import Parsed, Unreadable

_CHARSET = re.compile(rb"""<meta[^>]{0,200}charset=["']?\s*([A-Za-z0-9_-]{2,40})""", re.I)
#: Two bytes that are one character: in UTF-8, GB18030, Big5, Shift JIS, EUC, and UTF-16.
_ONE_CHARACTER = (b"\xc3\xa9", b"\xc4\xe3", b"\xa4\xa4", b"\x82\xa0", b"\xb0\xa1", b"A\0")


def html(data: bytes) -> Parsed:
    """Return the title, headings, texts and tables of a page, in order, and the words that stand for its pictures."""
    return pages.read(decoded(data))


def decoded(data: bytes, name: str = "") -> str:
    """Return a page as text: by what a mail or the page says of it, which must be true, or as any text."""
    if text.has_mark(data):
        return text.decoded(data)
    if not name and (said := _CHARSET.search(data[:4096])):
        name = said[1].decode().lower()
    if name:
        if _is_another(data, name):
            raise Unreadable(f"it says that it is {name}, and looks like another encoding: convert it to UTF-8")
        try:
            return data.decode("gb18030" if name in ("gbk", "gb2312", "gb_2312-80") else name).lstrip(text.BOM)
        except (UnicodeDecodeError, LookupError):
            raise Unreadable(f"it says that it is {name}, and is not") from None
    return text.decoded(data)


def _is_another(data: bytes, name: str) -> bool:
    """Tell whether a text is of UTF-8, GB18030 or Big5 and called one of those in which any byte is a character."""
    if data.isascii() or not _has_bytes_for_characters(name):
        return False
    try:
        text.decoded(data)
    except Unreadable:
        return False
    return True


def _has_bytes_for_characters(name: str) -> bool:
    """Tell whether an encoding has 256 characters: what is one character in any other one are two."""
    try:
        return all(len(it.decode(name, "replace")) == len(it) for it in _ONE_CHARACTER)
    except (LookupError, ValueError):
        return False
