"""Which elements of a page stand apart from the text beside them on the screen.

Between two of them may be no blank in the source, as between two cells. Glued together their texts are one word, and
numbers in them are one longer number, which no rule knows. So what is not known to be part of a line is set apart.
"""

from __future__ import annotations

from collections.abc import Mapping

#: Elements that begin and end a block.
SPLIT = frozenset((
    *(f"h{level}" for level in range(1, 7)), "p", "li", "pre", "dt", "dd", "caption", "blockquote", "figcaption",
    "figure", "div", "section", "article", "main", "header", "footer", "aside", "ul", "ol", "dl", "dir", "menu", "hr",
    "body", "form", "details", "summary", "legend", "fieldset", "address", "center", "hgroup", "search", "listing",
    "xmp", "plaintext", "dialog", "nav", "multicol", "frameset",
))  # fmt: skip
#: Elements whose text continues that of the line around them.
IN_LINE = frozenset((
    "abbr", "acronym", "b", "bdi", "bdo", "big", "blink", "cite", "code", "data", "del", "dfn", "em", "font", "i",
    "ins", "kbd", "mark", "nobr", "q", "rb", "rp", "rt", "rtc", "ruby", "s", "samp", "small", "span", "strike",
    "strong", "sub", "sup", "time", "tt", "u", "var", "wbr", "tspan", "slot", "tbody", "thead", "tfoot", "tr", "td",
    "th", "col", "colgroup", "map", "area", "picture", "source", "track", "param", "option", "optgroup", "br", "img",
    "input",
))  # fmt: skip
#: Of these two that follow each other without any text between are two things; beside a text they are part of it.
BESIDE_EACH_OTHER = frozenset(("a", "label", "time", "data", "cite", "q", "abbr"))
#: Words of `display` for what continues a line, and for what begins a block; any other sets apart.
_CONTINUES = frozenset(("inline", "contents", "ruby", "ruby-base", "ruby-text", "flow", "none", "run-in"))
_BLOCKS = frozenset(("block", "list-item", "flow-root", "flex", "grid", "table", "-webkit-box", "-webkit-flex"))
#: And for what sets each element in it apart.
_OF_ITEMS = frozenset((
    "flex", "grid", "inline-flex", "inline-grid", "-webkit-box", "-webkit-flex", "-webkit-inline-box",
    "-webkit-inline-flex", "grid-lanes", "inline-grid-lanes",
))  # fmt: skip
#: Fields of a form whose value is not on the page: boxes that are ticked, what has a picture or a control for it.
NO_VALUE = frozenset(("checkbox", "radio", "file", "image", "range", "color"))
#: Attributes that place a part of a drawing's text.
PLACED = ("x", "y", "dx", "dy")


def splits(name: str, display: frozenset[str]) -> bool:
    """Tell whether an element begins and ends a block, by its name and its own `display`."""
    return name in SPLIT or (bool(display & _BLOCKS) and "inline" not in display)


def sets_apart(name: str, display: frozenset[str], *, placed: bool) -> bool:
    """Tell whether an element's text is apart from those beside it; ``placed`` where a style or itself places it."""
    if placed or not display <= _CONTINUES:
        return True
    return name not in IN_LINE and name not in BESIDE_EACH_OTHER


def is_between(name: str, attributes: Mapping[str, str | None], *, empty: bool) -> bool:
    """Tell whether an element is a thing of its own in its line: a picture, a field, an icon, an address."""
    if name == "img":
        return not any((attributes.get(it) or "").strip() in ("0", "1") for it in ("width", "height"))
    if name == "input":
        kind = (attributes.get("type") or "").strip().lower()
        said = (attributes.get("value") or attributes.get("placeholder") or "").strip()
        return kind != "hidden" and (not said or kind in NO_VALUE)
    if name == "a":
        return (attributes.get("href") or "").strip().lower().startswith(("tel:", "mailto:", "sms:"))
    return empty and bool((attributes.get("class") or "").strip())


def has_items(display: frozenset[str]) -> bool:
    """Tell whether an element sets those directly in it apart."""
    return bool(display & _OF_ITEMS)
