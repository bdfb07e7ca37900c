"""Forms with a box for each character: `身份证号 |1|1|0|1|…`.

In a row these boxes are cells of one character each. Their characters are one value where a word that names personal
data is before the first one, or above it over all of them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from dualtrack.knowledge.parsing import labels

#: Boxes that may be a value, and the signs that may be between them, as in a date.
FEWEST = 6
_BETWEEN = frozenset("-./年月日()")


def joined(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the cells of a table in which each value that is in boxes is in the first of them."""
    found = [[cell.strip() for cell in it] for it in rows]
    if not any(sum(len(it) == 1 for it in row) >= FEWEST for row in found):
        return found
    above: dict[int, str] = {}
    for row in found:
        at = 0
        while at < len(row):
            end = _end(row, at)
            before = next((it for it in reversed(row[:at]) if it), "") if end - at >= FEWEST else ""
            named = _is_name(before)
            if not named:  # the boxes below one name
                end = next((it for it in range(at + 1, end) if above.get(it, above.get(at)) != above.get(at)), end)
                named = _is_name(above.get(at, ""))
            if named and end - at >= FEWEST:
                row[at:end] = ["".join(row[at:end]), *[""] * (end - at - 1)]
            at = max(end, at + 1)
        above |= {at: cell for at, cell in enumerate(row) if len(cell) > 1 and labels.is_label(labels.joined(cell))}
    return found


def _end(row: list[str], at: int) -> int:
    """Return behind which cell boxes end that begin at one: the last one has a letter or a digit."""
    end = at
    for place in range(at, len(row)):
        if _is_box(row[place]):
            end = place + 1
        elif place == at or row[place] not in _BETWEEN:
            break
    return end


def _is_box(cell: str) -> bool:
    plain = unicodedata.normalize("NFKC", cell) if len(cell) == 1 else ""
    return len(plain) == 1 and plain.isascii() and plain.isalnum()


def _is_name(cell: str) -> bool:
    return labels.names_value(labels.joined(cell))
