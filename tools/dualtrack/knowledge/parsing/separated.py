"""CSV: rows of cells that one sign separates, with `"` around those that have this sign, quotes or lines in them.

The sign is the one by which the rows have the most even number of cells. Quotes in a cell are doubled, as spreadsheets
and databases write them; where a file has `\\"`, also with a backslash before them, if that makes its rows more even.
Every text is read in one pass.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache

from dualtrack.knowledge.parsing import labels, tables, text
from dualtrack.knowledge.parsing.blocks import Parsed

#: What may separate cells; of two that are as good, the first.
SIGNS = ",;\t|，；｜"
#: A part of a name in which other signs may be.
_IN_BRACKETS = re.compile(r"\([^()\n]*\)|（[^（）\n]*）|\[[^\[\]\n]*\]")
#: What the first line may say of the others.
_SAID = re.compile(r"sep=([^\"\n])\n", re.I)
#: A cell that is a formula for a text, as programs write numbers whose zeros a spreadsheet shall keep: `="0755"`.
_OF_TEXT = re.compile(r'=\s*"([^"]*)"\s*\Z')
#: Characters from the start by which the sign is chosen, and rows that may have the names of columns.
SAMPLE, HEAD = 1 << 16, 5
#: Characters of the name of a column in a file with full-width signs.
NAME = 16
#: How a file is written: what separates its cells, and whether quotes in them have a backslash before them.
Form = tuple[str, bool]


def read(data: bytes) -> Parsed:
    """Return the rows of a CSV file, each with the names of its columns, so that a row alone can be understood."""
    return Parsed(tables.rows(cells(text.decoded(data)), ""))


def cells(said: str) -> list[list[str]]:
    """Return the cells of a text by rows, as they are without their quotes."""
    if named := _SAID.match(said):  # Excel's own line
        said = said[named.end() :]
    return _rows(said, _form(said[:SAMPLE], named[1] if named else "", whole=len(said) <= SAMPLE))


def _form(said: str, sign: str, *, whole: bool) -> Form:
    """Return how a text is written that begins like this."""
    best: tuple[tuple[float, int, bool, int], Form] = (0, 0, False, 0), (sign or ",", False)
    for backslash in (False, True) if '\\"' in said else (False,):
        for at, it in enumerate(sign or SIGNS):
            if it in said:
                rows = _rows(said, (it, backslash))
                even, names = _evenness(rows if whole else rows[:-1] or rows)
                if not (it.isascii() or sign or _has_names(rows)):
                    continue
                if (found := (even, names, not _is_of_words(it, said), -at)) > best[0] and (
                    not backslash or even > best[0][0]
                ):
                    best = found, (it, backslash)
    return best[1]


def _has_names(rows: list[list[str]]) -> bool:
    """Tell whether the first cells of a text are names of columns: otherwise signs of sentences part no cells."""
    first: list[str] = next((it for it in rows if len(it) > 1), [])
    plain = [_IN_BRACKETS.sub("", it).strip() for it in first]
    return bool(plain) and all(len(it) <= NAME and "：" not in it and labels.is_label(it) for it in plain)


def _is_of_words(sign: str, said: str) -> bool:
    """Tell whether a blank is behind a sign wherever it is in a line, as between words."""
    return re.search(rf"{re.escape(sign)}(?! )[^\n]", said) is None


def _evenness(rows: list[list[str]]) -> tuple[float, int]:
    """Return the share of rows with the same number of cells, above one, and how many names of values are in a row.

    A cell with another sign does not count as a name: it may be several cells, or a part of one.
    """
    counts = Counter(len(it) for it in rows if any(it))
    several = [count for length, count in counts.items() if length > 1]
    names = (sum(map(_is_name, row)) for row in rows[:HEAD] if len(row) > 1)
    return (max(several) / counts.total() if several else 0), max(names, default=0)


def _is_name(cell: str) -> bool:
    whole = not {*_IN_BRACKETS.sub("", cell)} & {*"()（）[]"}
    return whole and not any(it in cell for it in SIGNS) and labels.names_value(cell.strip())


@cache
def _patterns(form: Form) -> tuple[re.Pattern[str], re.Pattern[str]]:
    sign, inside = re.escape(form[0]), r'(?:""|\\.)' if form[1] else '""'
    plain = r'[^"\\]' if form[1] else '[^"]'
    blank = "[" + " \t".replace(form[0], "") + "]"
    return (
        re.compile(rf'{blank}*+"({plain}*+(?:{inside}{plain}*+)*+)"({blank}*+(?:{sign}|\n|\Z))?', re.S),
        re.compile(rf"([^\n{sign}]*+)({sign}|\n|\Z)"),
    )


def _rows(said: str, form: Form) -> list[list[str]]:
    """Return the cells of a text that is written like this. A quote that nothing closes is a sign as any other."""
    quoted, plain = _patterns(form)
    rows: list[list[str]] = [[]]
    at, end = 0, ""
    while at < len(said):
        value = ""
        found = quoted.match(said, at)
        closed = found is not None and found[2] is not None
        if found and (closed or "\n" not in found[1]):
            value = found[1].replace('""', '"')
            value, at = value.replace('\\"', '"') if form[1] else value, found.end()
        if not closed and (found := plain.match(said, at)):
            value, at = value + found[1], found.end()
        formula = _OF_TEXT.match(value) if value.startswith("=") else None
        rows[-1].append(formula[1] if formula else value)
        end = found[2][-1:] if found else ""
        if end == "\n":
            rows.append([])
    if end == form[0]:
        rows[-1].append("")
    return rows if rows[-1] else rows[:-1]
