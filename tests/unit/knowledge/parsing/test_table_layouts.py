"""However a table is laid out, no value is left whose column or row has a word for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dualtrack.knowledge.parsing import tables
from dualtrack.knowledge.parsing.blocks import Parsed
from dualtrack.knowledge.pii.mask import mask_parts
from tests.unit.knowledge.parsing.layouts import Grid, layouts, stacked, with_pairs
from tests.unit.knowledge.parsing.test_tables import FORMATS
from tests.unit.knowledge.pii.test_beside import found_in


@pytest.mark.parametrize("written", FORMATS, ids=lambda it: it.__name__)
def test_no_value_of_any_layout_is_left(written: Callable[[Grid], Parsed]) -> None:
    cases = [
        (name, grid, secrets, "\n".join(it.text for it in written(grid).blocks))
        for name, grid, secrets in (*layouts(4242), *stacked(4242, 100), *with_pairs(4242, 10))
    ]
    left = []
    # One scan for all: what a value's second occurrence in its document would hide is seen here.
    for (name, grid, secrets, text), found in zip(cases, found_in([it[3] for it in cases]), strict=True):
        for one in found:
            text = text.replace(one, "")
        if lost := [it for it in secrets if it in text]:
            left.append((name, lost, grid, text))
    assert left == []


@pytest.mark.parametrize("start", [0, 1, 2])
def test_a_column_that_counts_the_names_of_columns_is_no_value(start: int) -> None:
    """As programs write tables without an index of their own: the first row has none, or all have one."""
    left, lost = [], []
    for name, grid, secrets in [*layouts(77), *stacked(77, 20)][start::40]:
        for first in ("", str(start)):
            numbers = [first, *map(str, range(start + 1, start + len(grid)))]
            said = "\n".join(it.text for it in tables.rows([[*it] for it in map(_with, numbers, grid)], None))
            if found := [it for it in secrets if it in "\n".join(mask_parts(said.split("\n"))[0])]:
                left.append((name, found, grid, said))
            lost += [it for it in secrets if it not in said]
    assert left == []
    assert lost == []


def _with(number: str, row: list[str]) -> list[str]:
    return [number, *row]


@pytest.mark.parametrize("side", ["left", "right"])
def test_names_beside_a_label_and_its_value_are_names(side: str) -> None:
    for pair in (["联系电话", "62345671"], ["密码", "Qwe45678"]):
        parts = [["姓名", "护照号"], pair] if side == "right" else [pair, ["姓名", "护照号"]]
        values = [["李雷", "E12345678"], ["", "财务"]] if side == "right" else [["", "财务"], ["李雷", "E12345678"]]
        names, row = (parts[0] + [""] + parts[1], values[0] + [""] + values[1])
        first, second = (it.text for it in tables.rows([names, row], None))
        assert ": ".join(pair) in first
        assert "姓名: 李雷; 护照号: E12345678" in second
        assert f"{pair[1]}: " not in second
