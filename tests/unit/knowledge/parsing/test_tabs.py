"""Tables that tabs line up: several tabs are one end of a cell where the rows have the same columns by that."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Iterator

import pytest

from dualtrack.knowledge.parsing import columns, tables
from dualtrack.knowledge.pii.mask import mask_parts
from tests.unit.knowledge.parsing.layouts import NAMED, PLAIN, Grid
from tests.unit.knowledge.parsing.test_columns import paragraphs, read_markdown, read_text, sparse

PEOPLE = ["李雷", "韩梅梅", "欧阳小敏", "Li Wei", "Alexander Smith"]
OFFICES = ["财务部", "IT", "人力资源与行政管理部", "研发"]


def wide(said: str) -> int:
    return sum(2 if unicodedata.east_asian_width(it) in "WF" else 1 for it in said)


def lined_up(grid: Grid, stop: int) -> str:
    """Return a table with as many tabs behind each cell as its column needs, and none behind the last one."""
    ends = [(max(map(wide, it)) // stop + 1) * stop for it in zip(*grid, strict=True)]
    return "\n".join(
        "".join(it + "\t" * -((wide(it) - end) // stop) for it, end in zip(row, ends, strict=True)).rstrip("\t")
        for row in grid
    )


def by_hand(grid: Grid, chance: random.Random) -> str:
    """Return a table with one or two tabs behind each cell, as a font of its own needs them."""
    return "\n".join("".join(it + "\t" * chance.randint(1, 2) for it in row[:-1]) + row[-1] for row in grid)


def full(seed: str, count: int) -> Iterator[Grid]:
    """Yield tables without empty cells."""
    chance = random.Random(seed)

    def value(name: str) -> str:
        return NAMED.get(name) or chance.choice(PLAIN[name])

    for _ in range(count):
        names = chance.sample([*NAMED], chance.randint(1, 3)) + chance.sample([*PLAIN], chance.randint(0, 2))
        chance.shuffle(names)
        rows = [
            [
                chance.choice(PEOPLE),
                *(NAMED.get(it) or chance.choice(PLAIN[it]) for it in names),
                chance.choice(OFFICES),
            ]
            for _ in range(chance.randint(1, 6))
        ]
        yield [["姓名", *names, "科室"], *rows]


def rows_of(grid: Grid) -> list[str]:
    return [it.text for it in tables.rows(grid, None)]


@pytest.mark.parametrize("stop", [2, 4, 8])
def test_values_stay_below_the_names_that_tab_stops_put_them_below(stop: int) -> None:
    several = 0
    for grid in full(f"stops{stop}", 80):
        said, expected = lined_up(grid, stop), rows_of(grid)
        several += "\t\t" in said
        for read in (read_text, read_markdown, columns.blocks):
            assert [it.text for it in read(said)] == expected, said
        assert [it.text for it in read_text("\n".join(f"> {it}" for it in said.split("\n")))] == expected, said
        assert [it.text for it in paragraphs([it.split("\t") for it in said.split("\n")])][1:-1] == expected, said
    assert several > 40


def test_a_cell_that_is_empty_stays_so_between_tab_stops() -> None:
    unclear = 0
    for grid in sparse("stops", 200):
        grid = [it for it in grid if any(it)]
        said = lined_up(grid, 8)
        single = [it.split("\t") for it in said.split("\n")]
        if max(map(len, single)) == len(grid[0]):
            unclear += any("" in it for it in single)
            continue  # as many columns as there are names: each tab ends a cell
        assert [it.text for it in columns.blocks(said)] == rows_of(grid), said
    assert unclear < 40


def test_rows_with_as_many_texts_are_in_the_same_columns_whatever_tabs_are_between_them() -> None:
    chance = random.Random(3)
    for grid in full("by hand", 80):
        said = by_hand(grid, chance)
        clean = "\n".join(mask_parts([it.text for it in read_text(f"前文\n{said}\n后文")])[0])
        assert [it for name, it in NAMED.items() if name in grid[0] and it in clean] == [], said
        assert [it.text for it in columns.blocks(said)] == rows_of(grid), said


def test_a_label_and_its_value_are_one_whatever_tabs_are_between_them() -> None:
    assert [it.text for it in read_text("前\n密码\t\tAbc12345\n后")] == ["前", "密码: Abc12345", "后"]
    assert [it.text for it in read_text("姓名\t\t李雷\n护照号码\tE12345678")] == ["姓名: 李雷", "护照号码: E12345678"]
