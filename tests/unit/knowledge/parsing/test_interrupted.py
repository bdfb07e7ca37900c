"""Tables in texts that blank lines, page numbers or notes interrupt are one, and tables below each other are not."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from dualtrack.knowledge.parsing import tables
from dualtrack.knowledge.parsing.blocks import Block
from dualtrack.knowledge.pii.mask import mask_parts
from tests.unit.knowledge.parsing.layouts import NAMED, Grid
from tests.unit.knowledge.parsing.test_columns import (
    bare_bars,
    bars,
    drawn,
    read_markdown,
    read_text,
    ruled,
    shorter,
    sparse,
    tabs,
)  # fmt: skip

#: What may be between two rows.
BREAKS = {
    "a blank line": "", "two blank lines": "\n", "a page": "\n第 1 页，共 2 页\n",
    "a page in English": "\nPage 1 of 2\n", "a form feed": "\f", "a number": "\n- 3 -\n",
    "a title": "\n员工信息登记表（续）\n第 2 页\n",
}  # fmt: skip
READERS = [read_text, read_markdown, lambda it: read_text("\n".join(f"> {line}" for line in it.split("\n")))]


def interrupted(grid: Grid, write: Callable[[Grid], str], chance: random.Random, gap: str) -> tuple[str, Grid]:
    """Return a table with something between a few of its rows, and its rows with the texts of that."""
    lines: list[str] = []
    rows: Grid = []
    below = write(grid).split("\n")
    first = len(below) - len(grid) + 1  # names of columns, and the line below them
    places = {chance.randrange(first, len(below)) for _ in range(chance.randint(1, 3))}
    for at, line in enumerate(below):
        if at in places:
            lines += gap.split("\n")
            rows += [[it] for it in gap.split("\n") if it.strip()]
        lines.append(line)
        if at == 0 or at >= first:
            rows.append(grid[max(at - first + 1, 0)])
    return "\n".join(lines), rows


@pytest.mark.parametrize("read", READERS, ids=["text", "markdown", "quoted"])
@pytest.mark.parametrize("write", [tabs, bars, bare_bars, drawn, ruled, shorter("\t")], ids=lambda it: it.__name__)
@pytest.mark.parametrize("gap", BREAKS)
def test_an_interrupted_table_is_one(
    gap: str, write: Callable[[Grid], str], read: Callable[[str], list[Block]]
) -> None:
    chance = random.Random(f"{gap}{write.__name__}")
    for grid in sparse(f"{gap}{write.__name__}", 25):
        grid = [it for it in grid if any(it)]
        if write is drawn:
            said, rows = interrupted(grid, bars, chance, BREAKS[gap])
            said = said.replace("|", "│")
        elif write.__name__.startswith("short") and any(sum(map(bool, it)) < 2 or not it[0] for it in grid):
            continue  # lines without a tab are between rows
        else:
            said, rows = interrupted(grid, write, chance, BREAKS[gap])
        found = [it.text for it in read(f"前文\n\n{said}\n\n后文") if it.text.strip("> \n") not in ("前文", "后文")]
        clean = "\n".join(mask_parts(found)[0])
        secret = [at for at, it in enumerate(grid[0]) if it in NAMED]
        masked = "\n".join(mask_parts([it.text for it in tables.rows(rows, None)])[0])
        left = {row[at] for row in grid[1:] for at in secret if row[at] in NAMED.values()}
        assert [it for it in left if it in clean and it not in masked] == [], said
        assert [it for row in grid for it in row if it.rstrip("：") not in "\n".join(found)] == [], said


@pytest.mark.parametrize("read", READERS[:2], ids=["text", "markdown"])
@pytest.mark.parametrize("gap", BREAKS)
def test_rows_below_what_interrupts_them_have_the_names_of_their_columns(
    gap: str, read: Callable[[str], list[Block]]
) -> None:
    for write in (tabs, bars, ruled):
        said = write([["姓名", "护照号", "电话", "部门"], ["李雷", "E12345678", "62345678", "财务"]])
        rest = write([["韩梅梅", "E12345679", "62345679", "人事"], ["王芳", "", "62345670", ""]])
        rest = "\n".join(it for it in rest.split("\n") if "---" not in it)
        found = [it.text for it in read(f"{said}\n{BREAKS[gap]}\n{rest}") if "电话" in it.text]
        assert found == [
            "姓名: 李雷; 护照号: E12345678; 电话: 62345678; 部门: 财务",
            "姓名: 韩梅梅; 护照号: E12345679; 电话: 62345679; 部门: 人事", "姓名: 王芳; 电话: 62345670",
        ]  # fmt: skip


@pytest.mark.parametrize("read", READERS[:2], ids=["text", "markdown"])
def test_tables_below_each_other_stay_apart(read: Callable[[str], list[Block]]) -> None:
    people = [["姓名", "电话"], ["李雷", "62345678"], ["韩梅", "62345679"]]
    for other in (
        [["城市", "人口"], ["甲", "2189"]], [["系统", "密码"], ["OA", "Abc12345"]],
        [["电话", "姓名"], ["62345670", "李"]], [["甲", "乙", "丙"], ["1", "2", "3"]],
    ):  # fmt: skip
        for write in (tabs, bars, ruled):
            for gap in ("", "\n", "\n城市\n"):
                alone = [it.text for it in read(f"\n{write(other)}")]
                found = [it.text for it in read(f"{write(people)}\n{gap}\n{write(other)}")]
                assert found[:2] == ["姓名: 李雷; 电话: 62345678", "姓名: 韩梅; 电话: 62345679"]
                assert found[-len(alone) :] == alone


def test_a_long_note_does_not_end_a_table_whose_values_go_on() -> None:
    note = "（以上人员已经完成入职培训，并已按规定在人事系统内完成登记，请各部门知悉）"
    said = f"姓名\t护照号\n李雷\tE12345678\n{note}\n韩梅\tE12345679"
    assert [it.text for it in read_text(said)][-1] == "姓名: 韩梅; 护照号: E12345679"
    assert [it.text for it in read_text(f"姓名\t护照号\n李雷\tE12345678\n{note}\n甲\t乙")][-1] == f"{note}\n甲\t乙"
