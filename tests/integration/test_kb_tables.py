"""Tables of pages and workbooks: nothing in a cell is lost, and a value stays beside the word that names it."""

from __future__ import annotations

import base64
import io
import json
import os
import random
import subprocess
import zipfile
from collections.abc import Callable
from html import escape
from pathlib import Path

import pytest

from dualtrack.knowledge.pii.mask import mask_parts
from tests.unit.knowledge.parsing.layouts import NAMED, WRITTEN, Grid, layouts, stacked
from tests.unit.knowledge.parsing.test_columns import sparse
from tests.unit.knowledge.parsing.test_tables import CELLS, LAYOUTS, runs, unique

TOOLS = Path(__file__).parents[2] / "tools"
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATED = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
TYPES = "application/vnd.openxmlformats-officedocument.spreadsheetml"
#: Reads many documents of one format in one process.
READ = """
import base64, json, sys
from dualtrack.knowledge.parsing.blocks import Parsed, Unreadable
from dualtrack.knowledge.parsing.child import PARSERS
form, refused, documents = json.load(sys.stdin)
def read(data):
    try:
        return PARSERS[form](data)
    except Unreadable as error:
        if not refused:
            raise
        return Parsed([], [str(error)])
found = [read(base64.b64decode(it)) for it in documents]
json.dump([[[block.text for block in it.blocks], it.left_out] for it in found], sys.stdout)
"""


def read(
    python: Path, form: str, documents: list[bytes], *, refused: bool = False
) -> list[tuple[list[str], list[str]]]:
    """Return the texts of documents and what of them is left out; of one that is ``refused``, why."""
    given = json.dumps([form, refused, [base64.b64encode(it).decode() for it in documents]])
    done = subprocess.run(
        [python, "-c", READ], input=given, env={**os.environ, "PYTHONPATH": str(TOOLS)}, stdout=subprocess.PIPE,
        text=True, check=True,
    )  # fmt: skip
    return [(blocks, left) for blocks, left in json.loads(done.stdout)]


def to_xlsx(grid: Grid, cells: str = "", after: str = "", before: str = "") -> bytes:
    """Return a workbook with a sheet whose cells have their texts in them."""

    def cell(at: int, number: int, said: str) -> str:
        return f'<c r="{chr(65 + at)}{number}" t="inlineStr"><is><t>{escape(said)}</t></is></c>' if said else ""

    rows = "".join(
        f'<row r="{number}">{"".join(cell(at, number, it) for at, it in enumerate(row))}</row>'
        for number, row in enumerate(grid, 1)
    )
    package = "http://schemas.openxmlformats.org/package/2006"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"><Default Extension="rels" ContentType='
        '"application/vnd.openxmlformats-package.relationships+xml"/><Override PartName="/xl/workbook.xml" ContentType='
        f'"{TYPES}.sheet.main+xml"/><Override PartName="/xl/worksheets/sheet1.xml" ContentType='
        f'"{TYPES}.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="a" Type='
        f'"{RELATED}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{RELATED}"><sheets><sheet name="S" sheetId="1" '
        'r:id="a"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="a" Type='
        f'"{RELATED}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{MAIN}">{before}<sheetData>{rows}{cells}</sheetData>'
        f"{after}</worksheet>",
    }
    with zipfile.ZipFile(out := io.BytesIO(), "w") as archive:
        for name, said in parts.items():
            archive.writestr(name, said)
    return out.getvalue()


def lines(said: str) -> str:
    """Return the lines of a cell as a page has them."""
    return escape(said).replace("\n", "<br>")


def to_html(grid: Grid, tag: str = "td", *, merged: bool = False, inner: str = "{}") -> str:
    rows = []
    for number, row in enumerate(grid):
        name = "td" if number else tag
        of = runs(row) if merged else [(it, 1) for it in row]
        rows.append("".join(f"<{name} colspan={span}>{inner.format(lines(it))}</{name}>" for it, span in of))
    return f"<p>shown</p><table>{''.join(f'<tr>{it}</tr>' for it in rows)}</table>"


