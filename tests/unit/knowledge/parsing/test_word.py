"""Every construct of WordprocessingML that has a text, in every place that may have it: it is read, or told."""

from __future__ import annotations

import io
import zipfile
from itertools import product

import pytest

from dualtrack.knowledge.parsing import office, signs, word
from dualtrack.knowledge.parsing.blocks import Parsed, Unreadable

SPACES = " ".join(
    f'xmlns:{name}="{address}"' for name, address in {
        "w": "http://schemas.openxmlformats.org/wordprocessingml/2006/main",
        "r": "http://schemas.openxmlformats.org/officeDocument/2006/relationships",
        "mc": "http://schemas.openxmlformats.org/markup-compatibility/2006", "v": "urn:schemas-microsoft-com:vml",
        "wp": "http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing",
        "a": "http://schemas.openxmlformats.org/drawingml/2006/main", "o": "urn:schemas-microsoft-com:office:office",
        "wps": "http://schemas.microsoft.com/office/word/2010/wordprocessingShape",
        "m": "http://schemas.openxmlformats.org/officeDocument/2006/math", "u": "urn:of-a-program-to-come",
    }.items()
)  # fmt: skip
RUN = "<w:r><w:t>{}</w:t></w:r>"
BOX = "<w:txbxContent><w:p><w:r><w:t>{}</w:t></w:r></w:p></w:txbxContent>"
#: What a paragraph may have, with a text in it.
INLINE = {
    "run": RUN,
    "hyperlink": f"<w:hyperlink>{RUN}</w:hyperlink>",
    "tracked insertion": f'<w:ins w:id="1" w:author="a">{RUN}</w:ins>',
    "moved text": f'<w:moveTo w:id="1" w:author="a">{RUN}</w:moveTo>',
    "smart tag": f'<w:smartTag w:element="e">{RUN}</w:smartTag>',
    "custom XML": f'<w:customXml w:element="e">{RUN}</w:customXml>',
    "content control": f"<w:sdt><w:sdtPr/><w:sdtContent>{RUN}</w:sdtContent></w:sdt>",
    "simple field": f'<w:fldSimple w:instr="TITLE">{RUN}</w:fldSimple>',
    "field": '<w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText>TITLE</w:instrText></w:r><w:r>'
    f'<w:fldChar w:fldCharType="separate"/></w:r>{RUN}<w:r><w:fldChar w:fldCharType="end"/></w:r>',
    "direction": f'<w:bdo w:val="rtl">{RUN}</w:bdo>',
    "text box of VML": f"<w:r><w:pict><v:shape><v:textbox>{BOX}</v:textbox></v:shape></w:pict></w:r>",
    "text box": "<w:r><w:drawing><wp:inline><a:graphic><a:graphicData><wps:wsp><wps:txbx>"
    f"{BOX}</wps:txbx></wps:wsp></a:graphicData></a:graphic></wp:inline></w:drawing></w:r>",
    "text box in two forms": '<w:r><mc:AlternateContent><mc:Choice Requires="wps"><w:drawing><wps:txbx>'
    f"{BOX}</wps:txbx></w:drawing></mc:Choice><mc:Fallback><w:pict><v:textbox>{BOX}</v:textbox></w:pict></mc:Fallback>"
    "</mc:AlternateContent></w:r>",
    "fallback alone": '<mc:AlternateContent><mc:Choice Requires="u"/>'
    f"<mc:Fallback>{RUN}</mc:Fallback></mc:AlternateContent>",
    "words of a picture": '<w:r><w:drawing><wp:docPr id="1" name="n" descr="{}"/></w:drawing></w:r>',
    "title of a picture": '<w:r><w:drawing><wp:docPr id="1" name="n" title="{}"/></w:drawing></w:r>',
    "words of a shape": '<w:r><w:pict><v:shape alt="{}"/></w:pict></w:r>',
    "WordArt": '<w:r><w:pict><v:shape><v:textpath string="{}"/></v:shape></w:pict></w:r>',
    "ruby": f"<w:r><w:ruby><w:rt>{RUN}</w:rt><w:rubyBase><w:r><w:t>x</w:t></w:r></w:rubyBase></w:ruby></w:r>",
    "formula": "<m:oMath><m:r><m:t>{}</m:t></m:r></m:oMath>",
    "element to come": f"<u:unknown>{RUN}</u:unknown>",
    "deleted text": '<w:del w:id="1" w:author="a"><w:r><w:delText>{}</w:delText></w:r></w:del>',
    "text moved away": f'<w:moveFrom w:id="1" w:author="a">{RUN}</w:moveFrom>',
    "hidden text": "<w:r><w:rPr><w:vanish/></w:rPr><w:t>{}</w:t></w:r>",
    "not hidden": '<w:r><w:rPr><w:vanish w:val="0"/></w:rPr><w:t>{}</w:t></w:r>',
    "form of text in a row": "<w:p><w:r><w:t>{}</w:t></w:r></w:p>",
}
#: Of these the text is not read, and this is told.
TOLD = {
    "deleted text": "text that tracked changes delete", "text moved away": "text that tracked changes delete",
    "hidden text": "hidden text",
}  # fmt: skip
#: What is around a paragraph.
CELL = "<w:tbl><w:tblPr/><w:tr><w:tc><w:tcPr/>{}</w:tc></w:tr></w:tbl>"
AROUND = {
    "paragraph": "{}",
    "cell": CELL,
    "cell of a table in a cell": CELL.format(f"<w:p/>{CELL}<w:p/>"),
    "content control": "<w:sdt><w:sdtContent>{}</w:sdtContent></w:sdt>",
    "control around a row": "<w:tbl><w:sdt><w:sdtContent><w:tr><w:tc>{}</w:tc></w:tr></w:sdtContent></w:sdt></w:tbl>",
    "control around a cell": "<w:tbl><w:tr><w:sdt><w:sdtContent><w:tc>{}</w:tc></w:sdtContent></w:sdt></w:tr></w:tbl>",
    "control in a cell": CELL.format("<w:sdt><w:sdtContent>{}</w:sdtContent></w:sdt>"),
    "custom XML": "<w:customXml>{}</w:customXml>",
    "text box": "<w:p><w:r><w:pict><v:textbox><w:txbxContent>{}</w:txbxContent></v:textbox></w:pict></w:r></w:p>",
    "text box in a cell": CELL.format(
        "<w:p><w:r><w:pict><v:textbox><w:txbxContent>{}</w:txbxContent></v:textbox></w:pict></w:r></w:p>"
    ),
    "table in a text box": "<w:p><w:r><w:pict><v:textbox><w:txbxContent>"
    + CELL
    + "</w:txbxContent></v:textbox></w:pict>"
    "</w:r></w:p>",
    "forms of a block": '<mc:AlternateContent><mc:Choice Requires="u">{}</mc:Choice></mc:AlternateContent>',
    "element to come": "<u:unknown>{}</u:unknown>",
}
#: The part that has it: its element, and what is around paragraphs there.
PLACES = {
    "document": ("body", "{}"), "header": ("hdr", "{}"), "footer": ("ftr", "{}"),
    "footnotes": ("footnotes", '<w:footnote w:id="2">{}</w:footnote>'),
    "endnotes": ("endnotes", '<w:endnote w:id="2">{}</w:endnote>'),
    "comments": ("comments", '<w:comment w:id="2" w:author="a">{}</w:comment>'),
}  # fmt: skip
KIND = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def document(body: str, part: str = "document", *, styles: str = "", more: dict[str, str] | None = None) -> bytes:
    """Return a DOCX document with something in one of its parts."""
    root, around = PLACES[part]
    content = f"<w:{root} {SPACES}>{around.format(body)}</w:{root}>"
    parts = {"word/document.xml": f"<w:document {SPACES}><w:body><w:p/></w:body></w:document>"}
    if part == "document":
        parts["word/document.xml"] = f"<w:document {SPACES}>{content}</w:document>"
    else:
        parts[f"word/{part}1.xml"] = content
    if styles:
        parts["word/styles.xml"] = f"<w:styles {SPACES}>{styles}</w:styles>"
    kinds = {f"word/{part}1.xml": part, "word/styles.xml": "styles"}
    for name, text in (more or {}).items():
        kind, _, path = name.rpartition(":")
        parts[path], kinds[path] = text, kind
    related = "".join(
        f'<Relationship Id="i{number}" Type="{KIND}/{kinds[name]}" Target="/{name}"/>'
        for number, name in enumerate(parts) if name in kinds
    )  # fmt: skip
    parts["word/_rels/document.xml.rels"] = f"<Relationships>{related}</Relationships>"
    parts["_rels/.rels"] = (
        f'<Relationships><Relationship Type="{KIND}/officeDocument" Target="word/document.xml"/></Relationships>'
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return out.getvalue()


def said(parsed: Parsed) -> str:
    return "\n".join(it.text for it in parsed.blocks)


@pytest.mark.parametrize(("part", "around"), list(product(PLACES, AROUND)))
def test_every_text_in_every_place_is_read_once_or_told(part: str, around: str) -> None:
    for name, inline in INLINE.items():
        mark = f"MARK-{name.replace(' ', '-')}"
        paragraph = f"<w:p><w:r><w:t>before </w:t></w:r>{inline.format(*[mark] * inline.count('{}'))}</w:p>"
        parsed = office.docx(document(AROUND[around].replace("{}", paragraph), part))
        wanted = [TOLD[name]] if name in TOLD else []
        assert (said(parsed).count(mark), parsed.left_out) == (0 if name in TOLD else 1, wanted), name
        assert "before" in said(parsed), name
        assert {it.place for it in parsed.blocks if it.kind == "text"} <= {word.PARTS.get(part.rstrip("1"), "")}


@pytest.mark.parametrize("part", [*PLACES])
def test_text_outside_of_any_paragraph_is_read(part: str) -> None:
    """Programs write what no schema allows."""
    assert said(office.docx(document(RUN.format("MARK"), part))) == "MARK"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("<w:r><w:drawing><a:chart/></w:drawing></w:r>", "a chart"),
        ('<w:r><w:object><o:OLEObject ProgID="Excel"/></w:object></w:r>', "an embedded object"),
        ("<w:r><w:object><w:control/></w:object></w:r>", "a form control"),
    ],
)
@pytest.mark.parametrize("around", [*AROUND])
def test_what_is_not_read_is_told(body: str, reason: str, around: str) -> None:
    parsed = office.docx(document(AROUND[around].replace("{}", f"<w:p>{body}{RUN.format('text')}</w:p>")))
    assert (said(parsed), parsed.left_out) == ("text", [reason])


