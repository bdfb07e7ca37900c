"""Rows that office programs put on the clipboard: tabs between cells, and quotes around those with lines or quotes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from dualtrack.knowledge.parsing import tables
from dualtrack.knowledge.parsing.blocks import Block
from dualtrack.knowledge.pii.mask import mask_parts
from tests.unit.knowledge.parsing.layouts import NAMED, PLAIN, Grid
from tests.unit.knowledge.parsing.test_columns import PLACES, read_markdown, read_text
from tests.unit.knowledge.parsing.test_interrupted import paragraphs_of

#: How a cell may be changed so that it has lines or quotes.
WITH_LINES = {
    "as it is": "{}", "with a note": "{}\n（已发放）", "below": "（初始）\n{}", "a blank line": "{}\n\n待确认",
    "quotes": '{} "是"',
    "a number": "{}\n2", "with a tab": "{}\t无", "all quotes": '"{}"', "one quote": '{}"', "a list": "- {}\n- 无",
}  # fmt: skip


def pasted(grid: Grid) -> str:
    def cell(said: str) -> str:
        return '"' + said.replace('"', '""') + '"' if any(it in said for it in '\n\t"') else said

    return "\n".join("\t".join(map(cell, row)) for row in grid)


def broken(said: str) -> str:
    """Return the name of a column on two lines."""
    return f"{said[:2]}\n{said[2:]}" if len(said) > 2 and " " not in said else said


def copied(seed: str, count: int) -> Iterator[Grid]:
    """Yield tables of which some cells have lines, tabs or quotes."""
    chance = random.Random(seed)
    for _ in range(count):
        names = chance.sample([*NAMED], chance.randint(1, 3)) + chance.sample([*PLAIN], chance.randint(1, 3))
        chance.shuffle(names)
        rows = [
            [
                chance.choice([*WITH_LINES.values()]).format(chance.choice(PLAIN[it])) if it in PLAIN
                else f"{NAMED[it]}\n（已改）" if chance.randrange(4) == 0 else NAMED[it]
                for it in names
            ]
            for _ in range(chance.randint(1, 5))
        ]  # fmt: skip
        yield [[broken(it) if chance.randrange(2) else it for it in names], *rows]


@pytest.mark.parametrize("place", PLACES)
def test_a_cell_with_lines_is_one_cell(place: str) -> None:
    for grid in copied(place, 60):
        said = pasted(grid)
        expected = [[it.replace("\n\n", "\n") if place == "quoted" else it for it in row] for row in grid]
        found = [it.text for it in PLACES[place](said)]
        assert [it.replace("\n\n", "\n") for it in found] == [
            it.text.replace("\n\n", "\n") for it in tables.rows(expected, None)
        ], said


@pytest.mark.parametrize("how", WITH_LINES)
def test_no_value_beside_a_cell_with_lines_is_left(how: str) -> None:
    names, values = ["姓名", "部门", "护照号", "办公电话"], ["李雷", "财务", "E12345678", "62345678"]
    for at in range(4):
        for row in (0, 1):
            grid = [[*names], [*values], ["韩梅", "人事", "E12345679", "62345679"]]
            grid[row][at] = WITH_LINES[how].format(grid[row][at])
            if row == 0 and at > 1 and how not in ("as it is", "with a note", "below", "a number"):
                continue  # no name of a column any more
            found = [it.text for it in read_text(f"各位好：\n\n{pasted(grid)}\n\n谢谢\n")]
            clean = "\n".join(mask_parts(found)[0])
            assert [it for it in (*values[2:], "E12345679", "62345679") if it in clean] == [], found


def test_quotes_that_nothing_closes_are_signs() -> None:
    said = '姓名\t备注\t护照号\n李雷\t24" 屏\tE12345678\n韩梅\t"未关\tE12345679\n王芳\t无\tE12345670'
    assert [it.text for it in read_text(said)] == [
        '姓名: 李雷; 备注: 24" 屏; 护照号: E12345678', '姓名: 韩梅; 备注: "未关; 护照号: E12345679',
        "姓名: 王芳; 备注: 无; 护照号: E12345670",
    ]  # fmt: skip
    text = 'They said "a\tb\nand more'
    assert [it.text for it in read_text(text)] == [text]


#: Signs of tables of all kinds, names of columns, and values.
SIGNS = [
    '"', '""', "\t", "\t", "|", "||", "\n", "\n", "\n\n", "[", "]", "!", "{color:red}", "{panel:title=", "}", "{{",
    "}}", "+", "-", "# ", "\n## ", "：", ":\n", "----\n", "密码", "姓名\t密码\n", "姓名|密码\n", "|姓名|密码|\n",
    "||姓名||密码||\n", "\\\\", "李雷\tAbc12345\n", "|李雷|Abc12345|\n", " ",
]  # fmt: skip


@pytest.mark.parametrize("read", [read_text, read_markdown, paragraphs_of], ids=["text", "markdown", "docx"])
def test_no_word_between_signs_of_tables_is_lost(read: Callable[[str], list[Block]]) -> None:
    chance, rows = random.Random(7), 0
    for _ in range(600):
        words = [f"Word{it:03}" for it in range(chance.randint(1, 12))]
        said = "".join(
            "".join(chance.choice(SIGNS) for _ in range(chance.randrange(4)))
            + it
            + chance.choice(("", "\t", "|", "\n"))
            for it in words
        )
        found = read(said)
        rows += any(it.kind == "row" for it in found)
        assert [it for it in words if it not in "\n".join(it.text for it in found)] == [], (said, found)
    assert rows > 50