def to_html_names(grid: Grid) -> str:
    return to_html(grid, "th")


def to_html_merged(grid: Grid) -> str:
    return to_html(grid, merged=True)


def to_html_paragraphs(grid: Grid) -> str:
    return to_html(grid, inner="<p>{}</p>")


def to_html_outer(grid: Grid) -> str:
    return to_html(grid, inner="<div>{}</div><table><tr><td></td></tr></table>")


FORMATS: dict[str, tuple[str, Callable[[Grid], bytes]]] = {
    "workbook": ("xlsx", to_xlsx), "page": ("html", lambda it: to_html(it).encode()),
    "names": ("html", lambda it: to_html_names(it).encode()),
    "merged": ("html", lambda it: to_html_merged(it).encode()),
    "paragraphs": ("html", lambda it: to_html_paragraphs(it).encode()),
    "outer": ("html", lambda it: to_html_outer(it).encode()),
}  # fmt: skip


@pytest.mark.parametrize("which", FORMATS)
def test_every_text_of_every_cell_is_read(python: Path, which: str) -> None:
    form, write = FORMATS[which]
    chance = random.Random(20)
    grids = [
        unique([[chance.choice(CELLS) for _ in range(wide)] for _ in range(deep)])
        for wide in range(1, 7) for deep in range(1, 7) for _ in range(4)
    ]  # fmt: skip
    grids = [it for it in grids if any(map(any, it))]
    for grid, (blocks, left) in zip(grids, read(python, form, [write(it) for it in grids]), strict=True):
        said = "\n".join(blocks)
        assert ([it for row in grid for it in row if it and it.rstrip("：") not in said], left) == ([], []), grid


@pytest.mark.parametrize("which", FORMATS)
def test_no_value_that_a_word_names_is_left(python: Path, which: str) -> None:
    form, write = FORMATS[which]
    found = read(python, form, [write(it) for it in LAYOUTS.values()])
    for name, (blocks, _) in zip(LAYOUTS, found, strict=True):
        clean = "\n".join(mask_parts(blocks)[0])
        assert (name, [word for word, value in NAMED.items() if value in clean]) == (name, [])


@pytest.mark.parametrize("which", FORMATS)
def test_no_value_of_any_layout_is_left(python: Path, which: str) -> None:
    form, write = FORMATS[which]
    tables = [*layouts(4242), *stacked(4242, 100)]
    found = read(python, form, [write(grid) for _, grid, _ in tables])
    left = []
    for (name, grid, secrets), (blocks, _) in zip(tables, found, strict=True):
        clean = "\n".join(mask_parts(blocks)[0])
        if lost := [it for it in secrets if it in clean]:
            left.append((name, lost, grid, clean))
    assert left == []


def test_lists_of_terms_and_tables_for_places(python: Path) -> None:
    terms = "".join(f"<dt>{write(name)}<dd>{value}" for name, value in NAMED.items() for write in WRITTEN.values())
    cells = "".join(f"<tr><td>{name}<td>{value}" for name, value in NAMED.items())
    pages = [
        f"<dl>{terms}</dl>", f"<table><tr><td><table>{cells}</table></table>",
        f"<table><tr><td><h2>a</h2><tr><td>b{cells}</table>",
    ]  # fmt: skip
    for blocks, _ in read(python, "html", [it.encode() for it in pages]):
        clean = "\n".join(mask_parts(blocks)[0])
        assert [name for name, value in NAMED.items() if value in clean] == []


def test_names_of_columns_in_a_table_of_their_own(python: Path) -> None:
    """As programs for pages write them, so that the names stay when the rows move."""
    grids = [it for it in sparse("page", 30) if any(map(any, it[1:]))]
    between = ["", " ", "</div><div class=body>", "<!-- x -->"]
    one = [to_html(it).encode() for it in grids]
    parts = [[to_html(part).partition("</p>")[2] for part in (it[:1], it[1:])] for it in grids]
    two = [f"<p>shown</p><div>{first}{between[at % 4]}{rest}" for at, (first, rest) in enumerate(parts)]
    for grid, said, expected in zip(
        grids, read(python, "html", [it.encode() for it in two]), read(python, "html", one), strict=True
    ):
        assert said == expected, grid
    apart = ["<table><tr><td>姓名<td>电话</table>{}<table><tr><td>李雷<td>1<tr><td>王五<td>2</table>"] * 2
    pages = [apart[0].format("<p>x</p>"), "<table><tr><td>" + apart[1].format("<td>") + "</table>"]
    for blocks, _ in read(python, "html", [it.encode() for it in pages]):
        assert "姓名: 李雷" not in "".join(blocks)


