"""Tables of wikis in texts: those of MediaWiki, and names of columns between two bars above rows between one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from dualtrack.knowledge.parsing import grids

#: What begins and ends a table of MediaWiki, a row of it, its title, and a line of cells.
BEGIN, _END, _ROW, _TITLE, _CELLS = "{|", "|}", "|-", "|+", ("|", "!")
#: Tables in tables are no more than this many.
DEEPEST = 4
#: Between the cells of a line; and of a line that begins with `!`.
_BARS, _BARS_OF_NAMES = re.compile(r"\|\|"), re.compile(r"\|\||!!")
#: Before a cell: how it looks, and over how many columns and rows it reaches.
_ATTRIBUTES = re.compile(r"([^|\[{]*=[^|\[{]*)\|(?!\|)")
#: Around a cell in bold or italic letters.
_LETTERS = re.compile(r"('{2,5})(.+?)\1\Z", re.S)


def found_in(lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield where tables of MediaWiki begin and end that are in no other one."""
    last_end = max((at for at, it in enumerate(lines) if _begins(it, _END)), default=-1)
    at = 0
    while at < len(lines):
        end = _end(lines, at, last_end) if _begins(lines[at], BEGIN) else 0
        if end:
            yield at, end
        at = max(end, at + 1)


def _end(lines: Sequence[str], start: int, last_end: int) -> int:
    """Return where a table ends; 0 where it has no cells. One that nothing ends has lines up to its last cells."""
    deep, cells = 0, 0
    for at in range(start, len(lines)):
        deep += _begins(lines[at], BEGIN)
        deep -= _begins(lines[at], _END)
        if not deep:
            return at + 1
        if deep > DEEPEST or (start > last_end and not lines[at].strip()):
            break
        if _begins(lines[at], *_CELLS):
            cells = at + 1
    return cells if start > last_end else 0


def _begins(line: str, *signs: str) -> bool:
    return line.lstrip().startswith(signs)


def parts(lines: Sequence[str]) -> tuple[str, list[list[str]]]:
    """Return what of a table of MediaWiki is in none of its cells, and its rows; one in a cell is a text of it."""
    outside = [_other(lines[0].strip().removeprefix(BEGIN))]
    rows: list[list[grids.Cell]] = [[]]
    deep = 1
    for it in lines[1:]:
        line = it.strip()
        deep += line.startswith(BEGIN)
        deep -= line.startswith(_END)
        if not deep:
            outside.append(line.removeprefix(_END).strip())
        elif deep == 1 and line.startswith(_ROW):
            rows.append([])
            outside.append(_other(line.removeprefix(_ROW).lstrip("-")))
        elif deep == 1 and line.startswith(_CELLS) and not line.startswith((_TITLE, _END)):
            between = _BARS_OF_NAMES if line[0] == "!" else _BARS
            rows[-1] += [_cell(cell) for cell in between.split(line[1:])]
        elif not rows[-1] or (deep == 1 and line.startswith(_TITLE)):
            outside.append(line.removeprefix(_TITLE).strip())
        else:
            said, wide, tall = rows[-1][-1]
            rows[-1][-1] = f"{said}\n{line}".strip(), wide, tall
    return "\n".join(it for it in outside if it), grids.spread(it for it in rows if it)


def _other(said: str) -> str:
    """Return what is behind the sign of a table or a row; nothing of attributes."""
    return "" if "=" in said else said.strip()


def _cell(said: str) -> grids.Cell:
    found = _ATTRIBUTES.match(said)
    wide, deep = grids.spans(found[1]) if found else (1, 1)
    said = grids.BREAK.sub("\n", said[found.end() :] if found else said).strip()
    return _LETTERS.sub(r"\2", said), wide, deep


def with_single_bars(rows: Sequence[list[str]]) -> list[list[str]]:
    """Return rows between bars in which those between two bars have as many cells as most of the others.

    They are given as what is between single bars. A row between two bars may also be one with empty cells.
    """
    usual = grids.most_frequent(len(it) for it in rows if len(it) > 1 and not _has_double_bars(it))
    return [it[::2] if _has_double_bars(it) and len(it[::2]) == usual else it for it in rows]


def _has_double_bars(row: list[str]) -> bool:
    return len(row) > 4 and len(row) % 2 == 1 and not any((row[0], row[-1], *row[1::2]))
