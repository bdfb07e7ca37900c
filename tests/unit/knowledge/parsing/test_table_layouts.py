"""However a table is laid out, no value is left whose column or row has a word for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dualtrack.knowledge.parsing.blocks import Parsed
from dualtrack.knowledge.pii.mask import mask_parts
from tests.unit.knowledge.parsing.layouts import Grid, layouts, stacked
from tests.unit.knowledge.parsing.test_tables import FORMATS


@pytest.mark.parametrize("written", FORMATS, ids=lambda it: it.__name__)
def test_no_value_of_any_layout_is_left(written: Callable[[Grid], Parsed]) -> None:
    left = []
    for name, grid, secrets in (*layouts(4242), *stacked(4242, 100)):
        clean = "\n".join(mask_parts([it.text for it in written(grid).blocks])[0])
        if lost := [it for it in secrets if it in clean]:
            left.append((name, lost, grid, clean))
    assert left == []