def test_cells_over_several_rows_of_a_page(python: Path) -> None:
    page = "<table><tr><th>组<th>人<th>室<tr><td rowspan=2>一<td>甲<td>1<tr><td>乙<td>2</table>"
    ((blocks, _),) = read(python, "html", [page.encode()])
    assert blocks == ["组: 一; 人: 甲; 室: 1", "组: 一; 人: 乙; 室: 2"]


@pytest.mark.parametrize("tag", ["", "x:"], ids=["plain", "prefix"])
def test_formulas_without_values_and_headers_of_a_workbook_are_reported(python: Path, tag: str) -> None:
    forms = {
        "<{0}f>A1</{0}f>": ["formulas whose values are not saved"],
        "<{0}f>A1</{0}f><{0}v/>": ["formulas whose values are not saved"],
        "<{0}f>A1</{0}f><{0}v></{0}v>": ["formulas whose values are not saved"],
        "<{0}f t='shared' si='0'/>": ["formulas whose values are not saved"],
        "<{0}f>A1</{0}f><{0}v>3</{0}v>": [],
        "<{0}v>3</{0}v>": [],
    }
    row = "<{0}row r='2'><{0}c r='A2'>{1}</{0}c></{0}row>"
    documents = [to_xlsx([["a"]], row.format(tag, it.format(tag))) for it in forms]
    after = "<{0}headerFooter><{0}oddHeader>{1}</{0}oddHeader></{0}headerFooter>"
    documents += [to_xlsx([["a"]], "", after.format(tag, it)) for it in ("", "&amp;Ctext")]
    if tag:
        documents = [_with_prefix(it) for it in documents]
    assert [left for _, left in read(python, "xlsx", documents)] == [*forms.values(), [], ["headers and footers"]]


@pytest.mark.parametrize("size", ["A1", "A1:A1", "B2:B2", "C1:D1", "A1:XFD1048576", "A9:B9", "Z99", "", "none"])
def test_cells_outside_of_what_a_sheet_says_of_its_size(python: Path, size: str) -> None:
    grid = [["姓名", "部门", "室"], ["", "", ""], ["甲", "财务", "1"], ["乙", "", "2"]]
    dimension = f'<dimension ref="{size}"/>'
    row = "<row r='40'><c r='AZ40' t='inlineStr'><is><t>far</t></is></c></row>"
    plain, said = read(python, "xlsx", [to_xlsx(grid, row), to_xlsx(grid, row, before=dimension)], refused=True)
    assert plain[0][1:] == ["姓名: 甲; 部门: 财务; 室: 1", "姓名: 乙; 室: 2", "far"]
    # Without a size that can be read, it may be refused as broken.
    assert said == plain or (size in ("", "none") and not said[0])


def cell(place: str, said: str) -> str:
    """Return a cell at a place, or at the next one."""
    at = f" r='{place}'" if place else ""
    return f"<c{at} t='inlineStr'><is><t>{said}</t></is></c>"


