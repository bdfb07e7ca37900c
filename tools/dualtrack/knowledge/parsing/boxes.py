"""Forms with a box for each character: `身份证号 |1|1|0|1|…`.

In a row these boxes are cells of one character each. Their characters are one value where a word that names personal
data is before the first one, or above it over all of them. The boxes of a value may be in several rows.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from dualtrack.knowledge.parsing import labels
from dualtrack.knowledge.pii import vocabulary as say
from dualtrack.knowledge.pii.traditional import simplified

#: Boxes that may be a value, and rows that one may be in.
FEWEST, MOST_ROWS = 6, 4
#: Signs that may be between boxes, as in a date, a licence plate and the identity card of a soldier.
_BETWEEN = frozenset("-./·•年月日()字第")
#: Characters that are not of the Latin script, in a first box; and in a last one behind others of these.
_FIRST = frozenset(say.PLATES + say.ARMS)
_LAST = {")": "(", "日": "月", "号": "第", **dict.fromkeys("挂学警港澳领使", "")}


def joined(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the cells of a table in which each value that is in boxes is in the first of them."""
    found = [[cell.strip() for cell in it] for it in rows]
    if not any(sum(len(it) == 1 for it in row) >= FEWEST / 2 for row in found):
        return found
    above: dict[int, str] = {}
    for number, row in enumerate(found):
        at = 0
        while at < len(row):
            end = _end(row, at)
            name = next((it for it in reversed(row[:at]) if it), "") if end > at else ""
            if not _is_name(name):  # the boxes below one name
                end = next((it for it in range(at + 1, end) if above.get(it, above.get(at)) != above.get(at)), end)
                name = above.get(at, "")
            if end - at > 1 and _is_name(name):
                _join(found, number, at, end, name)
            at = max(end, at + 1)
        above |= {at: cell for at, cell in enumerate(row) if len(cell) > 1 and labels.is_label(labels.joined(cell))}
    return found


def _join(found: list[list[str]], number: int, at: int, end: int, name: str) -> None:
    """Join boxes of a row to one value, with those of the rows below that belong to it."""
    said, below = "".join(found[number][at:end]), 0
    longer = said
    if not labels.fits(said, name):
        for count, row in enumerate(found[number + 1 : number + MOST_ROWS], 1):
            longer += (more := _of_row(row, at, name))
            if not more:
                break
            if labels.fits(longer, name):
                said, below = longer, count
    if below or end - at >= FEWEST:
        found[number][at:end] = [said, *[""] * (end - at - 1)]
        for row in found[number + 1 : number + 1 + below]:
            row[:] = [""] * len(row)


def _of_row(row: list[str], at: int, name: str) -> str:
    """Return the characters of a row that has nothing but boxes from a column on, and their name at most."""
    end = _end(row, at)
    others = {*row[:at], *row[end:]} - {"", name}
    return "" if others else "".join(row[at:end])


def _end(row: list[str], at: int) -> int:
    """Return behind which cell boxes end that begin at one: the last one has no sign that is between others."""
    end = at
    begun: set[str] = set()
    for place in range(at, len(row)):
        cell = _plain(row[place])
        if (
            _is_box(cell)
            or (place == at and cell in _FIRST)
            or (begun and cell in _LAST and _LAST[cell] in {*begun, ""})
        ):
            end = place + 1
        elif not begun or cell not in _BETWEEN:
            break
        begun.add(cell)
    return end


def _plain(cell: str) -> str:
    """Return the character of a box as it is compared; empty where a cell has others or none."""
    plain = unicodedata.normalize("NFKC", cell) if len(cell) == 1 else ""
    return simplified().get(plain, plain) if len(plain) == 1 else ""


def _is_box(cell: str) -> bool:
    return cell.isascii() and cell.isalnum()


def _is_name(cell: str) -> bool:
    return labels.names_value(labels.joined(cell))
