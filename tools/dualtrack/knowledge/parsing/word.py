"""WordprocessingML: the text of a DOCX document, wherever in it, and what is left out of it.

Read are the body, headers, footers, footnotes, endnotes, comments and diagrams; in them paragraphs and tables at any
depth, tracked insertions, moved text, text boxes, content controls, smart tags, fields by their results, and the words
that stand for pictures. What is not read is said: deleted and hidden text, charts, embedded files. At the end every
text of a part must have been read or have a reason; one that has none is said, too. So are texts of parts that are not
read, such as a second body.
"""

from __future__ import annotations

import posixpath
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

from dualtrack.knowledge.parsing import columns, concealed, signs, tables
from dualtrack.knowledge.parsing.blocks import Block, Parsed, Unreadable
from dualtrack.knowledge.parsing.elements import Node, inherited
from dualtrack.knowledge.parsing.elements import child as _child
from dualtrack.knowledge.parsing.elements import name as _name
from dualtrack.knowledge.parsing.elements import value as _value

#: Parts beside the body, by the end of their relationship's type, and what their place is called.
PARTS = {
    "header": "header", "footer": "footer", "footnotes": "footnote", "endnotes": "endnote", "comments": "comment",
    "diagramData": "diagram",
}  # fmt: skip
#: Elements whose text nobody reads on a page: properties, and codes of fields, whose results are beside them.
PROPERTIES = frozenset((
    "pPr", "rPr", "tblPr", "trPr", "tcPr", "sectPr", "sdtPr", "sdtEndPr", "tblGrid", "instrText", "delInstrText",
    "rubyPr", "numPicBullet", "txbxPr", "tblPrEx", "customXmlPr", "smartTagPr",
))  # fmt: skip
#: Elements that are left out with all that is in them, and as what.
LEFT = {
    "del": "text that tracked changes delete", "moveFrom": "text that tracked changes delete",
    "delText": "text that tracked changes delete", "chart": "a chart", "altChunk": "an embedded document",
    "subDoc": "another document that it refers to", "OLEObject": "an embedded object", "control": "a form control",
}  # fmt: skip
SAID = {
    "tab": "\t", "ptab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-", "footnoteReference": " ",
    "endnoteReference": " ",
}  # fmt: skip
#: Elements of text in a paragraph; one of them outside of any is a paragraph of its own.
INLINE = frozenset(("r", "t", "hyperlink", "fldSimple", "smartTag", "drawing", "pict", "object", "ruby", "bdo", "dir"))
#: What is written before digits above and below the line.
SHIFTED = {"superscript": "^", "subscript": "_"}
#: Attributes whose words stand for a picture, by element.
WORDS = {
    "docPr": ("title", "descr"),
    "shape": ("alt",),
    "textpath": ("string",),
    "rect": ("alt",),
    "imagedata": ("title",),
}


def read(archive: zipfile.ZipFile) -> Parsed:
    """Return what a document has; Unreadable where it is none. Errors of the archive are the caller's."""
    names = set(archive.namelist())
    main = next((name for kind, name in _related(archive, "") if kind == "officeDocument"), "word/document.xml")
    if main not in names:
        raise Unreadable("it is not a DOCX document, or a broken one: it has no body")
    found = _Document()
    body = _tree(archive.read(main))
    related = list(_related(archive, main))
    related += [it for kind, name in related if kind in PARTS for it in _related(archive, name)]
    for kind, name in related:
        if kind == "styles" and name in names:
            found.levels = _levels(tree := _tree(archive.read(name)))
            found.hidden, found.shifts = concealed.styles(tree), concealed.shifts(tree)
    try:
        found.part(body, "", main)
        for wanted, place in PARTS.items():
            for name in dict.fromkeys(name for kind, name in related if kind == wanted and name in names):
                found.part(_tree(archive.read(name)), place, name)
        for kind, name in related:
            if kind not in PARTS and kind in ("package", "oleObject", "aFChunk", "subDocument"):
                found.left[f"the embedded file {posixpath.basename(name)}"] = None
        # Charts are told where they stand, and what is drawn of a diagram is its data.
        known = {main, *(name for kind, name in related if kind in PARTS or kind.startswith(("chart", "diagram")))}
        for reason in _beside(archive, known):
            found.left[reason] = None
    except RecursionError:
        raise Unreadable("its elements are nested too deeply") from None
    return Parsed(found.blocks, list(found.left))