@pytest.mark.parametrize(
    ("cells", "order"),
    [
        (f"<row r='2'>{cell('B2', 'one')}{cell('A2', 'two')}</row>", False),
        (f"<row r='2'>{cell('A2', 'one')}{cell('A2', 'two')}</row>", False),
        (f"<row r='3'>{cell('A3', 'one')}</row><row r='2'>{cell('A2', 'two')}</row>", False),
        (f"<row r='3'>{cell('', 'one')}</row><row r='2'>{cell('', 'two')}</row>", False),
        (f"<row r='2'>{cell('A2', 'one')}</row><row r='2'>{cell('B2', 'two')}</row>", False),
        (f"<row r='1'>{cell('A1', 'one')}{cell('B1', 'two')}</row>", False),
        (f"<row r='2'>{cell('A2', 'one')}{cell('AA2', 'two')}</row>", True),
        (f"<row r='9'>{cell('Z9', 'one')}</row><row r='10'>{cell('A10', 'two')}</row>", True),
        (f"<row>{cell('', 'one')}{cell('', 'two')}</row>", True),
        (f"<row spans='1:2' r='2'>{cell('B2', 'one')}{cell('', 'two')}</row>", True),
    ],
)
def test_cells_that_are_out_of_order_are_reported(python: Path, cells: str, order: bool) -> None:
    ((blocks, left),) = read(python, "xlsx", [to_xlsx([["a"]], cells)])
    assert left == ([] if order else ["cells that are out of order or there twice"])
    assert not order or ("one" in "".join(blocks) and "two" in "".join(blocks))


@pytest.mark.parametrize("at", range(11))
def test_characters_that_are_written_as_their_numbers(python: Path, at: int) -> None:
    phone = "13912345678"
    written = f"{phone[:at]}_x{ord(phone[at]):04X}_{phone[at + 1 :]}"
    texts = {
        f"手机{written}": f"手机{phone}",
        "a_x005F_x0031_": "a_x0031_",
        "_xd83d__xde00_": "\U0001f600",
        "_xZZZZ_": "_xZZZZ_",
    }
    found = read(python, "xlsx", [to_xlsx([[it]]) for it in texts])
    assert [blocks[-1] for blocks, _ in found] == list(texts.values())
    assert phone not in mask_parts(found[0][0])[0][-1]


def _with_prefix(book: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(book)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            said = old.read(name)
            new.writestr(name, said.replace(b"<worksheet ", f'<worksheet xmlns:x="{MAIN}" '.encode()))
    return out.getvalue()


#: Numbers as programs write them into workbooks (Java's `Double.toString`), and what people see.
NUMBERS = {
    "1.3912345678E10": "13912345678", "13912345678": "13912345678", "13912345678.0": "13912345678", "12.50": "12.5",
    "6.2220212345678902E18": "6222021234567890000", "1.10101199003077E17": "110101199003077000", "1.0E-5": "0.00001",
    "0.1": "0.1", "-2.5E3": "-2500", "1E400": "inf", "3": "3", "1.0E300": "1e+300", "100": "100", "2.0E7": "20000000",
}  # fmt: skip


def test_numbers_are_written_as_their_digits(python: Path) -> None:
    books = [to_xlsx([["name"]], f'<row r="2"><c r="A2"><v>{it}</v></c></row>') for it in NUMBERS]
    found = read(python, "xlsx", books)
    assert [said[-1].rpartition(": ")[2] for said, _ in found] == list(NUMBERS.values())


@pytest.mark.parametrize("name", ["手机号", "联系", "备注", ""])
def test_a_telephone_that_is_a_number_is_found(python: Path, name: str) -> None:
    cells = "".join(f'<row r="{at}"><c r="A{at}" t="inlineStr"><is><t>x</t></is></c><c r="B{at}"><v>{it}</v></c></row>'
                    for at, it in enumerate(("1.3912345678E10", "13912345679", "13912345670.0"), 2))  # fmt: skip
    ((said, _),) = read(python, "xlsx", [to_xlsx([["n", name]], cells)])
    assert "1391234567" not in "".join(mask_parts(said)[0])
    assert sum("1391234567" in it for it in said) == 3


def test_a_strict_workbook_is_told(python: Path) -> None:
    data = to_xlsx([["x"]])
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(out := io.BytesIO(), "w") as made:
        for it in archive.namelist():
            made.writestr(it, archive.read(it).replace(MAIN.encode(), b"http://purl.oclc.org/ooxml/spreadsheetml/main"))
    assert read(python, "xlsx", [out.getvalue()], refused=True)[0][1] == [
        "it is a workbook in the strict form: save it as an ordinary one (.xlsx)"
    ]
