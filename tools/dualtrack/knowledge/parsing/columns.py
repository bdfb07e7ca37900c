"""Tables in texts: rows whose cells are separated by tabs or by vertical bars, and tables of HTML and MediaWiki.

Only those count in which a cell names personal data: other texts with tabs and bars, such as logs and programs, stay as
they are. Columns that blanks alone separate cannot be told from texts.
"""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Iterable, Iterator

import msgspec

from dualtrack.knowledge.parsing import grids, labels, linewise, tables, wiki
from dualtrack.knowledge.parsing.blocks import Block

#: A text is written in lines without blank ones between, which become one block, or in paragraphs.
_PARAGRAPHS = re.compile(r"\n\s*\n")
#: Of HTML: where a table and its cells are; what a table consists of; any element, and one that begins a line.
_MARK = re.compile(r"<(table|td|th)\b|</table\b[^<>]{0,100}>?", re.I)
_PART = re.compile(r"<(/?)(tr|td|th)\b([^<>]{0,400})>", re.I)
_TAG = re.compile(r"</?([A-Za-z][A-Za-z0-9-]*)(?=[\s/>])[^<>]{0,400}>")
#: What separates cells or lines; a heading between rows, with the name of the first column before it at most.
_SEPARATORS = re.compile(r"[\t\n|│┃║｜]")
_LINE_OF_HEADING = re.compile(r"(?:\A|: )(#{1,9} .*)\Z", re.S)
#: A line that ends a table.
_END = "x" * (linewise.LONGEST + 1)
_ALSO_LINES = ("br", "p", "div", "li", "ul", "ol", "hr", "caption", "thead", "tbody", "tfoot", "table")


def blocks(said: str, shown: str = "", *, paragraphs: bool = False) -> list[Block]:
    """Return a text with its tables as rows, in which every text of it is but tags of HTML tables.

    ``shown`` is the same text with another sign for each of those that are not HTML, as in code of Markdown. Without it
    nothing is HTML for sure, and a table of HTML counts only if a word in it names a value in it. ``paragraphs`` tells
    whether blank lines divide the text into blocks.
    """
    found: list[Block] = []
    at = 0
    for start, end in html_tables(shown):
        found += _of_text(said[at:start], paragraphs)
        found += _of_html(*_parts(said[start:end], shown[start:end]))
        at = end
    return [*found, *_of_text(said[at:], paragraphs)]


def of_paragraphs(found: list[Block], tabbed: dict[int, str]) -> list[Block]:
    """Return blocks in which paragraphs are rows where they are a table that tabs or bars make.

    ``tabbed`` has the paragraphs with tabs, as they are written, by their places among the blocks. Other paragraphs may
    be between two rows, also headings.
    """
    lines = [
        (at, line)
        for at, it in enumerate(found)
        for line in (
            as_line(it) if it.kind == "heading" else tabbed.get(at, it.text) if it.kind == "text" else _END
        ).split("\n")
    ]
    of_tables = {lines[it][0] for it in linewise.numbers_of_tables([line for _, line in lines])}
    said: list[Block] = []
    for is_table, parts in itertools.groupby(lines, lambda it: it[0] in of_tables):
        run = [*parts]
        own = [found[it] for it in dict.fromkeys(at for at, _ in run)]
        if is_table:
            read = with_headings(blocks("\n".join(line for _, line in run)), own)
            said += [msgspec.structs.replace(it, place=own[0].place) for it in read]
        else:
            said += own
    return said


def as_line(heading: Block) -> str:
    """Return a heading as a line that may be between two rows, and is none."""
    return f"{'#' * heading.level} {_SEPARATORS.sub(' ', heading.text)}"