def test_other_documents_in_it_are_told() -> None:
    body = f'<w:p/><w:altChunk r:id="i1"/><w:subDoc r:id="i2"/><w:p>{RUN.format("x")}</w:p>'
    more = {"package:word/embeddings/sheet.xlsx": "x", "aFChunk:word/page.html": "x"}
    parsed = office.docx(document(body, more=more))
    assert parsed.left_out == [
        "an embedded document", "another document that it refers to", "the embedded file sheet.xlsx",
        "the embedded file page.html",
    ]  # fmt: skip


MAIN = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
#: Parts with a text that no part refers to, by name and what says what they are.
BESIDE = {
    "a second body": ("word/document2.xml", f'<Override PartName="/word/document2.xml" ContentType="{MAIN}"/>'),
    "a second body, another name": ("other.bin", f'<Override PartName="/other.bin" ContentType="{MAIN}"/>'),
    "a second body, by its ending": ("other.doc", f'<Default Extension="doc" ContentType="{MAIN}"/>'),
    "a header": ("word/header9.xml", ""),
    "a glossary": ("word/glossary/document.xml", ""),
}


@pytest.mark.parametrize("which", BESIDE)
@pytest.mark.parametrize("root", ["document", "hdr"])
def test_parts_that_are_not_read_are_told(which: str, root: str) -> None:
    name, types = BESIDE[which]
    data = io.BytesIO(document(f"<w:p>{RUN.format('main')}</w:p>"))
    with zipfile.ZipFile(data, "a") as archive:
        archive.writestr("[Content_Types].xml", f"<Types>{types}</Types>")
        archive.writestr(name, f"<w:{root} {SPACES}><w:p>{RUN.format('other')}</w:p></w:{root}>")
        archive.writestr("docProps/app.xml", "<Properties/>")
    parsed = office.docx(data.getvalue())
    assert (said(parsed), parsed.left_out) == ("main", [f"text of {name}, a part that is not read"])


