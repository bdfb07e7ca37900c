"""What styles, rows and drawings of a DOCX document hide is not read and said, whatever hides it."""

from __future__ import annotations

import itertools

import pytest

from dualtrack.knowledge.parsing import office
from tests.unit.knowledge.parsing.test_word import INLINE, TOLD, document

VANISH = {None: "", True: "<w:vanish/>", False: '<w:vanish w:val="0"/>'}
GRID = list(itertools.product(VANISH, repeat=4))


def style(kind: str, name: str, said: bool | None, base: str = "") -> str:
    made = f'<w:basedOn w:val="{base}"/>' if base else ""
    return f'<w:style w:type="{kind}" w:styleId="{name}">{made}<w:rPr>{VANISH[said]}</w:rPr></w:style>'


@pytest.mark.parametrize("table", [False, True], ids=["paragraph", "cell"])
def test_text_is_hidden_as_the_nearest_one_says(table: bool) -> None:
    """Of the text itself, its own style, the style of its paragraph, and what all text has."""
    for own, character, paragraph, default in GRID:
        sheet = (
            f"<w:docDefaults><w:rPrDefault><w:rPr>{VANISH[default]}</w:rPr></w:rPrDefault></w:docDefaults>"
            + style("character", "CB", character) + style("character", "C", None, "CB")
            + style("paragraph", "PB", paragraph) + style("paragraph", "P", None, "PB")
        )  # fmt: skip
        body = (
            '<w:p><w:pPr><w:pStyle w:val="P"/></w:pPr><w:r><w:rPr><w:rStyle w:val="C"/>'
            f"{VANISH[own]}</w:rPr><w:t>hid</w:t></w:r></w:p>"
        )
        if table:
            body = f"<w:tbl><w:tr><w:tc>{body}</w:tc></w:tr></w:tbl>"
        shown = '<w:p><w:r><w:rPr><w:vanish w:val="0"/></w:rPr><w:t>shown</w:t></w:r></w:p>'
        parsed = office.docx(document(shown + body, styles=sheet))
        hidden = next((it for it in (own, character, paragraph, default) if it is not None), False)
        texts, left = [it.text for it in parsed.blocks], parsed.left_out
        assert (texts, left) == ((["shown"], ["hidden text"]) if hidden else (["shown", "hid"], []))


TEXT = "<w:p><w:r><w:t>hid</w:t></w:r></w:p>"
CONTENT = f"<w:txbxContent>{TEXT}</w:txbxContent>"
BOX = '<w:p><w:r><w:drawing><wp:docPr id="1" name="x"{}/><wps:txbx>' + CONTENT + "</wps:txbx></w:drawing></w:r></w:p>"
SHAPE = '<w:p><w:r><w:pict><v:shape style="{}"><v:textbox>' + CONTENT + "</v:textbox></v:shape></w:pict></w:r></w:p>"
ROW = "<w:tbl><w:tr><w:trPr>{}</w:trPr><w:tc><w:tcPr>{}</w:tcPr>" + TEXT + "</w:tc></w:tr></w:tbl>"
DELETED = "text that tracked changes delete"


@pytest.mark.parametrize(
    ("body", "left"),
    [
        (ROW.format("<w:hidden/>", ""), ["hidden text"]), (ROW.format('<w:hidden w:val="0"/>', ""), []),
        (ROW.format("<w:del/>", ""), [DELETED]), (ROW.format("<w:ins/>", ""), []),
        (ROW.format("", "<w:cellDel/>"), [DELETED]), (ROW.format("", "<w:cellIns/>"), []),
        (BOX.format(' hidden="1"'), ["hidden text"]),
        (BOX.format(""), []),
        (SHAPE.format("width:1pt; visibility: hidden"), ["hidden text"]), (SHAPE.format("visibility:visible"), []),
    ],
)  # fmt: skip
def test_rows_and_drawings(body: str, left: list[str]) -> None:
    parsed = office.docx(document("<w:p><w:r><w:t>shown</w:t></w:r></w:p>" + body))
    assert ("hid" in [it.text for it in parsed.blocks], parsed.left_out) == (not left, left)


#: What takes all that is in it out of a document, and as what.
AWAY = {
    '<w:del w:id="1" w:author="a">{}</w:del>': DELETED, '<w:moveFrom w:id="1" w:author="a">{}</w:moveFrom>': DELETED,
    '<w:ins w:id="2" w:author="a"><w:del w:id="1" w:author="a">{}</w:del></w:ins>': DELETED,
    "<w:r><w:rPr><w:vanish/></w:rPr>{}</w:r>": "hidden text",
}  # fmt: skip


@pytest.mark.parametrize("around", AWAY)
@pytest.mark.parametrize("name", INLINE)
def test_whatever_is_in_what_is_not_read_is_told(name: str, around: str) -> None:
    inside = INLINE[name].format(*["MARK"] * INLINE[name].count("{}"))
    body = f"<w:p><w:r><w:t>shown</w:t></w:r>{around.format(inside)}</w:p>"
    for part in (body, f"<w:tbl><w:tr><w:tc>{body}</w:tc></w:tr></w:tbl>"):
        parsed = office.docx(document(part))
        told = {AWAY[around], TOLD.get(name, AWAY[around])} if AWAY[around] != DELETED else {DELETED}
        assert [it.text for it in parsed.blocks] == ["shown"]
        assert set(parsed.left_out) & told, name