def _related(archive: zipfile.ZipFile, part: str) -> Iterator[tuple[str, str]]:
    """Yield the kinds and names of the parts that a part refers to."""
    folder, name = posixpath.split(part)
    path = posixpath.join(folder, "_rels", f"{name}.rels")
    if path not in archive.namelist():
        return
    for it in _tree(archive.read(path)):
        if it.get("TargetMode") != "External":
            target = it.get("Target", "")
            whole = target[1:] if target.startswith("/") else posixpath.normpath(posixpath.join(folder, target))
            yield it.get("Type", "").rpartition("/")[2], whole


def _beside(archive: zipfile.ZipFile, known: set[str]) -> Iterator[str]:
    """Yield what is not read of an archive: texts of parts that no part refers to, and parts that are there twice."""
    names = archive.namelist()
    types = _types(archive) if "[Content_Types].xml" in names else {}
    for name, count in Counter(names).items():
        if count > 1:
            yield f"{name}, which is there more than once"
        said = types.get(f"/{name}") or types.get(posixpath.splitext(name)[1][1:].lower(), "")
        if name in known or not (name.endswith(".xml") or said.endswith("xml")) or name.endswith(".rels"):
            continue
        try:
            tree = _tree(archive.read(name))
        except Unreadable:
            yield f"{name}, which cannot be read"
            continue
        if any(_name(it) == "t" and (it.text or "").strip() for it in tree.iter()):
            yield f"text of {name}, a part that is not read"


def _types(archive: zipfile.ZipFile) -> dict[str, str]:
    """Return the content types of parts, by their names with a slash, and by the ends of their names."""
    entries = _tree(archive.read("[Content_Types].xml"))
    return {it.get("PartName") or it.get("Extension", "").lower(): it.get("ContentType", "") for it in entries}


class _Builder(ElementTree.TreeBuilder):
    """A tree without entities of its own: office documents have none."""

    def doctype(self, *_: Any) -> None:
        """Refuse a declaration that could multiply text."""
        raise Unreadable("it is not an office document: it declares entities")


def _tree(data: bytes) -> Node:
    try:
        return ElementTree.fromstring(data, ElementTree.XMLParser(target=_Builder()))  # noqa: S314 - without entities
    except ElementTree.ParseError as error:
        raise Unreadable(f"it is not an office document, or a broken one: {error}") from None


def _ends_with_digit(words: list[str]) -> bool:
    return next((it[-1].isdigit() for it in reversed(words) if it), False)


def _words(node: Node) -> list[str]:
    """Return the words of an element that stand for a picture."""
    return [said for it in WORDS.get(_name(node), ()) if (said := (_value(node, it) or "").strip())]


def _levels(styles: Node) -> dict[str, int]:
    """Return the levels of headings by the names of their styles, also of those that are made from others."""
    own: dict[str, int] = {}
    base: dict[str, str] = {}
    for it in styles:
        known, name = _value(it, "styleId") or "", (_value(_child(it, "name")) or "").lower()
        base[known] = _value(_child(it, "basedOn")) or ""
        said = _value(_child(it, "pPr", "outlineLvl")) or ""
        if name == "title":
            own[known] = 1
        elif name.startswith("heading ") and name[8:].isdecimal():
            own[known] = int(name[8:])
        elif said.isdecimal():
            own[known] = 0 if int(said) > 8 else int(said) + 1  # 9 says that it is not a heading
    return dict.fromkeys(base, 0) | inherited(own, base)