def test_a_second_body_by_the_relations_of_the_archive_is_told() -> None:
    data = io.BytesIO(document(f"<w:p>{RUN.format('main')}</w:p>"))
    both = "".join(f'<Relationship Type="{KIND}/officeDocument" Target="word/{it}.xml"/>' for it in ("two", "one"))
    with zipfile.ZipFile(data, "a") as archive:
        for name in ("one", "two"):
            archive.writestr(f"word/{name}.xml", f"<w:document {SPACES}><w:p>{RUN.format(name)}</w:p></w:document>")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("_rels/.rels", f"<Relationships>{both}</Relationships>")
    parsed = office.docx(data.getvalue())
    assert said(parsed) == "two"
    assert parsed.left_out == [
        "text of word/document.xml, a part that is not read", "_rels/.rels, which is there more than once",
        "text of word/one.xml, a part that is not read",
    ]  # fmt: skip


def test_a_part_that_is_there_twice_or_broken_is_told() -> None:
    data = io.BytesIO(document(f"<w:p>{RUN.format('one')}</w:p>"))
    with zipfile.ZipFile(data, "a") as archive:
        archive.writestr("word/other.xml", "<w:document>")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("word/document.xml", f"<w:document {SPACES}><w:p>{RUN.format('two')}</w:p></w:document>")
    parsed = office.docx(data.getvalue())
    assert said(parsed) == "two"
    assert parsed.left_out == [
        "word/document.xml, which is there more than once",
        "word/other.xml, which cannot be read",
    ]


