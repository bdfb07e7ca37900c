"""Tables in texts: rows that tabs or bars divide, quoted or not, and tables of HTML in Markdown."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from html import escape

import pytest

from dualtrack.knowledge.parsing import columns, markdown, separated, text
from dualtrack.knowledge.parsing.blocks import Block
from dualtrack.knowledge.pii.mask import mask_parts
from tests.unit.knowledge.parsing.layouts import NAMED, Grid
from tests.unit.knowledge.parsing.test_tables import LAYOUTS


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
    [it for it in itertools.product(WRITERS, READERS) if it != (of_html, read_text)],
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


#: Parts of a text that speaks of HTML, and words for personal data with values.
SAID = [
    "<table>", "<table>", "<table border=1>", "</table>", "</table>", "</table>", "<tr>", "</tr>", "<td>", "</td>",
    "<th>", "<caption>", "</caption>", "<!--", "-->", "\n", "\n\n", "<p>", "</p>", "<td>密码</td>", "<td>手机</td>",
    "<td>密码</td>", "a<b", "<a@b.cn>", "İ",
]  # fmt: skip


@pytest.mark.parametrize("read", [read_text, columns.blocks], ids=["text", "lines of a page"])
def test_no_word_of_a_text_about_html_is_lost(read: Callable[[str], list[Block]]) -> None:
    chance, tables = random.Random(9), 0
    for _ in range(600):
        said, words = "", []
        for number in range(chance.randint(1, 24)):
            words.append(f"Word{number:03}")
            said += f"{chance.choice(SAID)} {words[-1]} " if chance.randrange(3) else words[-1].join(["<td>", "</td>"])
        found = read(said)
        tables += any(it.kind == "row" for it in found)
        assert [it for it in words if it not in "\n".join(it.text for it in found)] == [], said
        if not any(it.kind == "row" for it in found):
            assert "".join("".join(it.text.split()) for it in found) == "".join(said.split())
    assert tables > 20


def test_a_table_of_html_in_a_text_that_names_a_value_is_read_as_one() -> None:
    for layout, grid in GRIDS.items():
        said = f"前文 <table> 标签\n{of_html(grid)}\n后文".replace("\n\n", "\n")
        for read in (read_text, lambda it: read_markdown(f"```\n{it}\n```")):
            clean = "\n".join(mask_parts([it.text for it in read(said)])[0])
            assert [name for name, value in NAMED.items() if value in clean] == [], layout
            assert "前文 <table> 标签" in clean


def test_long_lines_take_no_longer_than_their_text() -> None:
    for unit in ("a\t", "|", "| a ", "<table>", "<tr>", "> ", "-+", "<td ", "\t\t"):
        assert columns.blocks(unit * 20_000) or not unit.strip()
        assert columns.blocks(f"{unit}\n" * 2_000) or not unit.strip()


@pytest.mark.parametrize("first", ["sep=;\n", "sep=;\r\n", "SEP=|\n", ""])
@pytest.mark.parametrize("sign", [";", "|", ",", "\t", "，", "；"])
def test_cells_of_csv_are_told_by_their_sign(first: str, sign: str) -> None:
    rows = [["姓名", "密码", "电话"], ["李雷", "Abc12345", "02162345678"]]
    said = first.replace(";", sign).replace("|", sign) + "\n".join(sign.join(it) for it in rows)
    (found,) = separated.read(said.encode()).blocks
    assert found.text == "姓名: 李雷; 密码: Abc12345; 电话: 02162345678"
