"""HTML pages: title, headings, texts and tables in order, and what of a page is left out."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dualtrack.knowledge.parsing import columns, flow, grids, items, labels, nesting, styles, tables
from dualtrack.knowledge.parsing.blocks import Block, Parsed, Unreadable

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

#: What no reader sees as text; and what is left out with a word, where it has a text.
UNSEEN = "script, style"
LEFT = {
    "nav": "the navigation", "noscript": "what is shown without scripts", "template": "a template",
    "iframe": "an embedded page", "noframes": "what is shown without frames",
    "noembed": "what is shown without plug-ins",
    "progress, meter": "what is shown without a gauge",
    "video, audio, canvas": "what is shown without video, sound or scripts",
}  # fmt: skip
_TAGS = re.compile(r"<[^>]*>")
HEADINGS = {f"h{level}": level for level in range(1, 7)}
#: A line break that an element or a style makes; other ones of the source are blanks, but in texts with lines.
BREAK = "\u2028"
#: What is written before digits above and below the line.
SHIFTED = {"sup": "^", "sub": "_"}
#: Elements whose lines are as in the source.
LINES = ("pre", "listing", "xmp", "plaintext")
_XHTML = re.compile(r"\s*(?:<\?xml|(?:<!doctype[^>]{0,300}>\s*)?<html[^>]{0,300}\sxmlns\s*=)", re.I)
_EMPTY = re.compile(r"""<([A-Za-z][\w:-]*)((?:\s+[^\s"'<>/=]+(?:\s*=\s*(?:"[^"]*"|'[^']*'))?)*)\s*/>""")
_CDATA = "<![CDATA["


def read(page: str) -> Parsed:
    """Return what a page has; Unreadable where its elements are nested too deeply."""
    from selectolax.lexbor import LexborHTMLParser

    if _XHTML.match(page):
        page = _as_html(page)
    nesting.check(page)
    tree = LexborHTMLParser(page)
    titles = [said for it in tree.css("head > title") if (said := " ".join(it.text().split()))]
    found = _Page()
    for name, reason in LEFT.items():
        for node in tree.css(name):
            found.leave(node, reason)
    for node in tree.css("embed, object"):
        if (node.attributes.get("src") or node.attributes.get("data") or "").strip().lower().startswith("data:"):
            found.left["an embedded page"] = None
    for node in tree.css("rp"):
        if not any(it.isalnum() for it in node.text()):
            node.decompose()
    found.shown = styles.Styles(tree)
    for name in (UNSEEN, "head"):
        for node in tree.css(name):
            node.decompose()
    hidden = [node for node in tree.css("*") if found.shown.hides(node)]
    for node in reversed(hidden):  # the inner ones first
        found.leave(node, "hidden text")
    if tree.body is not None:
        try:
            found.walk(tree.body, "body", found.shown.seen(tree.body, styles.Seen()))
        except RecursionError:
            raise Unreadable("its elements are nested too deeply") from None
        found.flush("body")
    blocks = found.blocks
    if titles and not (blocks and blocks[0].kind == "heading"):
        blocks.insert(0, Block(kind="heading", text=titles.pop(0), level=1))
    blocks[:0] = [Block(kind="text", text=it, place="title") for it in titles if it != blocks[0].text]
    return Parsed(blocks, list(found.left))


def _as_html(page: str) -> str:
    """Write a page of XHTML as one of HTML: elements that end where they begin, and sections of characters."""
    parts, at = [], 0
    while (begin := page.find(_CDATA, at)) >= 0 and (end := page.find("]]>", begin)) >= 0:
        inside = page[begin + len(_CDATA) : end]
        in_comment = page[max(begin - 8, 0) : begin].rstrip().endswith(("/*", "//"))
        parts.append(page[at:begin] if not in_comment else page[at : begin + len(_CDATA)])
        parts.append(f"{inside}]]>" if in_comment else inside.replace("&", "&amp;").replace("<", "&lt;"))
        at = end + 3
    page = "".join([*parts, page[at:]])
    void = nesting.VOID
    return _EMPTY.sub(lambda it: it[0] if it[1].lower() in void else f"<{it[1]}{it[2]}></{it[1]}>", page)


@dataclass
class _Table:
    """The rows of a table so far: of each cell, what it has, and how many columns and rows it has."""

    rows: list[list[tuple[list[Block], int, int]]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class _Head:
    """Names of columns that are a table of their own: the blocks in which they are, from where to where, and they."""

    of: list[Block]
    start: int
    end: int
    row: list[str]


@dataclass
class _Page:
    """What was read so far: ``left`` has each reason once, in order."""

    blocks: list[Block] = field(default_factory=list)
    left: dict[str, None] = field(default_factory=dict)
    shown: styles.Styles = field(init=False)
    _words: list[str] = field(default_factory=list)
    _tables: list[_Table] = field(default_factory=list)
    _head: _Head | None = None
    #: A term, until it is known what is said of it.
    _term: str = ""
    #: The same before each thing that is said of it.
    _again: str = ""
    #: Whether the last text is a digit above or below the line, which is none of a number behind it.
    _shifted: bool = False

    def leave(self, node: LexborNode, reason: str) -> None:
        """Remove an element; the reason is said where it has a text, or another page."""
        attributes = node.attributes
        embedded = attributes.get("srcdoc") or (attributes.get("src") or "").strip().lower().startswith("data:")
        valued = node.tag == "input" and (attributes.get("value") or "").strip()
        if node.text().strip() or embedded or valued or _TAGS.sub("", node.html or "").strip():
            self.left[reason] = None
        node.decompose()

    def flush(self, tag: str) -> None:
        """End a block: what was said since the last one."""
        said = "".join(self._words)
        if tag in LINES:
            said = said.replace(BREAK, "\n").strip("\n")
        else:
            said = "\n".join(line for it in said.split(BREAK) if (line := " ".join(it.split())))
        self._words.clear()
        if not said.strip():
            return
        if self._term and tag == "dd" and self.blocks and self.blocks[-1].text == self._term:
            del self.blocks[-1]
            self._again = labels.written(self._term)
        elif tag != "dd":
            self._again = ""
        if tag == "dd" and self._again:
            said = items.labelled(self._again, said.removeprefix(": "))
        self._term = said if tag == "dt" and labels.names_value(labels.joined(said)) else ""
        level = HEADINGS.get(tag, 0)
        if tag in LINES:
            self.blocks += columns.blocks(said)
            return
        if level:
            said = self._heading(said, level)
        if said:
            self.blocks.append(Block(kind="text", text=said))

    def _heading(self, said: str, level: int) -> str:
        """Add a heading, which is on one line; return the list that begins within it, which is a text."""
        lines = said.split("\n")
        end = next((at for at, it in enumerate(lines) if at and items.begins(it)), len(lines))
        self.blocks.append(Block(kind="heading", text=" ".join(lines[:end]), level=level))
        return "\n".join(lines[end:])

    def _say(self, said: str, seen: styles.Seen) -> None:
        if not seen.hidden:
            if self._shifted and said[:1].isdigit():
                self._words.append(" ")
            self._shifted = self._shifted and not said
            self._words.append(said.replace("\n", BREAK) if seen.lines else said)
        elif said.strip():
            self.left["hidden text"] = None

    def walk(self, node: LexborNode, tag: str, around: styles.Seen) -> None:
        """Read what is in an element that is in a block of the kind ``tag``."""
        apart_all, before = flow.has_items(self.shown.display(node)), ""
        for child in node.iter(include_text=True):
            name = child.tag or ""
            if name == "-text":
                said = child.text_content or ""
                self._say(said, around)
                before = "" if said else before
                continue
            if name.startswith("-"):  # a comment
                continue
            seen = self.shown.seen(child, around)
            if name == "textarea":
                seen = replace(seen, lines=True)
            display = self.shown.display(child)
            if name == "table":
                self._table(child, tag, seen)
            elif name == "tr" and self._tables:
                self.flush(tag)
                self._tables[-1].rows.append([])
                self.walk(child, "tr", seen)
                self.flush("tr")
            elif name in ("td", "th") and self._tables:
                self._cell(child, seen)
            elif flow.splits(name, display):
                self.flush(tag)
                self._words_of(child, seen)
                self.walk(child, name if name in flow.SPLIT else tag, seen)
                self.flush(name if name in flow.SPLIT else tag)
            else:
                placed = apart_all or self.shown.is_placed(child) or (name == "tspan" and _is_placed(child))
                apart = flow.sets_apart(name, display, placed=placed)
                apart = apart or flow.is_between(name, child.attributes, empty=not _has_text(child))
                left, right = self.shown.sides(child)
                if apart or left or {name, before} <= flow.BESIDE_EACH_OTHER:
                    self._words.append(" ")
                if name in ("br", "option", "optgroup"):
                    self._words.append(BREAK)
                shift = self.shown.shift(child) or name
                if shift in SHIFTED and _is_digits_behind(child, self._words):
                    self._say(SHIFTED[shift], seen)
                self._words_of(child, seen)
                self.walk(child, tag, seen)
                self._shifted |= shift in SHIFTED and "".join(self._words[-1:])[-1:].isdigit()
                if apart or right:
                    self._words.append(" ")
            before = name

    def _words_of(self, node: LexborNode, seen: styles.Seen) -> None:
        """Say the words that an element has on the page beside its text: of pictures, fields and choices."""
        attributes = node.attributes
        kind = (attributes.get("type") or "").strip().lower()
        said = [attributes.get("alt")]
        if node.tag in ("option", "optgroup", "track"):
            said.append(attributes.get("label"))
        elif node.tag == "input" and kind == "hidden":
            if (attributes.get("value") or "").strip():
                self.left["hidden text"] = None
        elif node.tag == "input" and kind == "password":
            if (attributes.get("value") or "").strip():
                self.left["a password in a field"] = None
        elif node.tag == "input" and kind not in flow.NO_VALUE:
            said += [f": {value}" for it in ("value", "placeholder") if (value := (attributes.get(it) or "").strip())]
        elif node.tag == "textarea":
            said.append(attributes.get("placeholder"))
        for it in said:
            if it and it.strip():
                begun = "".join(self._words[-8:]).rstrip().endswith((":", "："))
                self._say(f" {it.removeprefix(': ')} " if begun or not self._words else f"{it} ", seen)

    def _table(self, node: LexborNode, tag: str, seen: styles.Seen) -> None:
        self.flush(tag)
        self._tables.append(table := _Table())
        self.walk(node, "table", seen)
        self.flush("table")
        self._tables.pop()
        if _empty(table, self._collapsed(node)):
            self.left["hidden text"] = None
        cells = [cell for row in table.rows for cell in row]
        kinds = {it.kind for blocks, *_ in cells for it in blocks}
        if kinds & {"heading", "row"} or max((len(row) for row in table.rows), default=0) < 2:
            for row in table.rows:
                self.blocks += _laid_out([blocks for blocks, *_ in row])
        else:
            said = [[("\n".join(it.text for it in cell), wide, deep) for cell, wide, deep in row] for row in table.rows]
            self._rows(grids.spread(said))

    def _rows(self, grid: list[list[str]]) -> None:
        """Add the rows of a table. A table before it with nothing but names of columns has those of this one."""
        head, start = self._head, len(self.blocks)
        if head and head.of is self.blocks and head.end == start and len(head.row) - max(map(len, grid)) in (0, 1):
            del self.blocks[head.start :]
            grid, start = [head.row, *grid], head.start
        self.blocks += tables.rows(grid, None)
        (row, *others) = [it for it in grid if any(it)] or [[]]
        names = [labels.joined(it) for it in row if it]
        alone = (
            len(names) > 1 and not others and all(map(labels.is_label, names)) and any(map(labels.names_value, names))
        )
        self._head = _Head(of=self.blocks, start=start, end=len(self.blocks), row=row) if alone else None

    def _collapsed(self, node: LexborNode) -> set[int]:
        """Return the columns of a table that its style does not show."""
        found: set[int] = set()
        at = 0
        for group in node.iter():
            if group.tag == "colgroup":
                columns = [it for it in group.iter() if it.tag == "col"]
                for it in columns or [group]:
                    if self.shown.collapses(it) or (self.shown.collapses(group) and not self.shown.shows(it)):
                        found |= set(range(at, at + _number(it, "span")))
                    at += _number(it, "span")
        return found

    def _cell(self, node: LexborNode, seen: styles.Seen) -> None:
        table = self._tables[-1]
        if not table.rows:
            table.rows.append([])
        before, self.blocks = self.blocks, []
        self.flush("tr")
        before += self.blocks
        self.blocks = []
        self._words_of(node, seen)
        self.walk(node, "td", seen)
        self.flush("td")
        table.rows[-1].append((self.blocks, _number(node, "colspan"), _number(node, "rowspan")))
        self.blocks = before


def _is_placed(node: LexborNode) -> bool:
    """Tell whether a part of a drawing's text has a place of its own."""
    return any(it in node.attributes for it in flow.PLACED)


def _has_text(node: LexborNode) -> bool:
    return any(
        bool((it.text_content or "").strip()) if it.tag == "-text" else _has_text(it)
        for it in node.iter(include_text=True)
    )


def _is_digits_behind(node: LexborNode, words: list[str]) -> bool:
    """Tell whether a text above or below the line begins with a digit, directly behind a digit: it is none of it."""
    return (node.text() or "").strip()[:1].isdigit() and "".join(words[-1:])[-1:].isdigit()


def _empty(table: _Table, columns: set[int]) -> bool:
    """Take the texts out of cells that are in some columns and no others; tell whether there was one."""
    emptied = False
    down: dict[int, int] = {}
    for row in table.rows if columns else []:
        at, after = 0, dict[int, int]()
        for place, (blocks, wide, deep) in enumerate(row):
            while down.get(at, 0):
                at += 1
            if blocks and set(range(at, at + wide)) <= columns:
                row[place] = [], wide, deep
                emptied = True
            after |= dict.fromkeys(range(at, at + wide), deep)
            at += wide
        down = {it: left - 1 for it, left in (down | after).items() if left > 1}
    return emptied


def _number(node: LexborNode, name: str) -> int:
    return grids.number(node.attributes.get(name) or "")


def _laid_out(cells: list[list[Block]]) -> list[Block]:
    """Return the cells of a row of a table that is there for the places of things: one block, if all are short."""
    filled = [it for it in cells if it]
    if any(len(it) > 1 or it[0].kind != "text" for it in filled):
        return [it for blocks in filled for it in blocks]
    return [Block(kind="row", text=tables.alone([it[0].text for it in filled]))] if filled else []