def test_diagrams_are_read() -> None:
    data = f"<dataModel {SPACES}><a:p><a:r><a:t>step one</a:t></a:r></a:p></dataModel>"
    parsed = office.docx(document("<w:p/>", more={"diagramData:word/diagrams/data1.xml": data}))
    assert [(it.text, it.place) for it in parsed.blocks] == [("step one", "diagram")]


def test_headings_by_their_styles() -> None:
    """By the names that every language has, by what a style is made from, and by the level of a paragraph alone."""
    styles = """<w:style w:styleId="1"><w:name w:val="heading 2"/></w:style>
        <w:style w:styleId="own"><w:name w:val="Own"/><w:basedOn w:val="1"/></w:style>
        <w:style w:styleId="T"><w:name w:val="Title"/></w:style>
        <w:style w:styleId="lvl"><w:name w:val="x"/><w:pPr><w:outlineLvl w:val="2"/></w:pPr></w:style>
        <w:style w:styleId="none"><w:basedOn w:val="lvl"/><w:pPr><w:outlineLvl w:val="9"/></w:pPr></w:style>
        <w:style w:styleId="a"><w:basedOn w:val="b"/></w:style>
        <w:style w:styleId="b"><w:basedOn w:val="a"/></w:style>"""
    body = "".join(
        f'<w:p><w:pPr><w:pStyle w:val="{it}"/></w:pPr>{RUN.format(it)}</w:p>'
        for it in ("1", "own", "T", "lvl", "none", "a")
    )
    body += f'<w:p><w:pPr><w:outlineLvl w:val="0"/></w:pPr>{RUN.format("direct")}</w:p>'
    parsed = office.docx(document(body, styles=styles))
    assert {it.text: it.level for it in parsed.blocks} == {
        "1": 2, "own": 2, "T": 1, "lvl": 3, "none": 0, "a": 0, "direct": 1,
    }  # fmt: skip


def test_merged_cells_keep_their_columns() -> None:
    def cell(text: str, *properties: str) -> str:
        return f"<w:tc><w:tcPr>{''.join(properties)}</w:tcPr><w:p>{RUN.format(text) if text else ''}</w:p></w:tc>"

    down, again, wide = '<w:vMerge w:val="restart"/>', "<w:vMerge/>", '<w:gridSpan w:val="2"/>'
    rows = [
        cell("dept") + cell("name") + cell("room"),
        cell("hr", down) + cell("ada", wide),
        cell("", again) + cell("bo") + cell("4"),
    ]
    parsed = office.docx(document("<w:tbl>" + "".join(f"<w:tr>{it}</w:tr>" for it in rows) + "</w:tbl>"))
    assert [it.text for it in parsed.blocks] == ["dept: hr; name: ada", "dept: hr; name: bo; room: 4"]


