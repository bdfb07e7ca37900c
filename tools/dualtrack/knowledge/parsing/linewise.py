"""Tables whose rows are lines of a text, with cells that tabs or bars separate, and what may be between the rows.

Blank lines, numbers of pages, headings and notes interrupt a table. What is below is a part of it, not another table,
where its first row has no names of columns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from dualtrack.knowledge.parsing import grids, labels, tables, tabs, wiki

#: Characters of a line that may be a row, and rows and cells of which a table has at least so many.
LONGEST, FEWEST_ROWS, FEWEST_CELLS = 4096, 2, 2
#: Lines between rows that have the text of one cell, such as the name of a department, and characters of a note.
MOST_BETWEEN, LONGEST_NOTE = 3, 400
#: Names of columns that values below are compared with, and rows that are compared.
MOST_NAMES, MOST_COMPARED = 32, 8
#: Before a line of a mail or a text that is quoted.
_QUOTED = re.compile(r"(?:(?:[ \t]*>)+ ?)?")
#: Lines of a box, and below the names of columns.
_RULE = re.compile(r"[-+|=:\s─-╿]+")
#: What begins a heading of Markdown, and of other formats as `columns.as_line` writes it.
_HEADING = re.compile(r"#{1,9}\s")
#: A cell that office programs put on the clipboard: in quotes where it has lines, tabs or quotes.
_PASTED = re.compile(r'("(?:[^"]|"")*+"|(?!")[^\t\n]*+)(\t|\Z)')
_OPENS = re.compile(r'(?:\A|\t)"')
#: Lines that a row may have whose cells have several.
MOST_LINES = 32
BARS = re.compile(r"(?<!\\)[|│┃║｜]")


@dataclass
class _Rows:
    """The rows of a table so far, and which names and how many texts are in them."""

    rows: list[list[str]] = field(default_factory=list)
    names: dict[str, None] = field(default_factory=dict)
    widest: int = 0

    def add(self, cells: list[str]) -> None:
        self.rows.append(cells)
        texts = _texts(cells)
        self.widest = max(self.widest, len(texts))
        if len(self.names) < MOST_NAMES:
            self.names |= {it: None for it in map(labels.joined, texts) if labels.names_value(it)}

    def fit(self, cells: list[str]) -> bool:
        """Tell whether a text of a row is written as a name above has its values."""
        return any(labels.fits(it, name) or labels.fits_person(it, name) for it in _texts(cells) for name in self.names)

    def fit_before_names(self, rows: Sequence[list[str]]) -> bool:
        """Tell whether a text of the next rows is written as a name above has its values, before one is a name.

        Behind the first one, only rows count that have as many cells as the names of columns.
        """
        for at, it in enumerate(rows):
            if not it or any(map(labels.names_value, _texts(it))) or (at and len(it) != len(self.rows[0])):
                return False
            if self.fit(it):
                return len(_texts(it)) <= self.widest
        return False

    def go_on_with(self, cells: list[str]) -> bool:
        """Tell whether a row may be one of this table, not the first one of another table."""
        texts = _texts(cells)
        if self.fit(cells) or len(texts) > self.widest:
            return len(texts) <= self.widest
        if not all(map(labels.is_label, texts)):
            return True
        within = cells[1:-1] if len(texts) > 1 and not cells[0] and not cells[-1] else cells  # of bars around a row
        sparse = len(texts) < min(self.widest, len(within))
        return sparse and (len(texts) == 1 or sum(map(labels.names_value, texts)) * 2 <= len(texts))


def table_at(lines: Sequence[str], at: int) -> tuple[int, list[list[str]]]:
    """Return where lines end that have cells of one kind, and these cells where they are a table."""
    kind, _, _ = _row(lines, at)
    if not kind and not _is_rule(lines[at]):
        return at + 1, []
    found = _Rows()
    end, spaced, last = at, True, -1  # no two rows are next to each other so far; the last row or line of a box
    while end < len(lines):
        now, cells, after = _row(lines, end)
        if _is_rule(lines[end]):
            last = end
        elif now and now == (kind or now):
            spaced = spaced and (not found.rows or last < end - 1)
            end = after - 1
            kind, last = now, end
            found.add(cells)
        elif kind == "tab" and "\t" in lines[end] and _is_blank(lines[end]):
            last = end
        elif found.rows and (then := _next_row(lines, end, kind, found, spaced=spaced)):
            for it in lines[end:then]:
                if said := bare(it).strip():
                    found.add([_between(said)])
            end = then - 1
        else:
            break
        end += 1
    end = max(end, at + 1)
    rows = _even(found.rows) if kind == "bar" else tabs.cells(found.rows)
    indented = kind == "tab" and all(sum(map(bool, it)) < FEWEST_CELLS for it in rows)
    alone = kind == "tab" and len(rows) == 1 and any(labels.fits(it, label) for label, it in pairwise(_texts(rows[0])))
    if indented or (len(rows) < FEWEST_ROWS and not alone):
        return end, []
    return end, rows if names_value(rows) else []


def numbers_of_tables(lines: Sequence[str]) -> Iterator[int]:
    """Yield the numbers of the lines of all tables, and of those between their rows."""
    for start, end in wiki_tables(lines):
        yield from range(start, end)
    at = 0
    while at < len(lines):
        end, rows = table_at(lines, at)
        if rows:
            yield from range(at, end)
        at = end


def wiki_tables(lines: Sequence[str]) -> list[tuple[int, int]]:
    """Return at which lines tables of MediaWiki begin and end."""
    has_some = any(wiki.BEGIN in it for it in lines)
    return [*wiki.found_in([bare(it) for it in lines])] if has_some else []


def names_value(rows: Sequence[Sequence[str]]) -> bool:
    """Tell whether a cell of a table names personal data."""
    return any(labels.names_value(labels.joined(it)) for row in rows for it in row if it)


def _texts(cells: Sequence[str]) -> list[str]:
    return [said for it in cells if (said := it.strip())]


def _next_row(lines: Sequence[str], at: int, kind: str, found: _Rows, *, spaced: bool) -> int:
    """Return the line of the next row behind others that interrupt a table; 0 where these end it.

    They are few. The next row must look like one of the table where blank lines or rules are among them, or the last
    one may announce another table; not where blank lines are between all rows. Behind a heading or a long line, a row
    must have a value that fits. A line with cells may be among them that is not beside another one: it has fewer cells,
    and the next row as many as the names of columns.
    """
    between: list[str] = []
    then, ruled, like_row = at, False, False
    wide = len(found.rows[0])
    while then < len(lines) and len(between) <= MOST_BETWEEN and len(lines[then]) <= LONGEST:
        now, cells, after = _row(lines, then)
        if now:
            alone = after == len(lines) or _row(lines, after)[0] != now
            if now == kind and not (alone and len(cells) < wide and not found.go_on_with(cells)):
                break
            if not alone:
                return 0
            like_row = True
        ruled = ruled or _is_rule(lines[then])
        if (said := bare(lines[then]).strip()) and not _is_rule(said):
            between.append(said)
        then += 1
    if then == len(lines) or _row(lines, then)[0] != kind:
        return 0
    if len(between) > MOST_BETWEEN or any(len(it) > LONGEST_NOTE for it in between):
        return 0
    rows = [*_rows_from(lines, then)]
    below = lines[then + 1] if then + 1 < len(lines) else ""
    announced = any(it.endswith((":", "：")) for it in between[-1:])
    if like_row and len(rows[0]) != wide:
        return 0
    if any(len(it) > labels.LONGEST or _HEADING.match(it) for it in between):
        goes_on = found.fit_before_names(rows)
    elif not announced and not ruled and (len(between) == then - at or (spaced and not between)):
        goes_on = True
    else:
        goes_on = found.go_on_with(rows[0]) or found.fit_before_names(rows)
        goes_on = goes_on and not (_is_rule(below) and "+" not in below)
    return then if goes_on else 0


def _rows_from(lines: Sequence[str], at: int) -> Iterator[list[str]]:
    """Yield the cells of the next rows; none of a line that is not one."""
    for _ in range(MOST_COMPARED):
        if at < len(lines):
            _, cells, at = _row(lines, at)
            yield cells


def _between(said: str) -> str:
    """Return a line between rows as the text of one cell; a value in it stays beside its label."""
    _, cells = _cells(said)
    return tables.alone(cells) if cells else said


def _even(rows: list[list[str]]) -> list[list[str]]:
    """Return rows between bars in which the same columns are below each other; none where they are not a table.

    Where each row begins with a bar, rows may have any number of cells. Otherwise a bar may be a sign of a program:
    most rows have the same number of cells, and the others have fewer.
    """
    rows = wiki.with_single_bars(rows)
    several = [it for it in rows if len(it) > 1]
    if not any(it[0] for it in several):
        return rows
    usual = grids.most_frequent(map(len, several))
    for it in several:
        if len(it) > usual and not it[0]:
            del it[0]
        if len(it) > usual and not it[-1]:
            del it[-1]
    full = sum(len(it) == usual for it in several)
    return rows if full >= FEWEST_ROWS and 2 * full >= len(several) and max(map(len, several)) == usual else []


def _is_blank(line: str) -> bool:
    return len(line) <= LONGEST and not bare(line).strip()


def _is_rule(line: str) -> bool:
    said = bare(line).strip()
    return bool(said) and any(it in "-=─━═" for it in said) and _RULE.fullmatch(said) is not None


def bare(line: str) -> str:
    """Return a line without the marks of a quotation; nothing of one that is too long for a row."""
    return line[_QUOTED.match(line).end() :] if len(line) <= LONGEST else ""  # type: ignore[union-attr]


def _row(lines: Sequence[str], at: int) -> tuple[str, list[str], int]:
    """Return what separates the cells of a row, the cells, and where it ends: behind its line, or further below."""
    said = bare(lines[at])
    if _OPENS.search(said):
        for end in range(at + 1, min(at + MOST_LINES, len(lines)) + 1):
            if len(cells := _pasted(said)) >= FEWEST_CELLS:
                return "tab", cells, end
            if end == len(lines) or len(said) > LONGEST:
                break
            said += f"\n{bare(lines[end])}"
    end = wiki.end_of_row(lines, at, bare, MOST_LINES)
    return *_cells("\n".join(map(bare, lines[at:end]))), end


def _pasted(said: str) -> list[str]:
    """Return the cells of a row of an office program without their quotes; none where a quote is not closed."""
    cells: list[str] = []
    at = 0
    while found := _PASTED.match(said, at):
        cells.append(found[1][1:-1].replace('""', '"') if found[1][:1] == '"' else found[1])
        at = found.end()
        if not found[2]:
            return cells
    return []


def _cells(line: str) -> tuple[str, list[str]]:
    """Return what separates the cells of a line, and the cells, between tabs as they are; empty where it has none."""
    said = bare(line)
    if "\t" in said and said.strip() and not BARS.match(said.strip()):
        return "tab", said.split("\t")
    parts = [it.replace(wiki.BAR, "|") for it in BARS.split(wiki.with_bars_between(said))]
    if len(parts) < FEWEST_CELLS:
        return "", []
    return "bar", [grids.BREAK.sub("\n", it.replace("\\|", "|")).strip() for it in parts]
