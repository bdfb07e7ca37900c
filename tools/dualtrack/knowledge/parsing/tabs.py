"""Rows that tabs divide into cells: a tab ends one, or as many do as there are tab stops up to the next column.

Which of both holds is told by all rows together, since a run of tabs is also an empty cell. It is the one by which the
cells are in the fewest columns: by tab stops none reaches into the next column. Where columns do not line up in letters
of one width, as in fonts of office programs, a run of tabs is one where the rows have the same number of texts by that.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from math import inf

Rows = list[list[str]]
#: Blanks from one tab stop to the next: of terminals and editors, then of office programs by the sizes of their fonts.
STOPS = (8, 4, 2, 6, 7, 5, 3)


def cells(rows: Sequence[Sequence[str]]) -> Rows:
    """Return rows in which the same columns are below each other; they are given as what is between single tabs."""
    single = [[it.strip() for it in row] for row in rows]
    if not any("" in _without_end(it) for it in single):
        return single
    closed = [[*row[:1], *filter(None, row[1:])] for row in single]
    filled = {at for row in single for at, it in enumerate(row) if it}
    fewest = max(filled) - min(filled) + 1
    lined_up = min((_lined_up(rows, it) for it in STOPS), key=_columns)
    if _columns(lined_up) < fewest and _columns(lined_up) == max(map(len, closed)):
        return lined_up
    even = _evenness(closed)
    if even == 1 and max(map(len, closed)) < fewest:
        return closed
    if even > max(_evenness(single), _evenness([*map(_without_end, single)])):
        return closed
    return lined_up if _columns(lined_up) < fewest else single


def _columns(lined_up: Rows) -> float:
    return len(lined_up[0]) if lined_up else inf


def _without_end(row: list[str]) -> list[str]:
    """Return a row without the empty cells at its end."""
    return row[: max((at for at, it in enumerate(row, 1) if it), default=0)]


def _evenness(rows: Rows) -> float:
    """Return the share of rows with several cells that have as many as the longest one."""
    lengths = [len(it) for it in rows if len(it) > 1 and any(it)]
    return lengths.count(max(lengths)) / len(lengths) if lengths else 0


def _lined_up(rows: Sequence[Sequence[str]], width: int) -> Rows:
    """Return rows by the tab stops at which their cells begin; none where a cell reaches over the next column."""
    placed: list[dict[int, tuple[str, int]]] = []
    for row in rows:
        at = 0
        placed.append({})
        for it in row:
            end = at + _wide(it)
            if it.strip():
                placed[-1][at] = it.strip(), end
            at = (end // width + 1) * width
    stops = sorted({at for row in placed for at in row})
    after = dict(pairwise(stops))
    if any(end >= after.get(at, end + 1) for row in placed for at, (_, end) in [*row.items()][:-1]):
        return []
    return [[row[at][0] if at in row else "" for at in stops] for row in placed]


def _wide(said: str) -> int:
    """Return how many blanks a text is as wide as."""
    return sum(2 if unicodedata.east_asian_width(it) in "WF" else not unicodedata.combining(it) for it in said)
