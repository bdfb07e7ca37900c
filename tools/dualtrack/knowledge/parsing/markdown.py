"""Markdown: headings, paragraphs, rows of tables, and code, in which nothing is a comment or HTML.

Where code and comments are is told as CommonMark does: blocks before what is in a line, what begins first before what
begins in it. A comment that nothing ends in its paragraph is text.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from dualtrack.knowledge.parsing import columns, grids, linewise, tables, text
from dualtrack.knowledge.parsing.blocks import Block, Parsed

#: Before the text of a line: marks of quotations and of lists.
_ITEM = r"(?:[-*+]|[0-9]{1,9}[.)])(?=[ \t])"
_HEADING = re.compile(r"(#{1,6})\s+(.+?)\s*#*\s*$")
_FENCE = re.compile(rf"((?:[ \t]*(?:>|{_ITEM}))*)[ \t]*(`{{3,}}(?=[^`]*\Z)|~{{3,}})")
_FENCE_END = re.compile(r"(?:[ \t]*>)*[ \t]*(`{3,}|~{3,})[ \t]*\Z")
_LISTED = re.compile(r"[ \t]*(?:[-*+]|[0-9]{1,9}[.)])(?:[ \t]|\Z)")
_INDENTED = re.compile(r"(?: {4}| {0,3}\t)")
#: A comment at the start of a line, which blank lines do not end.
_COMMENT = re.compile(rf"(?:[ \t]*{_ITEM})*[ \t]*<!--")
#: In a line: a sign that is written with a backslash, backticks, a comment, and one that ends where it begins.
_INLINE = re.compile(r"\\[!-/:-@\[-`{}~]|`+|<!--(-?>)?")
_NOT_HTML = "\0"
#: Below the names of a table's columns; and what separates its cells.
_RULE = re.compile(r"\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?")
_PIPE = re.compile(r"(?<!\\)\|")
#: What hides an element of HTML.
_HIDDEN = re.compile(r"<[a-z][^<>]{0,400}?(?:\shidden\b|display\s*:\s*none|visibility\s*:\s*hidden)", re.I)


@dataclass(frozen=True, slots=True)
class _Line:
    """A line, and the same with another sign for each that is not HTML."""

    said: str
    shown: str
    kind: Literal["", "heading", "fenced"] = ""


def read(data: bytes) -> Parsed:
    """Return the headings, paragraphs and rows of tables of a Markdown text. Code between fences stays together."""
    marked = _Marked()
    marked.read(text.decoded(data).split("\n"))
    blocks: list[Block] = []
    lines: list[_Line] = []
    in_html = [*_in_tables(marked.lines)]
    headings = _headings(marked.lines, in_html)
    between = _of_tables(marked.lines, headings)
    within: list[Block] = []
    for at, it in enumerate(marked.lines):
        heading = headings.get(at)
        if heading and at in between:
            within.append(heading)
            lines.append(_Line(said := columns.as_line(heading), _NOT_HTML * len(said)))
            continue
        if not heading and (in_html[at] or at in between or it.kind == "fenced" or it.said.strip()):
            lines.append(it)
            continue
        blocks += columns.with_headings([*_of_paragraph(lines)], within)
        lines, within = [], []
        if heading:
            blocks.append(heading)
    return Parsed([*blocks, *columns.with_headings([*_of_paragraph(lines)], within)], list(marked.left))


def _headings(lines: list[_Line], in_html: list[bool]) -> dict[int, Block]:
    """Return the headings by the numbers of their lines."""
    found = ((at, _HEADING.match(it.said)) for at, it in enumerate(lines) if it.kind == "heading" and not in_html[at])
    return {at: Block(kind="heading", text=it[2], level=len(it[1])) for at, it in found if it}


def _in_tables(lines: list[_Line]) -> Iterator[bool]:
    """Tell of each line whether a table of HTML is in it, which may have blank lines."""
    found = columns.html_tables("\n".join(it.shown for it in lines))[::-1]
    at = 0
    for it in lines:
        end = at + len(it.shown)
        while found and found[-1][1] <= at:
            found.pop()
        yield bool(found) and found[-1][0] <= end
        at = end + 1


def _of_tables(lines: list[_Line], headings: dict[int, Block]) -> set[int]:
    """Return the numbers of the lines of tables, which may have blank lines and headings between their rows."""
    found: set[int] = set()
    said = [columns.as_line(headings[at]) if at in headings else it.said for at, it in enumerate(lines)]
    start = 0
    for at in range(len(lines) + 1):
        if at == len(lines) or (lines[at].kind and at not in headings):
            found |= {start + it for it in linewise.numbers_of_tables(said[start:at])}
            start = at + 1
    return found


def _of_paragraph(lines: list[_Line]) -> Iterator[Block]:
    """Yield lines in parts: texts, and rows of tables."""
    at = 0
    marked = next((it for it, line in enumerate(lines) if line.kind == "fenced"), len(lines))
    of_wiki = {it for start, end in linewise.wiki_tables([it.said for it in lines]) for it in range(start, end)}
    for place in range(1, marked):
        if place > at and place not in of_wiki and _is_below_names(lines[place].said, lines[place - 1].said):
            yield from _of_lines(lines[at : place - 1])
            at = 1 + max(it for it in range(place, marked) if it == place or "|" in lines[it].said)
            rows = _rows([it.said for it in (lines[place - 1], *lines[place + 1 : at])])
            yield from tables.rows(rows, None)
    yield from _of_lines(lines[at:])


def _of_lines(lines: list[_Line]) -> list[Block]:
    return columns.blocks("\n".join(it.said for it in lines), "\n".join(it.shown for it in lines))


@dataclass
class _Marked:
    """The lines of a text without comments; ``left`` has each reason once."""

    lines: list[_Line] = field(default_factory=list)
    left: dict[str, None] = field(default_factory=dict)
    _paragraph: list[str] = field(default_factory=list)

    def read(self, lines: list[str]) -> None:
        """Read all lines."""
        last_end = max((at for at, it in enumerate(lines) if "-->" in it), default=-1)
        at, listed = 0, False
        while at < len(lines):
            line = lines[at]
            if fence := _FENCE.match(line):
                self._flush()
                at = self._fence(lines, at, fence)
            elif not line.strip() or _HEADING.match(line):
                self._flush()
                self._add(*_inline(line, self.left), "heading" if line.strip() else "")
                at += 1
            elif not self._paragraph and not listed and _INDENTED.match(line):
                self._add(line, _NOT_HTML * len(line))
                at += 1
            elif (found := _COMMENT.match(line)) and (listed or not _INDENTED.match(line)):
                at = self._comment(lines, at, found.end(), last_end)
            else:
                if not self._paragraph and not line[0].isspace():
                    listed = False
                listed = listed or _LISTED.match(line) is not None
                self._paragraph.append(line)
                at += 1
        self._flush()

    def _flush(self) -> None:
        if self._paragraph:
            self._add(*_inline("\n".join(self._paragraph), self.left))
            self._paragraph.clear()

    def _add(self, said: str, shown: str, kind: Literal["", "heading", "fenced"] = "") -> None:
        for one, other in zip(said.split("\n"), shown.split("\n"), strict=True):
            self.lines.append(_Line(one, other, kind))
            if _HIDDEN.search(other):
                self.left["elements of HTML that may be hidden, whose text is read"] = None

    def _fence(self, lines: list[str], at: int, fence: re.Match[str]) -> int:
        """Read code between fences, and return where it ends: also with the quotation that it is in."""
        for number in range(at, len(lines)):
            line = lines[number]
            if number > at and ">" in fence[1] and not line.lstrip().startswith(">"):
                return number
            self._add(line, _NOT_HTML * len(line), "fenced")
            if number > at and (end := _FENCE_END.match(line)) and end[1].startswith(fence[2]):
                return number + 1
        return len(lines)

    def _comment(self, lines: list[str], at: int, begin: int, last_end: int) -> int:
        """Leave out a comment that begins in a line, and return at which one to continue."""
        first = lines[at]
        before = first[: begin - 4]
        if at > last_end and before.strip():
            self._paragraph.append(first)
            return at + 1
        self._flush()
        self.left["a comment" if at <= last_end else "a comment that nothing ends"] = None
        place = begin - 2 if first.startswith((">", "->"), begin) else begin  # it may end where it begins
        for number in range(at, len(lines)):
            end = lines[number].find("-->", place)
            place = 0
            if end < 0:
                self._add("", "")
                continue
            rest = before + lines[number][end + 3 :]
            if rest.strip():
                self._paragraph.append(rest)
            else:
                self._add("", "")
            return number + 1
        return len(lines)


def _inline(paragraph: str, left: dict[str, None]) -> tuple[str, str]:
    """Return a paragraph without comments, and the same with another sign for each that is not HTML."""
    runs: dict[int, list[int]] = {}
    for it in re.finditer("`+", paragraph):
        runs.setdefault(len(it[0]), []).append(it.start())
    said: list[str] = []
    shown: list[str] = []
    at = place = 0
    ends = True  # there may be an end of a comment

    def add(until: int, written: str) -> None:
        said.extend((paragraph[at:until], written))
        shown.extend((paragraph[at:until], re.sub(r"[^\n]", _NOT_HTML, written)))

    while found := _INLINE.search(paragraph, place):
        start, place, sign = found.start(), found.end(), found[0]
        if sign[0] == "\\":
            add(start, sign if sign[1] == "`" else sign[1])
        elif sign[0] == "`":
            known = runs.get(len(sign), [])
            then = bisect_left(known, place)
            if then < len(known):
                place = known[then] + len(sign)
            add(start, paragraph[start:place])
        else:
            end = place - 3 if found[1] else paragraph.find("-->", place) if ends else -1
            if end < 0:
                ends = False
                add(start, sign)
            else:
                place = end + 3
                left["a comment"] = None
                add(start, "\n" * paragraph.count("\n", start, place))
        at = place
    add(len(paragraph), "")
    return "".join(said), "".join(shown)


def _is_below_names(line: str, above: str) -> bool:
    """Tell whether a line separates the names of a table's columns, which are above it, from its rows."""
    return "|" in above and _RULE.fullmatch(line.strip()) is not None and len(_cells(line)) == len(_cells(above))


def _rows(lines: list[str]) -> list[list[str]]:
    """Return the cells of a table; a bar at the start of a row is behind an empty cell where the names have none."""
    names = _cells(lines[0])
    found = [names]
    for it in lines[1:]:
        cells = _cells(it)
        if it.lstrip().startswith("|") and not lines[0].lstrip().startswith("|") and len(cells) < len(names):
            cells = ["", *cells]
        found.append(cells)
    return found


def _cells(line: str) -> list[str]:
    line = line.strip().removeprefix("|")
    found = [grids.BREAK.sub("\n", it.replace("\\|", "|")) for it in _PIPE.split(line)]
    return found[:-1] if len(found) > 1 and not found[-1].strip() else found
