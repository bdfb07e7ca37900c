"""Tables in texts: rows whose cells are separated by tabs or by vertical bars, and tables of HTML.

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
_BREAK = re.compile(r"<br\s*/?>", re.I)
#: Of HTML: where a table and its cells are; what a table consists of; any element, and one that begins a line.
_MARK = re.compile(r"<(table|td|th)\b|</table\b[^<>]{0,100}>?", re.I)
_PART = re.compile(r"<(/?)(tr|td|th)\b([^<>]{0,400})>", re.I)
_TAG = re.compile(r"</?([A-Za-z][A-Za-z0-9-]*)(?=[\s/>])[^<>]{0,400}>")
_SPAN = re.compile(r"colspan\s*=\s*[\"']?([0-9]{1,2})", re.I)
_ALSO_LINES = ("br", "p", "div", "li", "ul", "ol", "hr", "caption", "thead", "tbody", "tfoot", "table")


def blocks(said: str, shown: str = "") -> list[Block]:
    """Return a text with its tables as rows, in which every text of it is but tags of HTML tables.

    ``shown`` is the same text with another sign for each of those that are not HTML, as in code of Markdown. Without it
    nothing is HTML for sure, and a table of HTML counts only if a word in it names a value in it.
    """
    found: list[Block] = []
    at = 0
    for start, end in html_tables(shown):
        found += _of_text(said[at:start])
        found += _of_html(*_parts(said[start:end], shown[start:end]))
        at = end
    return [*found, *_of_text(said[at:])]


def html_tables(shown: str) -> list[tuple[int, int]]:
    """Return where tables of HTML begin and end that have cells, in order; those in others are not said."""
    found: list[tuple[int, int]] = []
    opened: list[tuple[int, bool]] = []
    for it in _MARK.finditer(shown):
        if it[0][1] == "/":
            start, has_cells = opened.pop() if opened else (0, False)
            if has_cells:
                while found and found[-1][0] > start:
                    found.pop()
                found.append((start, it.end()))
        elif it[1].lower() == "table":
            opened.append((it.start(), False))
        elif opened:
            opened[-1] = opened[-1][0], True
    return found


def _of_text(said: str) -> Iterator[Block]:
    """Yield a text in which nothing is HTML for sure."""
    at = 0
    for start, end in html_tables(said):
        outside, rows = _parts(said[start:end], said[start:end])
        if _has_values(rows):
            yield from _of_lines(said[at:start])
            yield from _of_html(outside, rows)
            at = end
    yield from _of_lines(said[at:])


def _has_values(rows: list[list[str]]) -> bool:
    """Tell whether a word in a table may name a value in it."""
    cells = [labels.joined(it) for row in rows for it in row if it]
    names = [it for it in cells if labels.names_value(it)]
    if not names:
        return False
    name = next((it for it in names if labels.may_be_personal("", it)), names[0])  # one of people, if there is one
    return any(labels.may_be_personal(it, name) for it in cells if not labels.names_value(it))


def _of_html(outside: str, rows: list[list[str]]) -> Iterator[Block]:
    yield from _of_lines(outside)
    yield from tables.rows(rows, None)


def _parts(said: str, shown: str) -> tuple[str, list[list[str]]]:
    """Return what of a table of HTML is in none of its cells, and its rows; beside a wide cell are empty ones."""
    outside: list[str] = []
    rows: list[list[str]] = [[]]
    at, in_cell, wide = 0, False, 1
    for it in _PART.finditer(shown):
        (rows[-1] if in_cell else outside).append(_without_tags(said[at : it.start()], shown[at : it.start()]))
        if in_cell:
            rows[-1] += [""] * (wide - 1)
        at, in_cell = it.end(), not it[1] and it[2].lower() != "tr"
        wide = int(span[1]) if in_cell and (span := _SPAN.search(it[3])) else 1
        if not it[1] and it[2].lower() == "tr":
            rows.append([])
    (rows[-1] if in_cell else outside).append(_without_tags(said[at:], shown[at:]))
    return "\n".join(it for it in outside if it), rows


def _without_tags(said: str, shown: str) -> str:
    parts: list[str] = []
    at = 0
    for it in _TAG.finditer(shown):
        parts += [said[at : it.start()], "\n" if it[1].lower() in _ALSO_LINES else ""]
        at = it.end()
    text = html.unescape("".join([*parts, said[at:]]))
    return "\n".join(line for it in text.split("\n") if (line := it.strip()))


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
