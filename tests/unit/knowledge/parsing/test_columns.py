"""Tables in texts: rows that tabs or bars divide, quoted or not, and tables of HTML in Markdown."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Iterator
from html import escape

import pytest

from dualtrack.knowledge.parsing import columns, markdown, office, separated, tables, text
from dualtrack.knowledge.parsing.blocks import Block
from dualtrack.knowledge.pii.mask import mask_parts
from tests.unit.knowledge.parsing.layouts import NAMED, PLAIN, Grid
from tests.unit.knowledge.parsing.test_tables import LAYOUTS
from tests.unit.knowledge.parsing.test_word import document


def tabs(grid: Grid) -> str:
    return "\n".join("\t".join(row) for row in grid)


def bars(grid: Grid) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in grid)


def bare_bars(grid: Grid) -> str:
    return "\n".join(" | ".join(row) for row in grid)


def box(grid: Grid, lines: str = "-+|") -> str:
    rule = f"{lines[1]}{lines[1].join(lines[0] * 9 for _ in grid[0])}{lines[1]}"
    rows = [f"{lines[2]} {f' {lines[2]} '.join(row)} {lines[2]}" for row in grid]
    return "\n".join([rule, rows[0], rule, *rows[1:], rule])


def drawn(grid: Grid) -> str:
    return box(grid, "─┼│")


def ruled(grid: Grid) -> str:
    first, *rows = bars(grid).split("\n")
    return "\n".join([first, f"|{'---|' * len(grid[0])}", *rows])


def quoted(grid: Grid) -> str:
    return "\n".join(f"> {it}" for it in ruled(grid).split("\n"))


def of_html(grid: Grid) -> str:
    rows = "".join(f"<tr>{''.join(f'<td class=a>{escape(it)}</td>' for it in row)}</tr>\n\n" for row in grid)
    return f"<table border=1>\n{rows}</table>"


WRITERS = [tabs, bars, bare_bars, box, drawn, ruled, quoted, of_html]


def read_text(said: str) -> list[Block]:
    return text.plain(said.encode()).blocks


def read_markdown(said: str) -> list[Block]:
    return markdown.read(said.encode()).blocks


READERS = [read_text, read_markdown]
#: Cells that one line has; others are of tables of office programs.
GRIDS = {name: [[it.replace("\n", " ") for it in row] for row in grid] for name, grid in LAYOUTS.items()}


@pytest.mark.parametrize(
    ("write", "read"),
    [*itertools.product(WRITERS, READERS)],
    ids=lambda it: it.__name__,
)
def test_no_value_that_a_word_names_is_left(write: Callable[[Grid], str], read: Callable[[str], list[Block]]) -> None:
    for layout, grid in GRIDS.items():
        parts = [it.text for it in read(f"前文\n{write(grid)}\n后文")]
        clean = "\n".join(mask_parts(parts)[0])
        assert [name for name, value in NAMED.items() if value in clean] == [], layout
        assert "前文" in clean, layout
        assert "后文" in clean, layout


@pytest.mark.parametrize("write", WRITERS, ids=lambda it: it.__name__)
def test_nothing_of_a_table_is_lost(write: Callable[[Grid], str]) -> None:
    grid = [["部门", "电话", "备注"], ["财务", "62345678", ""], ["", "62345679", "无"], ["人事", "", "a|b"]]
    grid = [[it.replace("|", "\\|") if write is not of_html else it for it in row] for row in grid]
    said = "\n".join(it.text for it in read_markdown(write(grid)))
    assert [it for row in grid for it in row if it.replace("\\|", "|") not in said.replace("\\|", "|")] == []


def padded(grid: Grid) -> str:
    """Return a table as programs for databases print it, with blanks for what is empty."""
    wide = [max(len(it) for it in column) for column in zip(*grid, strict=True)]
    rows = [" " + " | ".join(it.ljust(at) for it, at in zip(row, wide, strict=True)) for row in grid]
    return "\n".join([rows[0], "-+-".join("-" * it for it in wide), *rows[1:]])


def shorter(sign: str) -> Callable[[Grid], str]:
    """Return what writes rows without the signs behind their last cell."""

    def write(grid: Grid) -> str:
        rows = ([*itertools.dropwhile(lambda it: not it, row[::-1])][::-1] for row in grid)
        return "\n".join(sign.join(it) for it in rows if it)

    write.__name__ = f"short{ord(sign[0])}"
    return write


def of_lines(of: Callable[[Grid], str]) -> Callable[[Grid], str]:
    def write(grid: Grid) -> str:
        return "\n".join(f"> {it}" for it in of(grid).split("\n"))

    write.__name__ = f"quoted_{of.__name__}"
    return write


def spaced(grid: Grid) -> str:
    return tabs([it for it in grid if any(it)]).replace("\n", "\n\n")


def full_width(grid: Grid) -> str:
    return "\n".join("｜".join(row) for row in grid)


#: How a table with empty cells may be written, and what reads it.
SPARSE = [tabs, bars, bare_bars, padded, box, drawn, full_width, shorter("\t"), *map(of_lines, (tabs, bars, padded))]
PLACES: dict[str, Callable[[str], list[Block]]] = {
    "text": read_text, "markdown": read_markdown, "lines of a page": columns.blocks,
    "code of Markdown": lambda it: read_markdown(f"```\n{it}\n```")[1:-1],
    "quoted": lambda it: read_text("\n".join(f"> {line}" for line in it.split("\n"))),
}  # fmt: skip


def sparse(seed: str, count: int) -> Iterator[Grid]:
    """Yield tables with names of columns and many empty cells."""
    chance = random.Random(seed)
    for _ in range(count):
        names = chance.sample([*NAMED], chance.randint(1, 3)) + chance.sample([*PLAIN], chance.randint(1, 3))
        chance.shuffle(names)
        empty = chance.choice((0.2, 0.5, 0.8))
        rows = [
            [("" if chance.random() < empty else NAMED.get(it) or chance.choice(PLAIN[it])) for it in names]
            for _ in range(chance.randint(1, 8))
        ]
        rows += [[chance.choice(("财务部", "研发")), *[""] * (len(names) - 1)], [NAMED.get(it, "无") for it in names]]
        yield [names, *rows]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("write", SPARSE, ids=lambda it: it.__name__)
def test_a_table_with_empty_cells_is_read_as_one(write: Callable[[Grid], str], place: str) -> None:
    for grid in sparse(f"{write.__name__}{place}", 10):
        grid = [it for it in grid if any(it) or place != "markdown"]  # there blank lines end a table
        if write.__name__ == "short9" and "\n\n\n\n" in re.sub(r"[^\t\n]", "", f"\n{write(grid)}"):
            continue  # more lines without a tab than there are between rows
        said = write(grid)
        assert [it.text for it in PLACES[place](said)] == [it.text for it in tables.rows(grid, None)], said


def test_rows_between_blank_lines_are_a_table() -> None:
    for grid in sparse("spaced", 40):
        expected = [it.text for it in tables.rows(grid, None)]
        assert [it.text for it in read_text(f"前文\n\n{spaced(grid)}\n\n后文")] == ["前文", *expected, "后文"]
        first, rest = tabs([it for it in grid if any(it)]).split("\n", 1)
        assert [it.text for it in read_text(f"{first}\n\n{rest}")] == expected


def test_two_tables_are_two() -> None:
    said = "姓名\t电话\n李雷\t62345678\n\n城市\t人口\n甲\t2189\n乙\t1"
    assert [it.text for it in read_text(said)] == ["姓名: 李雷; 电话: 62345678", "城市\t人口\n甲\t2189\n乙\t1"]
    assert [it.text for it in read_text("前\n密码\tAbc12345\n后")] == ["前", "密码: Abc12345", "后"]


@pytest.mark.parametrize(
    "said",
    [
        "2024-01-02\tINFO\tstarted\n2024-01-03\tINFO\tended", "if a | b:\n    c | d", "a || b\nc || d", "x\ty",
        "cat a | grep password | wc\ncat b | sort", "\tindented\n\tlines", "| 甲 | 乙 |\n|---|---|\n| 1 | 2 |",
        "----\n====", "密码 | Abc12345",
    ],
)  # fmt: skip
def test_other_texts_stay_as_they_are(said: str) -> None:
    assert [it.text for it in columns.blocks(said)] == [said.strip("\n")]


def test_a_cell_over_several_columns() -> None:
    said = (
        "<table><tr><th colspan=2>联系方式</th><th>x</th></tr><tr><td>1&amp;<br>2</td><td></td><td>3</td></tr></table>"
    )
    assert [it.text for it in columns.blocks(f"a{said}b", f"a{said}b")] == ["a", "联系方式: 1&\n2; x: 3", "b"]


@pytest.mark.parametrize("seed", range(40))
def test_a_value_is_below_the_name_of_each_row_and_column_that_its_cell_reaches_over(seed: int) -> None:
    chance = random.Random(seed)
    deep, wide = chance.randint(2, 6), chance.randint(2, 5)
    names = ["姓名", "身份证号", "手机", "邮箱", "住址"][:wide]
    taken: dict[tuple[int, int], str] = {}
    rows = [f"<tr>{''.join(f'<th>{it}' for it in names)}"]
    for row in range(deep):
        cells = []
        for at in range(wide):
            if (row, at) in taken:
                continue
            if row and not chance.randrange(5):
                break  # rows may end early
            free = next((it for it in range(at, wide) if (row, it) in taken), wide) - at
            over = 1 + min(chance.randrange(3), free - 1)
            down = 1 + min(chance.randrange(3), deep - row - 1)
            said = f"word{row}{at}"
            for below in range(row, row + down):
                taken |= {(below, it): said if it == at else "" for it in range(at, at + over)}
            attributes = [f'{chance.choice(("colspan", "COLSPAN"))}="{over}"'] * (over > 1)
            attributes += [f"rowspan = {down}"] * (down > 1)
            cells.append(f"<td {' '.join(attributes)}>{said}</td>")
        rows.append(f"<tr class='x'>{''.join(cells)}</tr>")
    said = f"<table>{''.join(rows)}</table>"
    expected = [
        "; ".join(f"{names[at]}: {it}" for at in range(wide) if (it := taken.get((row, at)))) for row in range(deep)
    ]
    found = [it.text for it in columns.blocks(said, said)]
    assert [it for it in found if "word" in it] == [it for it in expected if it]


#: Parts of a text that speaks of HTML, and words for personal data with values.
SAID = [
    "<table>", "<table>", "<table border=1>", "</table>", "</table>", "</table>", "<tr>", "</tr>", "<td>", "</td>",
    "<th>", "<caption>", "</caption>", "<!--", "-->", "\n", "\n\n", "<p>", "</p>", "<td>密码</td>", "<td>手机</td>",
    "<td>密码</td>", "a<b", "<a@b.cn>", "İ",
]  # fmt: skip


@pytest.mark.parametrize("read", [read_text, columns.blocks], ids=["text", "lines of a page"])
def test_no_word_of_a_text_about_html_is_lost(read: Callable[[str], list[Block]]) -> None:
    chance, found_tables = random.Random(9), 0
    for _ in range(400):
        said, words = "", []
        for number in range(chance.randint(1, 24)):
            words.append(f"Word{number:03}")
            said += f"{chance.choice(SAID)} {words[-1]} " if chance.randrange(3) else words[-1].join(["<td>", "</td>"])
        found = read(said)
        found_tables += any(it.kind == "row" for it in found)
        assert [it for it in words if it not in "\n".join(it.text for it in found)] == [], said
        if not any(it.kind == "row" for it in found):
            assert "".join("".join(it.text.split()) for it in found) == "".join(said.split())
    assert found_tables > 10


def test_a_table_of_html_in_a_text_that_names_a_value_is_read_as_one() -> None:
    for layout, grid in GRIDS.items():
        said = f"前文 <table> 标签\n{of_html(grid)}\n后文".replace("\n\n", "\n")
        for read in (read_text, lambda it: read_markdown(f"```\n{it}\n```")):
            clean = "\n".join(mask_parts([it.text for it in read(said)])[0])
            assert [name for name, value in NAMED.items() if value in clean] == [], layout
            assert "前文 <table> 标签" in clean


def test_long_lines_take_no_longer_than_their_text() -> None:
    for unit in (
        "a\t",
        "|",
        "| a ",
        "<table>",
        "<tr>",
        "> ",
        "-+",
        "<td ",
        "\t\t",
        "{|",
        "{|\n|",
        '"a\t',
        '\t""',
        '"\t',
        "|a",
        "[a|",
        "|[a|",
        "|!a|",
        "## a",
        "a:",
    ):
        assert columns.blocks(unit * 20_000) or not unit.strip()
        assert columns.blocks(f"{unit}\n" * 2_000) or not unit.strip()


@pytest.mark.parametrize("first", ["sep=;\n", "sep=;\r\n", "SEP=|\n", ""])
@pytest.mark.parametrize("sign", [";", "|", ",", "\t", "，", "；"])
def test_cells_of_csv_are_told_by_their_sign(first: str, sign: str) -> None:
    rows = [["姓名", "密码", "电话"], ["李雷", "Abc12345", "02162345678"]]
    said = first.replace(";", sign).replace("|", sign) + "\n".join(sign.join(it) for it in rows)
    (found,) = separated.read(said.encode()).blocks
    assert found.text == "姓名: 李雷; 密码: Abc12345; 电话: 02162345678"


def paragraphs(grid: Grid, first: str = "") -> list[Block]:
    """Return what is read of a document whose paragraphs have the cells of a row with tabs between."""
    rows = ("</w:t><w:tab/><w:t>".join(map(escape, row)) for row in grid)
    body = "".join(f"<w:p><w:r>{first}<w:t>{it}</w:t></w:r></w:p>" for it in rows)
    return office.docx(
        document(f"<w:p><w:r><w:t>前文</w:t></w:r></w:p>{body}<w:p><w:r><w:t>后文</w:t></w:r></w:p>")
    ).blocks


def test_paragraphs_of_a_document_with_tabs_are_a_table() -> None:
    for grid in sparse("docx", 40):
        grid = [it for it in grid if any(it)]
        assert [it.text for it in paragraphs(grid)] == ["前文", *(it.text for it in tables.rows(grid, None)), "后文"]
    lines = [["第一章", "1"], ["第二章", "9"]]
    assert [it.text for it in paragraphs(lines)] == ["前文", "第一章\t1", "第二章\t9", "后文"]
    assert [it.text for it in paragraphs([["密码"], ["说明"]], "<w:tab/>")] == ["前文", "密码", "说明", "后文"]
