"""Tables of wikis in texts: those of MediaWiki, and those of Jira.

In Jira names of columns are between two bars, and rows below between one. A cell may have lines, and links, pictures
and macros, in which bars separate no cells.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

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

#: In Jira: a macro; with a link or a picture what may have bars; macros around a text that say how it looks.
_MACRO = r"\{[a-z]+(?::[^{}\n]*)?\}"
_WITH_BARS = re.compile(rf"\[[^\[\]|\n]*[^\s\[\]|]\|[^\s\[\]|][^\[\]\n]*\]|![^!|\s]+\|[^!|\n]*!|{_MACRO}")
_LOOKS = re.compile(r"\{(?:color|quote|noformat|code)(?::[^{}|\n]*)?\}")
_OTHER_MACROS = re.compile(rf"({_MACRO})[ \t]*(?!\Z)")
#: Around a text that looks different from others.
_SIGNS = re.compile(r"(\{\{|\?\?|[-+*_^~])(?=\S)(.+?)(?<=\S)(?:\}\}|\1)")
#: A bar that separates no cells.
BAR = "\0"


def end_of_row(lines: Sequence[str], at: int, bare: Callable[[str], str], most: int) -> int:
    """Return behind which line a row of Jira ends: with a bar, behind lines of its cells that begin with none."""
    if not bare(lines[at]).startswith("|"):
        return at + 1
    end = at + 1
    for then in range(end, min(at + most, len(lines))):
        said = bare(lines[then]).strip()
        if not said or said.startswith("|"):
            break
        if said.endswith("|"):
            end = then + 1
    return end


def with_bars_between(row: str) -> str:
    """Return a row in which bars that separate no cells are `BAR`; nothing of one that is a macro of Jira alone."""
    if re.fullmatch(_MACRO, row.strip()):
        return ""
    return _WITH_BARS.sub(lambda it: it[0].replace("|", BAR), row) if row.lstrip().startswith("|") else row


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

    The first row may have more. They are given as what is between single bars. A row between two bars may also be one
    with empty cells.
    """
    lengths = [len(it) for it in rows if len(it) > 1 and not _has_double_bars(it)]
    usual, most = grids.most_frequent(lengths), max(lengths, default=len(rows[0]) if rows else 0)
    of_names = [
        _has_double_bars(it) and (len(it[::2]) == usual or (not at and most <= len(it[::2])))
        for at, it in enumerate(rows)
    ]
    found = [it[::2] if double else it for it, double in zip(rows, of_names, strict=True)]
    return [[*map(_without_looks, it)] for it in found] if any(of_names) else found


def _without_looks(cell: str) -> str:
    """Return a cell of Jira without how it looks; what other macros say is on lines of its own."""
    said = _OTHER_MACROS.sub(r"\1\n", _LOOKS.sub("", cell))
    return "\n".join(_SIGNS.sub(r"\2", it) if _SIGNS.fullmatch(it) else it for it in said.split("\n"))


def _has_double_bars(row: list[str]) -> bool:
    return len(row) > 4 and len(row) % 2 == 1 and not any((row[0], row[-1], *row[1::2]))
