"""Groups of digits in a text that was made plain: where they are, and what is between them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from dualtrack.knowledge.pii.characters import Codes, Places

Bools = npt.NDArray[np.bool_]
#: What may be between digits, at most three of it.
S = r"[ \t\r\n\-./_·,()*]"
#: Digits in a run of them, as `candidates` looks for.
RUN = 10


@dataclass(frozen=True)
class Groups:
    """Groups of digits in runs of ten and more that have separators between them at most.

    ``starts``, ``sizes`` of each group; ``first`` is the number of its first digit among ``digits``, the values of all,
    and ``left`` how many digits the run has from there on; ``gaps`` is what is between a group and the next one in its
    run, as a number, and 0 after the last one.
    """

    starts: Places
    sizes: Places
    first: Places
    left: Places
    gaps: Places
    digits: npt.NDArray[np.uint8]


def groups(codes: Codes) -> Groups | None:
    """Return the groups of digits in a text between edges, or None where there are none in runs."""
    places = np.flatnonzero(codes - ord("0") < 10)
    if len(places) < RUN:
        return None
    first = np.flatnonzero(first_of(places[1:] != places[:-1] + 1))
    starts, sizes = places[first], np.diff(np.append(first, len(places)))
    ends, width = (starts + sizes)[:-1], starts[1:] - (starts + sizes)[:-1]
    gaps = np.zeros(len(starts), np.int64)
    linked = width <= 3
    for place in range(3):
        between, code = width > place, codes[np.minimum(ends + place, len(codes) - 1)]
        linked &= ~between | _separators()[np.minimum(code, 255)]
        gaps[:-1] |= np.where(between, code, 0).astype(np.int64) << 8 * place
    gaps[:-1][~linked] = 0
    opens = np.flatnonzero(first_of(~linked))
    totals = np.add.reduceat(sizes, opens)
    counts = np.diff(np.append(opens, len(starts)))
    left = np.repeat(totals + first[opens], counts) - first
    if not (long := np.repeat(totals >= RUN, counts)).any():
        return None
    digits = (codes[places] - ord("0")).astype(np.uint8)
    return Groups(starts[long], sizes[long], first[long], left[long], gaps[long], digits)


def first_of(different: Bools) -> Bools:
    """Return which of some are not as the one before, and the first one."""
    return np.concatenate([[True], different])


@cache
def _separators() -> npt.NDArray[np.bool_]:
    return np.array([bool(re.match(S, chr(it))) for it in range(256)])
