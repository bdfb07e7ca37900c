"""Tables in texts: rows whose cells are separated by tabs or by vertical bars, and tables of HTML in Markdown.

Only those count in which a cell names personal data: other texts with tabs and bars, such as logs and programs, stay as
they are. Columns that blanks alone separate cannot be told from texts.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from dualtrack.knowledge.parsing import labels, tables
from dualtrack.knowledge.parsing.blocks import Block

#: Characters of a line that may be a row, and rows and cells of which a table has at least so many.
LONGEST, FEWEST_ROWS, FEWEST_CELLS = 4096, 2, 2
#: Before a line of a mail or a text that is quoted.
_QUOTED = re.compile(r"(?:[ \t]*>)*[ \t]?")
#: Lines of a box, and below the names of columns.
_RULE = re.compile(r"[-+|=:\s─-╿]+")
_BARS = re.compile(r"(?<!\\)[|│┃║]")
_ROW, _CELL = re.compile(r"<tr\b[^>]{0,400}>", re.I), re.compile(r"<t[dh]\b([^>]{0,400})>", re.I)
_SPAN = re.compile(r"colspan\s*=\s*[\"']?([0-9]{1,2})", re.I)
_BREAK, _TAG = (
    re.compile(r"<br\s*/?>|</p\s*>\s*<p\b[^>]{0,200}>", re.I),
    re.compile(r"</?[A-Za-z][^<>]{0,400}>", re.S),
)


def blocks(said: str) -> list[Block]:
    """Return a text with its tables as rows."""
    found: list[Block] = []
    at, plain = 0, said.lower() if "<" in said else ""
    while (start := plain.find("<table", at)) >= 0 and (end := plain.find("</table", start)) >= 0:
        found += _of_lines(said[at:start])
        found += tables.rows(list(_of_html(said[start:end])), None)
        at = end + len("</table")
        at += plain.startswith(">", at)
    return [*found, *_of_lines(said[at:])]


def _of_html(inside: str) -> Iterator[list[str]]:
    """Yield the rows of a table of HTML; a cell over several columns has empty ones behind it."""
    for row in _ROW.split(inside)[1:]:
        cells: list[str] = []
        parts = _CELL.split(row)[1:]
        for attributes, content in zip(parts[::2], parts[1::2], strict=True):
            wide = int(span[1]) if (span := _SPAN.search(attributes)) else 1
            said = html.unescape(_TAG.sub("", _BREAK.sub("\n", content)))
            cells += ["\n".join(line for it in said.split("\n") if (line := it.strip())), *[""] * (wide - 1)]
        yield cells


def _of_lines(said: str) -> Iterator[Block]:
    """Yield a text in parts: lines, and rows of tables."""
    rest: list[str] = []
    lines = said.split("\n") if "\t" in said or _BARS.search(said) else []
    at = 0
    while at < len(lines):
        end, rows = _table_at(lines, at)
        if rows:
            yield from _text(rest)
            rest = []
            yield from tables.rows(rows, None)
        else:
            rest += lines[at:end]
        at = end
    yield from _text(rest if lines else [said])


def _text(lines: list[str]) -> Iterator[Block]:
    if (said := "\n".join(lines).strip("\n")).strip():
        yield Block(kind="text", text=said)


def _table_at(lines: list[str], at: int) -> tuple[int, list[list[str]]]:
    """Return where lines end that have cells of one kind, and these cells where they are a table."""
    kind, _ = _cells(lines[at])
    if not kind and not _is_rule(lines[at]):
        return at + 1, []
    rows: list[list[str]] = []
    end = at
    while end < len(lines):
        if not _is_rule(lines[end]):
            now, cells = _cells(lines[end])
            if not now or (kind and now != kind):
                break
            kind = now
            rows.append(cells)
        end += 1
    end = max(end, at + 1)
    if len(rows) < FEWEST_ROWS or (kind == "bar" and len({len(it) for it in rows}) > 1):
        return end, []
    if not any(labels.names_value(labels.joined(it)) for row in rows for it in row if it):
        return end, []
    return end, rows


def _is_rule(line: str) -> bool:
    bare = line[_QUOTED.match(line).end() :].strip() if len(line) <= LONGEST else ""  # type: ignore[union-attr]
    return bool(bare) and any(it in "-=─━═" for it in bare) and _RULE.fullmatch(bare) is not None


def _cells(line: str) -> tuple[str, list[str]]:
    """Return what separates the cells of a line, and the cells; empty where it has none."""
    if len(line) > LONGEST:
        return "", []
    bare = line[_QUOTED.match(line).end() :]  # type: ignore[union-attr]
    if "\t" in bare.strip():
        return "tab", [it.strip() for it in bare.rstrip().split("\t")]
    parts = _BARS.split(bare.strip())
    if len(parts) < FEWEST_CELLS:
        return "", []
    # Between bars on both sides rows may have fewer cells; without them a bar may be a sign of a program.
    boxed = not parts[0].strip()
    if boxed:
        parts = parts[1:-1] if len(parts) > FEWEST_CELLS and not parts[-1].strip() else parts[1:]
    return "box" if boxed else "bar", [_BREAK.sub("\n", it.replace("\\|", "|")).strip() for it in parts]
