"""PDF: words and mail addresses that go over the end of a line are whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualtrack.knowledge.pii.mask import mask_parts
from tests.integration.test_kb_formats import pdf
from tests.integration.test_kb_tables import read


def lines(*said: str) -> bytes:
    return pdf(") Tj 0 -14 Td (".join(said))


def test_words_over_the_end_of_a_line(python: Path) -> None:
    texts = {
        ("for infor-", "mation"): "for information", ("tel 0755-", "23456789"): "tel 0755-\n23456789",
        ("a -", "b"): "a -\nb", ("one", "-two"): "one\n-two", ("A1-", "B2"): "A1-\nB2", ("see", "@bo"): "see\n@bo",
        ("It ends here.", "Company"): "It ends here.\nCompany",
    }  # fmt: skip
    found = read(python, "pdf", [lines(*it) for it in texts])
    assert [blocks for blocks, _ in found] == [[it] for it in texts.values()]


def test_an_address_is_masked_wherever_its_line_ends(python: Path) -> None:
    """With a hyphen within a word, and without one at each sign."""
    name, host, top = "li.wei", "huawei", "com"
    whole = f"{name}@{host}.{top}"
    broken = [(f"{name}@{host[:at]}-", f"{host[at:]}.{top} for") for at in range(1, len(host))]
    broken += [(f"{name}@", f"{host}.{top} for"), (name, f"@{host}.{top} for"), (f"{name}@{host}.", f"{top} for")]
    found = read(python, "pdf", [lines("write to", *it) for it in broken])
    for it, (blocks, _) in zip(broken, found, strict=True):
        assert whole in blocks[0], it
        assert mask_parts(blocks)[0] == ["write to\n[email] for"], it


CHINESE = "电话与护照号码请向人事部查询"
#: Chinese fonts that programs do not put into documents, with how a character of theirs is written.
FONTS = {
    "STSong-Light": ("UniGB-UCS2-H", "GB1", "utf-16-be"), "SimSun": ("GBK-EUC-H", "GB1", "gbk"),
    "MSung-Light": ("UniCNS-UCS2-H", "CNS1", "utf-16-be"), "HeiseiMin-W3": ("UniJIS-UCS2-H", "Japan1", "utf-16-be"),
}  # fmt: skip


def drawn(*contents: str, font: str = "STSong-Light", of_latin: str = "") -> bytes:
    """Return a document with pages, that may have texts of a Chinese font (F6) and of a Latin one (F1)."""
    encoding, ordering, _ = FONTS[font]
    objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Count {len(contents)}/Kids[{' '.join(f'{6 + 2 * at} 0 R' for at in range(len(contents)))}]>>",
        of_latin or "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        f"<</Type/Font/Subtype/Type0/BaseFont/{font}/Encoding/{encoding}/DescendantFonts[5 0 R]>>",
        f"<</Type/Font/Subtype/CIDFontType0/BaseFont/{font}/CIDSystemInfo<</Registry(Adobe)/Ordering({ordering})"
        "/Supplement 4>>/FontDescriptor<</Type/FontDescriptor/FontName/F/Flags 6/FontBBox[-25 -254 1000 880]"
        "/ItalicAngle 0/Ascent 752/Descent -271/CapHeight 737/StemV 58>>>>",
    ]
    for at, content in enumerate(contents):
        objects += [
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents {7 + 2 * at} 0 R"
            "/Resources<</Font<</F1 3 0 R/F6 4 0 R>>>>>>",
            f"<</Length {len(content)}>>stream\n{content}\nendstream",
        ]
    made = "%PDF-1.4\n" + "".join(f"{at} 0 obj\n{it}\nendobj\n" for at, it in enumerate(objects, 1))
    return f"{made}trailer<</Size {len(objects) + 1}/Root 1 0 R>>\n%%EOF".encode()


def chinese(said: str, step: int, font: str) -> str:
    """Return what draws a text, so many characters at a time."""
    parts = [said[at : at + step].encode(FONTS[font][2]).hex() for at in range(0, len(said), step)]
    return f"BT /F6 12 Tf 72 700 Td {f' {12 * step} 0 Td '.join(f'<{it}> Tj' for it in parts)} ET "


LATIN = "BT /F1 12 Tf 72 500 Td (in Latin) Tj ( ) Tj ET "


@pytest.mark.parametrize("font", FONTS)
def test_characters_that_are_drawn_alone_are_not_lost_without_a_word(python: Path, font: str) -> None:
    alone, pairs = chinese(CHINESE, 1, font), chinese(CHINESE, 2, font)
    documents = [drawn(it, LATIN, font=font) for it in (alone + LATIN, pairs + LATIN)]
    said = "1 of 2 pages, whose text is in fonts that are not in the document"
    ((one, told), (other, nothing)) = read(python, "pdf", documents)
    assert (one, told) == (["in Latin"], [said])
    if font in ("STSong-Light", "SimSun"):
        assert (other[0].startswith(CHINESE), nothing) == (True, [])
    refused = read(python, "pdf", [drawn(alone, font=font)], refused=True)
    assert refused[0][1] == ["its text is in fonts that are not in the document: print it anew with its fonts in it"]


def test_glyphs_without_characters_are_told(python: Path) -> None:
    """A font of two bytes a glyph that has no map, as programs make for a part of a font."""
    font = (
        "<</Type/Font/Subtype/Type0/BaseFont/AAAAAA+X/Encoding/Identity-H/DescendantFonts[<</Type/Font/Subtype"
        "/CIDFontType2/BaseFont/AAAAAA+X/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>"
        "/DW 600/FontDescriptor<</Type/FontDescriptor/FontName/AAAAAA+X/Flags 4/FontBBox[0 -200 900 900]"
        "/ItalicAngle 0/Ascent 800/Descent -200/CapHeight 700/StemV 80>>>>]>>"
    )
    glyphs = "BT /F1 12 Tf 72 500 Td <00300031003200330034> Tj ET "
    pages = [drawn(glyphs, chinese(CHINESE, 2, "STSong-Light"), of_latin=font), drawn(glyphs, of_latin=font)]
    ((said, left), (none, refused)) = read(python, "pdf", pages, refused=True)
    reason = "in fonts that do not say which characters they have"
    assert (said, left) == ([CHINESE], [f"1 of 2 pages, whose text is {reason}"])
    partly = drawn(f"{chinese(CHINESE * 20, 2, 'STSong-Light')} BT /F1 12 Tf 72 500 Td <0030> Tj ET ", of_latin=font)
    ((said, left),) = read(python, "pdf", [partly])
    assert (CHINESE in said[0], left) == (True, ["1 pages with characters of which is not known what they are"])
    assert (none, refused) == ([], [f"its text is {reason}: print it anew with its fonts in it"])
