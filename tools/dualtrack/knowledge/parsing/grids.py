"""Cells of tables that reach over several columns or rows, as rows in which each text is in its columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

#: The columns and rows that a cell reaches over at most.
MOST = 64
#: The text of a cell, its columns and its rows.
Cell = tuple[str, int, int]
#: The end of a line in a cell.
BREAK = re.compile(r"<br\s*/?>", re.I)
_SPAN = re.compile(r"\b(col|row)span\s*=\s*[\"']?\s*([0-9]{1,4})", re.I)


def spread(rows: Iterable[Iterable[Cell]]) -> list[list[str]]:
    """Return the texts of cells by rows and columns; the text of a cell over several rows is in each of them."""
    found: list[list[str]] = []
    down: dict[int, tuple[int, str]] = {}
    for row in rows:
        cells: list[str] = []
        after: dict[int, tuple[int, str]] = {}
        for said, wide, deep in row:
            _from_above(cells, down)
            over = [said, *[""] * (wide - 1)]
            if deep > 1:
                after |= {at: (deep - 1, it) for at, it in enumerate(over, len(cells))}
            cells += over
        for at in sorted(down):
            if at >= len(cells):  # the row has fewer cells than there are columns before this one
                cells += [""] * (at - len(cells))
                _from_above(cells, down)
        down |= after
        found.append(cells)
    return found


def _from_above(cells: list[str], down: dict[int, tuple[int, str]]) -> None:
    """Add the texts of cells of rows above that reach into this one at its next columns."""
    while (at := len(cells)) in down:
        left, said = down.pop(at)
        if left > 1:
            down[at] = left - 1, said
        cells.append(said)


def number(said: str) -> int:
    """Return how many columns or rows an attribute gives to a cell: 1 where it is not a number."""
    said = said.strip()
    return min(int(said), MOST) if said.isdecimal() and len(said) < 5 and int(said) else 1


def spans(attributes: str) -> tuple[int, int]:
    """Return how many columns and rows the attributes of an element give to a cell."""
    found = {it[1].lower(): number(it[2]) for it in _SPAN.finditer(attributes)}
    return found.get("col", 1), found.get("row", 1)


def most_frequent(numbers: Iterable[int]) -> int:
    """Return the number that is there most often, the first of several; 0 where there are none."""
    counts = Counter(numbers)
    # Not Counter.most_common: it imports a module when it is called, and a parser that is closed in cannot.
    return max(counts, key=counts.__getitem__, default=0)
