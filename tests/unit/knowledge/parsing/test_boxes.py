"""Forms with a box for each character: their value is found as if it were written in one cell."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest

from dualtrack.knowledge.parsing import boxes, tables
from dualtrack.knowledge.parsing.blocks import Parsed
from dualtrack.knowledge.pii.mask import mask_parts
from tests.unit.knowledge.parsing.layouts import Grid
from tests.unit.knowledge.parsing.test_columns import bars, read_text, tabs
from tests.unit.knowledge.parsing.test_tables import FORMATS

VALUES = {
    "身份证号码": "110101199003077715", "手机": "13912345678", "护照号：": "E12345678", "联系电话": "62345678",
    "银行账号": "6222021234567890128", "出生日期": "1990-03-07", "Passport No.": "K12345678", "社保号": "123456789",
    "身份证号（18位）": "11010119900307771X", "HKID No.": "Z683365(A)", "香港身份证": "A123456（3）",
    "车牌号": "粤B12345", "车牌号码": "京AD12345", "号牌（车牌）": "滬A·12345", "车牌：": "粤Z1234港",
}  # fmt: skip


def beside(names: list[str]) -> Grid:
    """Return a form with its labels before the boxes."""
    return [[it, *VALUES[it]] for it in names]


def one_row(names: list[str]) -> Grid:
    return [["姓名", "李雷", *(cell for it in names for cell in (it, *VALUES[it])), "备注", "无"]]


def below(names: list[str]) -> Grid:
    """Return a table with names over all boxes of a column, and several people."""
    first = ["姓名", *(cell for it in names for cell in (it, *[""] * (len(VALUES[it]) - 1))), "部门"]
    return [first, *([who, *"".join(VALUES[it] for it in names), "财务"] for who in ("李雷", "韩梅梅", "王五"))]


def titled(names: list[str]) -> Grid:
    return [["登记表"], *beside(names), ["说明", "请逐格填写"]]


WAYS = [beside, one_row, below, titled]
#: Values whose length their rules know, so that a part of one is told from one of its own.
LONG = {it: VALUES[it] for it in ("身份证号码", "手机", "身份证号（18位）", "HKID No.", "银行账号")}


def in_rows(names: list[str], parts: int, again: Callable[[str], str]) -> Grid:
    """Return a form in which boxes of a value are in several rows, below each other."""
    grid = []
    for it in names:
        wide = -(-len(VALUES[it]) // parts)
        rows = [VALUES[it][at : at + wide] for at in range(0, len(VALUES[it]), wide)]
        grid += [[it if row is rows[0] else again(it), *row] for row in rows]
    return grid


@pytest.mark.parametrize("written", [*FORMATS, tabs, bars], ids=lambda it: it.__name__)
@pytest.mark.parametrize("way", WAYS, ids=lambda it: it.__name__)
def test_no_value_in_boxes_is_left(way: Callable[[list[str]], Grid], written: Callable[[Grid], Parsed | str]) -> None:
    chance = random.Random(way.__name__)
    for _ in range(9):
        names = chance.sample([*VALUES], 2)
        grid = way(names)
        wide = max(map(len, grid))
        found = written([[*it, *[""] * (wide - len(it))] for it in grid])
        blocks = read_text(f"前\n{found}\n后") if isinstance(found, str) else found.blocks
        clean = "\n".join(mask_parts([it.text for it in blocks])[0])
        if way is one_row and isinstance(found, str):
            continue  # a table in a text has more rows
        flat = "".join(filter(str.isalnum, clean))
        for it in names:
            assert VALUES[it] not in clean, grid
            assert "".join(filter(str.isalnum, VALUES[it])) not in flat, grid


@pytest.mark.parametrize("again", [lambda _: "", lambda it: it], ids=["once", "in each row"])
@pytest.mark.parametrize("written", [*FORMATS, tabs, bars], ids=lambda it: it.__name__)
def test_no_value_in_rows_of_boxes_is_left(
    written: Callable[[Grid], Parsed | str], again: Callable[[str], str]
) -> None:
    for name, parts in itertools.product(LONG, (2, 3)):
        for names in ([name], [name, "手机"]):
            grid = [["姓名", "李雷"], *in_rows(names, 2 if len(LONG[name]) < 18 else parts, again), ["说明", "无"]]
            wide = max(map(len, grid))
            found = written([[*it, *[""] * (wide - len(it))] for it in grid])
            blocks = read_text(f"前\n{found}\n后") if isinstance(found, str) else found.blocks
            clean = "\n".join(mask_parts([it.text for it in blocks])[0])
            assert len([*filter(str.isdigit, clean.replace("18位", ""))]) < len("123"), grid


def test_boxes_below_each_other_that_are_values_of_their_own_stay() -> None:
    for name, values in {"手机": ("13912345678", "13812345678"), "电话": ("62345678", "62345679")}.items():
        for second in ("", name):
            grid = [[name, *values[0]], [second, *values[1]]]
            assert [it for row in boxes.joined(grid) for it in row if len(it) > 2][:1] == [values[0]]


def test_other_cells_of_one_character_stay() -> None:
    grids = [
        [["姓名", *(f"题{it}" for it in range(8))], ["李雷", *"45315324"]], [[*"12345678"], [*"87654321"]],
        [["电话", "1", "2", "3"]], [["", *"ABCDEFGH"], ["电话费", *"12345678"]][:1],
        [["联系电话", "部门", "室", "组", "层", "楼", "座"], [*"1234567"]],
    ]  # fmt: skip
    for grid in grids:
        assert boxes.joined(grid) == grid
    said = tables.rows([["手机", *"13912345678", "", "", "", *"abc"]], None)
    assert [it.text for it in said] == ["手机: 13912345678; a; b; c"]