def with_headings(read: list[Block], known: Iterable[Block]) -> list[Block]:
    """Return rows in which those that are headings between rows, by `as_line`, are headings."""
    headings = {_key(as_line(it)): it for it in known if it.kind == "heading"}
    if not headings:
        return read
    lines = (_LINE_OF_HEADING.search(it.text) if it.kind == "row" else None for it in read)
    return [headings.get(_key(line[1]), it) if line else it for it, line in zip(read, lines, strict=True)]


def _key(line: str) -> str:
    """Return a heading's line by which it is known again: a cell may be written with fewer blanks."""
    return re.sub(r"[\s:：]", "", line)


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


def _of_text(said: str, paragraphs: bool) -> Iterator[Block]:
    """Yield a text in which nothing is HTML for sure."""
    at = 0
    for start, end in html_tables(said):
        outside, rows = _parts(said[start:end], said[start:end])
        if _has_values(rows):
            yield from _of_lines(said[at:start], paragraphs)
            yield from _of_html(outside, rows)
            at = end
    yield from _of_lines(said[at:], paragraphs)


def _has_values(rows: list[list[str]]) -> bool:
    """Tell whether a word in a table may name a value in it."""
    cells = [labels.joined(it) for row in rows for it in row if it]
    names = [it for it in cells if labels.names_value(it)]
    if not names:
        return False
    name = next((it for it in names if labels.may_be_personal("", it)), names[0])  # one of people, if there is one
    return any(labels.may_be_personal(it, name) for it in cells if not labels.names_value(it))


def _of_html(outside: str, rows: list[list[str]]) -> Iterator[Block]:
    yield from _of_lines(outside, paragraphs=False)
    yield from tables.rows(rows, None)


def _parts(said: str, shown: str) -> tuple[str, list[list[str]]]:
    """Return what of a table of HTML is in none of its cells, and its rows as `grids.spread` gives them."""
    outside: list[str] = []
    rows: list[list[grids.Cell]] = [[]]
    at, wide, deep = 0, 0, 0  # no column: not in a cell
    for mark in (*_PART.finditer(shown), None):
        start, end = mark.span() if mark else (len(said), len(said))
        text = _without_tags(said[at:start], shown[at:start])
        if wide:
            rows[-1].append((text, wide, deep))
        else:
            outside.append(text)
        at, wide, deep = end, 0, 0
        if mark and not mark[1] and mark[2].lower() == "tr":
            rows.append([])
        elif mark and not mark[1]:
            wide, deep = grids.spans(mark[3])
    return "\n".join(it for it in outside if it), grids.spread(rows)


def _without_tags(said: str, shown: str) -> str:
    parts: list[str] = []
    at = 0
    for it in _TAG.finditer(shown):
        parts += [said[at : it.start()], "\n" if it[1].lower() in _ALSO_LINES else ""]
        at = it.end()
    text = html.unescape("".join([*parts, said[at:]]))
    return "\n".join(line for it in text.split("\n") if (line := it.strip()))


def _of_lines(said: str, paragraphs: bool) -> Iterator[Block]:
    """Yield a text in parts: lines, and rows of tables."""
    rest: list[str] = []
    lines = said.split("\n") if "\t" in said or linewise.BARS.search(said) else []
    of_wiki = dict(linewise.wiki_tables(lines))
    at = 0
    while at < len(lines):
        end, rows = linewise.table_at(lines, at)
        outside = ""
        if at in of_wiki:
            outside, found = wiki.parts([linewise.bare(it) for it in lines[at : of_wiki[at]]])
            end, rows = (of_wiki[at], found) if linewise.names_value(found) else (end, rows)
        if rows:
            yield from _plain("\n".join([*rest, outside]), paragraphs)
            rest = []
            yield from tables.rows(rows, None)
        else:
            rest += lines[at:end]
        at = end
    yield from _plain("\n".join(rest) if lines else said, paragraphs)


def _plain(said: str, paragraphs: bool) -> Iterator[Block]:
    for it in _PARAGRAPHS.split(said) if paragraphs else [said]:
        if it.strip():
            yield Block(kind="text", text=it.strip("\n"))
