"""Tables as text: nothing in a cell is lost, and a value stays beside the word that names it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from html import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtrack.knowledge.parsing import labels, markdown, office, separated, tables
from dualtrack.knowledge.parsing.blocks import Parsed
from dualtrack.knowledge.pii.mask import mask_parts
from tests.unit.knowledge.parsing.layouts import NAMED, Grid
from tests.unit.knowledge.parsing.test_word import document


def to_csv(grid: Grid) -> Parsed:
    out = io.StringIO()
    csv.writer(out).writerows(grid)
    return separated.read(out.getvalue().encode())


def runs(row: list[str]) -> list[tuple[str, int]]:
    """Return the cells of a row, each with the empty ones after it as one merged cell."""
    found: list[tuple[str, int]] = []
    for it in row:
        if it or not found:
            found.append((it, 1))
        else:
            found[-1] = found[-1][0], found[-1][1] + 1
    return found


def lines(said: str) -> str:
    """Return the lines of a text as a run has them."""
    return "<w:br/>".join(f"<w:t>{escape(it)}</w:t>" for it in said.split("\n"))


def to_docx(grid: Grid, *, merged: bool = False) -> Parsed:
    def row(cells: list[str]) -> str:
        of = runs(cells) if merged else [(it, 1) for it in cells]
        return "".join(
            f'<w:tc><w:tcPr><w:gridSpan w:val="{span}"/></w:tcPr><w:p><w:r>{lines(it)}</w:r></w:p></w:tc>'
            for it, span in of
        )

    return office.docx(document("<w:tbl>" + "".join(f"<w:tr>{row(it)}</w:tr>" for it in grid) + "</w:tbl>"))


def to_docx_merged(grid: Grid) -> Parsed:
    return to_docx(grid, merged=True)


def to_markdown(grid: Grid) -> Parsed:
    first, *others = [
        "| " + " | ".join(it.replace("|", "\\|").replace("\n", "<br>") for it in row) + " |" for row in grid
    ]
    return markdown.read("\n".join(["shown", first, "|" + "-|" * len(grid[0]), *others]).encode())


FORMATS = [to_csv, to_docx, to_docx_merged, to_markdown]
CELLS = [
    "", "", "姓名", "部门", "登录密码", "手机：", "联系人", "合同编号", "HT-2024001", "2024年1月2日", "2024", "138.5",
    "Abc12345",
    "项目", "内容", "甲方", "华为技术有限公司",
    "备注：须经部门负责人和财务负责人签字后才能执行，任何人不得以任何理由代签，违者处理",
    "QQ", "E12345678",
]  # fmt: skip


def unique(grid: Grid) -> Grid:
    """Return a table in which each text is there once, so that a missing one is not taken for another."""
    return [[it and chr(0x4E00 + at * 8 + place) + it for place, it in enumerate(row)] for at, row in enumerate(grid)]


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    wide, deep = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    return unique([[draw(st.sampled_from(CELLS)) for _ in range(wide)] for _ in range(deep)])


@pytest.mark.parametrize("written", FORMATS, ids=lambda it: it.__name__)
@settings(max_examples=50, deadline=None)
@given(grid=grids())
def test_every_text_of_every_cell_is_read(written: Callable[[Grid], Parsed], grid: Grid) -> None:
    if not any(any(row) for row in grid):
        return
    parsed = written(grid)
    said = "\n".join(it.text for it in parsed.blocks)
    assert [it for row in grid for it in row if it and labels.bare(it) not in said] == []
    assert parsed.left_out == []


def _plain_form() -> Grid:
    return [[name, value] for name, value in NAMED.items()]


def _four() -> Grid:
    pairs = [*NAMED.items(), ("备注", "无")]
    return [[*one, *other] for one, other in zip(pairs[::2], pairs[1::2], strict=True)]


def _sections() -> Grid:
    """Return names in one row and values in the next one, several times."""
    names, values = list(NAMED), list(NAMED.values())
    return [it for at in range(0, len(names), 4) for it in (_padded(names[at : at + 4]), _padded(values[at : at + 4]))]


def _padded(row: list[str]) -> list[str]:
    return [*row, *[""] * (4 - len(row))]


LAYOUTS: dict[str, Grid] = {
    "form": _plain_form(),
    "form, other first row": [["姓名", "张三"], *_plain_form()],
    "form, names of columns": [["项目", "内容"], *_plain_form()],
    "form, unknown names of columns": [["资料项", "员工填写"], *_plain_form()],
    "form, title": [["员工登记表", ""], *_plain_form()],
    "numbered": [["序号", "项目", "内容"], *([str(at), *it] for at, it in enumerate(_plain_form(), 1))],
    "with notes": [["项目", "内容", "备注"], *([*it, "" if at % 3 else "必填"] for at, it in enumerate(_plain_form()))],
    "notes between": [["项目", "必填", "内容"], *([name, "是", value] for name, value in _plain_form())],
    "without names, notes": [[*it, "必填"] for it in _plain_form()],
    "four columns": _four(),
    "four columns, title and remark": [["登记表", "", "", ""], *_four(), ["说明", "以上信息属实", "", ""]],
    "columns": [list(NAMED), list(NAMED.values())],
    "columns, titled": [["登记表", *[""] * (len(NAMED) - 1)], list(NAMED), list(NAMED.values())],
    "columns, other first": [["部门", *NAMED], ["财务", *NAMED.values()], ["人事", *NAMED.values()]],
    "people in columns": [["", "张三", "李四"], *([name, value, value] for name, value in _plain_form())],
    "names above values": _sections(),
}  # fmt: skip


@pytest.mark.parametrize("written", FORMATS, ids=lambda it: it.__name__)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_value_that_a_word_names_is_left(layout: str, written: Callable[[Grid], Parsed]) -> None:
    parts = [it.text for it in written(LAYOUTS[layout]).blocks]
    clean = "\n".join(mask_parts(parts)[0])
    assert [name for name, value in NAMED.items() if value in clean] == []


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        ([["部门", "负责人"], ["财务", "赵六"]], ["部门: 财务; 负责人: 赵六"]),
        ([["年度", "收入", "利润"], ["2023", "10", "2"]], ["年度: 2023; 收入: 10; 利润: 2"]),
        ([["收入", "2023 年"], ["华南", "10"], ["华北", "12"]], ["收入: 华南; 2023 年: 10", "收入: 华北; 2023 年: 12"]),
        ([["姓名", "电话", "备注"], ["甲", "1", ""]], ["姓名; 电话; 备注", "姓名: 甲; 电话: 1"]),
        ([["城市", "人口", "面积"], ["甲", "2189", "16410"]], ["城市: 甲; 人口: 2189; 面积: 16410"]),
        ([["二〇二四年名单", "", ""], ["姓名", "组", "室"], ["甲", "一", "二"]],
         ["二〇二四年名单", "姓名: 甲; 组: 一; 室: 二"]),
        ([["项目", "内容"], ["法定代表人", "王五"], ["成立日期", "2001年"]],
         ["项目: 内容", "法定代表人: 王五", "成立日期: 2001年"]),
        ([["合同编号", "HT-2024", "签订日期", "2024年1月2日"], ["甲方", "华为", "", ""]],
         ["合同编号: HT-2024; 签订日期: 2024年1月2日", "甲方: 华为"]),
        ([["系统", "登录密码"], ["微信", "Abc12345"]], ["系统: 微信; 登录密码: Abc12345"]),
        ([["只有一行", "两格"]], ["只有一行; 两格"]),
    ],
)  # fmt: skip
def test_rows(grid: Grid, said: list[str]) -> None:
    assert [it.text for it in tables.rows(grid, "")] == said


def test_tables_in_markdown() -> None:
    said = markdown.read("前\n| 甲 | 乙 |\n|---|:-:|\n| 1 | a\\|b |\n后\n\n```\n| x | y |\n|---|---|\n```".encode())
    assert [(it.kind, it.text) for it in said.blocks] == [
        ("text", "前"), ("row", "甲: 1; 乙: a|b"), ("text", "后"), ("text", "```\n| x | y |\n|---|---|\n```"),
    ]  # fmt: skip