@dataclass
class _Document:
    """What was read so far: ``left`` has each reason once, in order."""

    blocks: list[Block] = field(default_factory=list)
    left: dict[str, None] = field(default_factory=dict)
    levels: dict[str, int] = field(default_factory=dict)
    #: Whether text of a style is hidden; of all by "".
    hidden: dict[str, bool] = field(default_factory=dict)
    #: What styles put above or below the line.
    shifts: dict[str, str] = field(default_factory=dict)
    _around: bool = False
    #: Whether the last text is a digit above or below the line.
    _shifted: bool = False
    _place: str = ""
    #: Paragraphs with tabs as they are written, by the places of their blocks.
    _tabbed: dict[int, str] = field(default_factory=dict)
    #: Elements of text that were read, or whose reason was said.
    _done: set[int] = field(default_factory=set)

    def part(self, root: Node, place: str, name: str) -> None:
        """Read a part; what it has is where it says, and headers that are the same are read once."""
        before, self._place, self._done = len(self.blocks), place, set()
        if place == "diagram":
            self._paragraphs(root, "t")
        else:
            self._read(root)
        rows = columns.of_paragraphs(self.blocks[before:], {at - before: it for at, it in self._tabbed.items()})
        self.blocks[before:] = rows
        self._tabbed.clear()
        if place:
            new = dict.fromkeys((it.kind, it.text) for it in self.blocks[:before] if it.place == place)
            self.blocks[before:] = [it for it in self.blocks[before:] if (it.kind, it.text) not in new]
        if any(_name(it) == "t" and (it.text or "").strip() and id(it) not in self._done for it in root.iter()):
            self.left[f"text of {posixpath.basename(name)} at a place that is not known"] = None

    def _paragraphs(self, root: Node, name: str) -> None:
        for it in root.iter():
            if _name(it) == name and (it.text or "").strip():
                self._done.add(id(it))
                self._add((it.text or "").strip())

    def _add(self, said: str, level: int = 0) -> None:
        written = said
        if said := said.strip():
            if "\t" in written and not level:
                self._tabbed[len(self.blocks)] = written.strip("\n")
            kind = "heading" if level and not self._place else "text"
            self.blocks.append(
                Block(kind=kind, text=said, level=level if kind == "heading" else 0, place=self._place)  # type: ignore[arg-type]
            )

    def _leave(self, node: Node, reason: str) -> None:
        """Leave an element out; the reason is said where there is a text in it, or it stands for one."""
        texts = [it for it in node.iter() if _name(it) in ("t", "delText") and (it.text or "").strip()]
        if texts or _name(node) not in ("del", "moveFrom", "r") or any(_words(it) for it in node.iter()):
            self.left[reason] = None
        self._done.update(id(it) for it in texts)

    def _read(self, node: Node) -> None:
        """Read what is in an element that has paragraphs and tables, or others that have them."""
        for it in node:
            name = _name(it)
            if name == "p":
                self._paragraph(it)
            elif name == "tbl":
                self._table(it)
            elif name == "AlternateContent":
                self._read(self._chosen(it))
            elif name in INLINE:
                self._paragraph(it, [it])
            elif name in LEFT:
                self._leave(it, LEFT[name])
            elif name not in PROPERTIES:
                self._read(it)

    def _paragraph(self, node: Node, inside: list[Node] | None = None) -> None:
        words: list[str] = []
        apart: list[Node] = []
        self._around, self._shifted = self._of_paragraph(node), False
        for it in node if inside is None else inside:
            self._inline(it, words, apart)
        said = _value(_child(node, "pPr", "outlineLvl")) or ""
        level = int(said) + 1 if said.isdecimal() and int(said) < 9 else 0
        self._add("".join(words), level or self.levels.get(_value(_child(node, "pPr", "pStyle")) or "", 0))
        for it in apart:
            self._read(it)

    def _inline(self, node: Node, words: list[str], apart: list[Node]) -> None:
        """Add the words of a part of a paragraph, and what stands apart from its line, as text boxes do."""
        name = _name(node)
        if name == "t":
            self._done.add(id(node))
            words.append(node.text or "")
        elif name in SAID:
            words.append(SAID[name])
        elif name in LEFT:
            self._leave(node, LEFT[name])
        elif self._is_hidden(node):
            self._leave(node, "hidden text")
        elif name in ("txbxContent", "p", "tbl"):
            if name == "txbxContent":
                apart.append(node)
            else:
                apart.append(holder := ElementTree.Element("holder"))
                holder.append(node)
        elif name == "AlternateContent":
            self._inline(self._chosen(node), words, apart)
        elif name == "ruby":
            for part, form in (("rubyBase", "{}"), ("rt", "({})")):
                found: list[str] = []
                if (base := _child(node, part)) is not None:
                    self._inline(base, found, apart)
                words.append(form.format("".join(found)) if found else "")
        elif name == "sym":
            if (sign := signs.symbol(node)) is None:
                self.left[f"symbols of the font {_value(node, 'font') or 'without a name'}"] = None
            words.append(sign or "")
        elif name == "fldChar":
            words.append(signs.of_form(node))
        elif (said := signs.formula(node, lambda it: self._said(it, apart))) is not None:
            words.append(said)
        elif name not in PROPERTIES:
            words += [f" {it} " for it in _words(node)]
            shift = self._shift(node) if name == "r" else ""
            if shift and _ends_with_digit(words):
                words.append(shift)  # an exponent, or the number of a note: no digit of the number before it
            before = len(words)
            for child in node:
                self._inline(child, words, apart)
            if name == "r" and (said := "".join(words[before:])):
                if self._shifted and not shift and said[0].isdigit():
                    words.insert(before, " ")
                self._shifted = bool(shift) and said[-1].isdigit()

    def _shift(self, run: Node) -> str:
        """Return what is written before digits that a run puts above or below the line; empty where it does not."""
        style = self.shifts.get(_value(_child(run, "rPr", "rStyle")) or "")
        return SHIFTED.get(_value(_child(run, "rPr", "vertAlign")) or style or "", "")

    def _said(self, node: Node, apart: list[Node]) -> str:
        """Return the words of what is in an element."""
        words: list[str] = []
        for it in node:
            self._inline(it, words, apart)
        return "".join(words)

    def _of_paragraph(self, node: Node) -> bool:
        """Return whether the text of a paragraph is hidden unless its parts say otherwise."""
        style = _value(_child(node, "pPr", "pStyle")) or ""
        return self.hidden.get(style, self.hidden.get("", False))

    def _is_hidden(self, run: Node) -> bool:
        if _name(run) != "r":
            return _name(run) in ("drawing", "pict", "object") and any(concealed.is_shape(it) for it in run.iter())
        if (said := concealed.by_properties(_child(run, "rPr"))) is not None:
            return said
        return self.hidden.get(_value(_child(run, "rPr", "rStyle")) or "-", self._around)

    def _chosen(self, node: Node) -> Node:
        """Return the first form of what is there in several, the same for programs of different age."""
        forms = [it for it in node if any(_name(part) == "t" for part in it.iter())] or list(node)
        if not forms:
            return node
        first = {(it.text or "").strip() for it in forms[0].iter() if _name(it) == "t"}
        for form in forms[1:]:
            texts = [it for it in form.iter() if _name(it) == "t"]
            self._done.update(id(it) for it in texts if (it.text or "").strip() in first)
        return forms[0]

    def _table(self, node: Node) -> None:
        """Read the rows of a table, then the tables and text boxes in its cells."""
        found: list[list[str]] = []
        inner: list[Node] = []
        for row in self._within(node, "tr"):
            cells = [""] * int(_value(_child(row, "trPr", "gridBefore")) or 0)
            for cell in self._within(row, "tc"):
                said = "\n".join(self._cell(cell, inner))
                merged = _child(cell, "tcPr", "vMerge")
                if merged is not None and _value(merged) != "restart" and found and len(cells) < len(found[-1]):
                    above = found[-1][len(cells)]
                    said = "\n".join(it for it in (above, said) if it)
                span = _value(_child(cell, "tcPr", "gridSpan")) or "1"
                cells += [said, *[""] * min(int(span) - 1, 63)]
            found.append(cells)
        self.blocks += tables.rows(found, self._place or "table")
        for it in inner:
            self._read(it)

    def _within(self, node: Node, wanted: str) -> Iterator[Node]:
        """Yield the rows of a table or the cells of a row, which content controls and others may be around."""
        for it in node:
            name = _name(it)
            if name == wanted and (reason := concealed.row(it)):
                self._leave(it, reason)
            elif name == wanted:
                yield it
            elif name in LEFT:
                self._leave(it, LEFT[name])
            elif name == "AlternateContent":
                yield from self._within(self._chosen(it), wanted)
            elif name not in PROPERTIES:
                yield from self._within(it, wanted)

    def _cell(self, node: Node, inner: list[Node]) -> Iterator[str]:
        """Yield the paragraphs of a cell; what stands apart from them is added to ``inner``."""
        for it in node:
            name = _name(it)
            if name == "p" or name in INLINE:
                words: list[str] = []
                self._inline_all(it, words, inner)
                if said := "".join(words).strip():
                    yield said
            elif name == "tbl":
                inner.append(holder := ElementTree.Element("holder"))
                holder.append(it)
            elif name in LEFT:
                self._leave(it, LEFT[name])
            elif name == "AlternateContent":
                yield from self._cell(self._chosen(it), inner)
            elif name not in PROPERTIES:
                yield from self._cell(it, inner)

    def _inline_all(self, node: Node, words: list[str], apart: list[Node]) -> None:
        self._around, self._shifted = self._of_paragraph(node), False
        for it in node if _name(node) == "p" else [node]:
            self._inline(it, words, apart)