def test_headers_that_are_the_same_are_read_once() -> None:
    header = f"<w:hdr {SPACES}><w:p>{RUN.format('ours')}</w:p></w:hdr>"
    more = {f"header:word/header{number}.xml": header for number in (2, 3)}
    parsed = office.docx(document(f"<w:p>{RUN.format('ours')}</w:p>", more=more))
    assert [(it.text, it.place) for it in parsed.blocks] == [("ours", ""), ("ours", "header")]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("<w:p>" * 5000 + "</w:p>" * 5000, "nested too deeply"),
        ("<w:tbl><w:tr><w:tc>" * 2000 + "</w:tc></w:tr></w:tbl>" * 2000, "nested too deeply"),
        ("<w:p>", "a broken one"),
    ],
)
def test_hostile_documents_are_refused(body: str, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        office.docx(document(body))


def test_entities_are_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("word/document.xml", '<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>')
    with pytest.raises(Unreadable, match="declares entities"):
        office.docx(out.getvalue())


def run(inside: str) -> str:
    return f"<w:p><w:r><w:t>a</w:t>{inside}<w:t>b</w:t></w:r></w:p>"


@pytest.mark.parametrize("private", [0, 0xF000])
@pytest.mark.parametrize("font", [*signs.SYMBOLS])
def test_every_symbol_that_is_known_is_read(font: str, private: int) -> None:
    for code, sign in signs.SYMBOLS[font].items():
        body = run(f'<w:sym w:font="{font.title()}" w:char="{private + code:04X}"/>')
        parsed = office.docx(document(body))
        assert (said(parsed), parsed.left_out) == (f"a{sign}b", []), hex(code)


@pytest.mark.parametrize(
    ("font", "char", "reads", "left"),
    [
        ("Symbol", "F0B1", "±", []), ("Symbol", "F0B0", "°", []), ("Symbol", "F0A3", "≤", []),
        ("Wingdings 2", "F052", "☑", []), ("Wingdings 2", "F0A3", "□", []), ("SimSun", "2265", "≥", []),
        ("Wingdings", "F021", "", ["symbols of the font Wingdings"]), ("Own", "F041", "", ["symbols of the font Own"]),
        ("Symbol", "no", "", ["symbols of the font Symbol"]), ("", "E000", "", ["symbols of the font without a name"]),
    ],
)  # fmt: skip
def test_symbols(font: str, char: str, reads: str, left: list[str]) -> None:
    parsed = office.docx(document(run(f'<w:sym w:font="{font}" w:char="{char}"/>')))
    assert (said(parsed), parsed.left_out) == (f"a{reads}b", left)


LIST = '<w:ddList>{}<w:listEntry w:val="one"/><w:listEntry w:val="two"/></w:ddList>'


@pytest.mark.parametrize(
    ("data", "reads"),
    [
        (LIST.format('<w:result w:val="1"/>'), "two"), (LIST.format(""), "one"),
        (LIST.format('<w:default w:val="1"/>'), "two"), (LIST.format('<w:result w:val="9"/>'), ""),
        ("<w:checkBox><w:checked/></w:checkBox>", "☑"), ('<w:checkBox><w:checked w:val="0"/></w:checkBox>', "☐"),
        ('<w:checkBox><w:default w:val="1"/></w:checkBox>', "☑"), ("<w:checkBox/>", "☐"), ("<w:textInput/>", ""),
        ('<w:checkBox><w:default w:val="1"/><w:checked w:val="0"/></w:checkBox>', "☐"),
    ],
)  # fmt: skip
def test_fields_of_forms(data: str, reads: str) -> None:
    parsed = office.docx(document(run(f'<w:fldChar w:fldCharType="begin"><w:ffData>{data}</w:ffData></w:fldChar>')))
    assert (said(parsed), parsed.left_out) == (f"a{reads}b", [])


def of(name: str, *texts: str) -> str:
    return "".join(f"<m:{name}><m:r><m:t>{it}</m:t></m:r></m:{name}>" for it in texts)


@pytest.mark.parametrize(
    ("inside", "reads"),
    [
        (f"<m:f>{of('num', '1')}{of('den', '2')}</m:f>", "1/2"),
        (f"<m:f>{of('num', 'a+b')}{of('den', 'c')}</m:f>", "(a+b)/c"),
        (f"<m:sSup>{of('e', 'x')}{of('sup', '2')}</m:sSup>", "x^2"),
        (f"<m:sSubSup>{of('e', 'x')}{of('sub', 'i')}{of('sup', 'n-1')}</m:sSubSup>", "x_i^(n-1)"),
        (f'<m:nary><m:naryPr><m:chr m:val="∑"/></m:naryPr>{of("sub", "i=1")}{of("sup", "n")}{of("e", "x")}</m:nary>',
         "∑_(i=1)^n x"),
        (f"<m:nary>{of('sub', '')}{of('sup', '')}{of('e', 'x')}</m:nary>", "∫ x"),
        (f"<m:rad>{of('deg', '3')}{of('e', 'x+1')}</m:rad>", "3√(x+1)"), (f"<m:d>{of('e', 'x', 'y')}</m:d>", "(x|y)"),
        (f'<m:d><m:dPr><m:begChr m:val="["/><m:endChr m:val=""/></m:dPr>{of("e", "x")}</m:d>', "[x"),
        (f"<m:m><m:mr>{of('e', '1', '2')}</m:mr><m:mr>{of('e', '3', '4')}</m:mr></m:m>", "1 2; 3 4"),
        (f"<m:f><m:num><m:f>{of('num', '1')}{of('den', '2')}</m:f></m:num>{of('den', '3')}</m:f>", "(1/2)/3"),
    ],
)  # fmt: skip
def test_formulas(inside: str, reads: str) -> None:
    parsed = office.docx(document(f"<w:p><m:oMath>{inside}</m:oMath></w:p>"))
    assert (said(parsed), parsed.left_out) == (reads, [])


def test_names_of_formulas_are_those_of_formulas_alone() -> None:
    shape = '<w:pict><v:shape><v:formulas><v:f eqn="x"/></v:formulas></v:shape></w:pict>'
    assert said(office.docx(document(run(shape)))) == "ab"


@pytest.mark.parametrize("mark", ["<w:footnoteReference w:id='2'/>", "<w:endnoteReference w:id='2'/>"])
def test_digits_behind_a_note_are_no_digits_of_a_number(mark: str) -> None:
    body = f"<w:p><w:r><w:t>13912345678</w:t></w:r><w:r>{mark}</w:r><w:r><w:t>25</w:t></w:r></w:p>"
    assert said(office.docx(document(body))) == "13912345678 25"


@pytest.mark.parametrize(("where", "sign"), [("superscript", "^"), ("subscript", "_")])
def test_digits_above_and_below_the_line_are_no_digits_of_a_number(where: str, sign: str) -> None:
    moved = f'<w:r><w:rPr><w:vertAlign w:val="{where}"/></w:rPr><w:t>{{}}</w:t></w:r>'
    parts = [RUN.format("10"), moved.format("6"), RUN.format("，m"), moved.format("2"), RUN.format("O")]
    parts += ["</w:p><w:p>", moved.format("1"), RUN.format("13912345678"), "</w:p><w:p>", moved.format("1")]
    body = f"<w:p>{''.join(parts)}</w:p><w:p>{RUN.format('2')}</w:p>"
    texts = [it.text for it in office.docx(document(body)).blocks]
    assert texts == [f"10{sign}6，m2O", "1 13912345678", "1", "2"]


@pytest.mark.parametrize(("where", "sign"), [("superscript", "^"), ("subscript", "_")])
def test_digits_that_a_style_puts_above_or_below_the_line(where: str, sign: str) -> None:
    style = '<w:style w:styleId="{}"><w:basedOn w:val="{}"/><w:rPr>{}</w:rPr></w:style>'
    styles = style.format("Mark", "", f'<w:vertAlign w:val="{where}"/>') + style.format("Note", "Mark", "<w:b/>")
    noted = '<w:r><w:rPr><w:rStyle w:val="Note"/>{}</w:rPr><w:t>2</w:t></w:r>'
    runs = [RUN.format("13912345678"), noted.format(""), RUN.format(" "), RUN.format("1")]
    runs.append(noted.format('<w:vertAlign w:val="baseline"/>'))
    texts = [it.text for it in office.docx(document(f"<w:p>{''.join(runs)}</w:p>", styles=styles)).blocks]
    assert texts == [f"13912345678{sign}2 12"]
