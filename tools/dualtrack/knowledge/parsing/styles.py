"""Which elements of a page are not shown: by their attributes, their own styles, and the page's style sheets.

Styles are read by tinycss2, so escapes, comments, case and blanks make no difference. Rules of `<style>` elements are
matched by lexbor's selectors and cascade by importance, specificity and order. An element may be hidden with all that
is in it (`display: none`), or its own text is, unless an element inside is shown again (`font-size: 0`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from dualtrack.knowledge.parsing import spacing
from dualtrack.knowledge.parsing.declarations import (
    BOXES,
    OVERFLOWS,
    PIXELS,
    SHIFTS,
    SIDES,
    are_valid,
    color_of,
    pixels,
)  # fmt: skip

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

#: Text that is smaller, fainter or further away than these is not read by people: pixels, opacity, pixels.
SMALLEST, FAINTEST, FURTHEST = 2.0, 0.05, 500.0
#: Units of a size of text that is a multiple of the one around it.
OF_PARENT = ("em", "%", "ex", "ch")
#: Style sheets for other media than screens are not looked at.
MEDIA = ("", "all", "screen")
#: Elements that browsers do not show: suggestions, and marks for those that know no ruby.
NOT_SHOWN = ("datalist", "rp")
#: Selectors that are true only while somebody does something, or are of no element.
MOMENTARY = (
    ":hover", ":focus", ":active", ":target", ":visited", "::", ":before", ":after", ":first-l", ":checked",
)  # fmt: skip
#: A selector of an element, or of a sign before or behind it.
_BESIDE = re.compile(r"(.*?)(?:(::?before)|(::?after))?\Z", re.I | re.S)
#: Styles of `<style>` elements of another type are of no browser.
TYPES = ("", "text/css")
#: The last value of each property of an element, and how strong it is.
Priority = tuple[bool, bool, int, int]
Values = dict[str, tuple[Priority, list[Any]]]


@dataclass(frozen=True)
class Seen:
    """How the text of an element is shown, as far as those in it inherit that."""

    small: bool = False
    invisible: bool = False
    clear: bool = False
    indented: bool = False
    #: Whether a line of the source is one on the page, which does not hide anything.
    lines: bool = False

    @property
    def hidden(self) -> bool:
        """Whether nobody sees it."""
        return self.small or self.invisible or self.clear or self.indented


class Styles:
    """The values that decide whether elements of a page are shown."""

    def __init__(self, tree: LexborHTMLParser) -> None:
        """Read the style sheets and attributes of a page."""
        self._values: dict[int, Values] = {}
        self._signs: dict[int, set[bool]] = {}
        order = 0
        for sheet in tree.css("style"):
            kind = (sheet.attributes.get("type") or "").strip().lower()
            if kind in TYPES and _is_shown_on(sheet.attributes.get("media") or ""):
                for selector, declarations in _rules(sheet.text()):
                    order += 1
                    element, before, after = _BESIDE.match(selector).groups()  # type: ignore[union-attr]
                    if (before or after) and not any(
                        spacing.has_sign(it.value) for it in declarations if it.lower_name == "content"
                    ):
                        continue
                    for node in _matching(tree, element):
                        if before or after:
                            self._signs.setdefault(node.mem_id, set()).add(bool(after))
                        else:
                            self._add(node, declarations, (False, _specificity(selector), order))
        own: dict[str, list[Any]] = {}  # many elements have the same one
        for node in tree.css("[style]"):
            style = node.attributes.get("style") or ""
            if style not in own:
                own[style] = _declarations(style)
            self._add(node, own[style], (True, 0, 0))

    def _add(self, node: LexborNode, declarations: list[Any], weight: tuple[bool, int, int]) -> None:
        values = self._values.setdefault(node.mem_id, {})
        for it in declarations:
            priority = (it.important, *weight)
            before = values.get(it.lower_name)
            if before is None or before[0] <= priority:
                values[it.lower_name] = (priority, it.value)

    def hides(self, node: LexborNode) -> bool:
        """Return whether an element is hidden with all that is in it."""
        attributes = node.attributes
        if (
            node.tag in NOT_SHOWN
            or "hidden" in attributes
            or "popover" in attributes
            or (attributes.get("aria-hidden") or "").lower() == "true"
        ):
            return True
        if node.tag == "dialog" and "open" not in attributes:
            return True
        values = self._values.get(node.mem_id)
        return values is not None and _hides(values)

    def display(self, node: LexborNode) -> frozenset[str]:
        """Return the words of an element's own `display`; none where no style says it."""
        return frozenset(self._words(node, "display"))

    def is_placed(self, node: LexborNode) -> bool:
        """Return whether a style moves an element out of its line: to a side, or to a place of its own."""
        words = {*self._words(node, "position"), *self._words(node, "float")}
        return bool(words & {"absolute", "fixed", "left", "right", "inline-start", "inline-end"})

    def sides(self, node: LexborNode) -> tuple[bool, bool]:
        """Return whether room, a line or a sign is to the left of an element in its line, and to the right."""
        values, signs = self._values.get(node.mem_id), self._signs.get(node.mem_id, ())
        left, right = spacing.sides(values) if values else (False, False)
        return left or False in signs, right or True in signs

    def shift(self, node: LexborNode) -> str:
        """Return `sup` or `sub` where a style moves an element out of its line."""
        values = self._values.get(node.mem_id)
        return spacing.shift(values) if values else ""

    def _words(self, node: LexborNode, name: str) -> Iterator[str]:
        tokens = self._values.get(node.mem_id, {}).get(name, ((), []))[1]
        return (str(it.lower_value) for it in tokens if it.type == "ident")

    def collapses(self, node: LexborNode) -> bool:
        """Return whether a column or columns of a table are not shown, nor the cells in them."""
        return self._visibility(node) == "collapse"

    def shows(self, node: LexborNode) -> bool:
        """Return whether a column is shown, though those around it are not."""
        return self._visibility(node) in ("visible", "hidden", "initial")

    def _visibility(self, node: LexborNode) -> str:
        return next(self._words(node, "visibility"), "")

    def seen(self, node: LexborNode, around: Seen) -> Seen:
        """Return how the text of an element is shown that is in one whose text is shown as said."""
        values = self._values.get(node.mem_id)
        return _inherited(values, around) if values else around


def _declarations(content: Any) -> list[Any]:
    import tinycss2

    found = tinycss2.parse_blocks_contents(content, skip_comments=True, skip_whitespace=True)
    return [
        it
        for it in found
        if it.type == "declaration" and it.lower_name in _looked_at() and are_valid(it.lower_name, it.value)
    ]


@cache
def _looked_at() -> frozenset[str]:
    """Return the names of all properties that decide whether something is shown."""
    others = "display content-visibility opacity scale zoom position float transform clip-path flex flex-grow"
    clear = "background-clip -webkit-background-clip text-shadow"
    return frozenset(
        (
            *others.split(),
            *OVERFLOWS,
            *clear.split(),
            "clip",
            "filter",
            *SIDES,
            *SHIFTS,
            *BOXES,
            *_INHERITED,
            *spacing.NAMES,
        )
    )


def _rules(sheet: str) -> Iterator[tuple[str, list[Any]]]:
    """Yield each selector of a style sheet with its declarations."""
    import tinycss2

    pending = tinycss2.parse_stylesheet(sheet, skip_comments=True, skip_whitespace=True)
    for it in pending:
        if it.type == "at-rule" and it.lower_at_keyword == "media" and it.content is not None:
            if _is_shown_on(tinycss2.serialize(it.prelude)):
                inner = tinycss2.parse_rule_list(it.content, skip_comments=True, skip_whitespace=True)
                for rule in inner:
                    if rule.type == "qualified-rule":
                        yield from _of_rule(rule)
        elif it.type == "qualified-rule":
            yield from _of_rule(it)


def _is_shown_on(media: str) -> bool:
    """Tell whether one of a list of media is screens, without a condition."""
    return any(it.strip().lower().removeprefix("only ").strip() in MEDIA for it in media.split(","))


def _of_rule(rule: Any) -> Iterator[tuple[str, list[Any]]]:
    import tinycss2

    declarations = _declarations(rule.content)
    parts: list[list[Any]] = [[]]
    for token in rule.prelude:
        if token.type == "literal" and token.value == ",":
            parts.append([])
        else:
            parts[-1].append(token)
    for part in parts:
        selector = tinycss2.serialize(part).strip()
        element = _BESIDE.match(selector)[1].lower()  # type: ignore[index]
        if declarations and element and not any(it in element for it in MOMENTARY):
            yield selector, declarations


def _matching(tree: LexborHTMLParser, selector: str) -> list[LexborNode]:
    """Return the elements of a selector; none where lexbor does not know it."""
    from selectolax.lexbor import SelectolaxError

    try:
        return list(tree.css(selector))
    except (SelectolaxError, ValueError):
        return []


def _specificity(selector: str) -> int:
    """Return how specific a selector is: a thousand for `#id`, thirty for `.class`, one for a name."""
    import tinycss2

    found, before = 0, ""
    for it in tinycss2.parse_component_value_list(selector, skip_comments=True):
        if it.type == "hash":
            found += 1000
        elif it.type in ("[] block", "function") or (it.type == "ident" and before in (".", ":")):
            found += 30
        elif it.type == "ident":
            found += 1
        before = it.value if it.type == "literal" else ""
    return found


def _hides(values: Values) -> bool:
    def words(name: str) -> set[str]:
        return {it.lower_value for it in values.get(name, ((), []))[1] if it.type == "ident"}

    def lengths(*names: str) -> Iterator[float]:
        for name in names:
            for it in values.get(name, ((), []))[1]:
                yield from pixels(it)

    def functions(*names: str) -> Iterator[tuple[str, list[float]]]:
        for name in names:
            for it in values.get(name, ((), []))[1]:
                if it.type == "function":
                    yield it.lower_name, [one for argument in it.arguments for one in pixels(argument)]

    placed = bool(words("position") & {"absolute", "fixed", "relative", "sticky"})
    clipped = any(words(it) & {"hidden", "clip", "scroll", "auto"} for it in OVERFLOWS)
    grows = any(it > 0 for name in ("flex", "flex-grow") for it in _numbers(values, name)[:1])
    boxes = [it for it in BOXES if it != "line-height" and not (grows and it in ("width", "height"))]
    low = [it.value for it in values.get("line-height", ((), []))[1] if it.type == "number"]
    low += [one for it in values.get("line-height", ((), []))[1] if it.type != "number" for one in pixels(it)]
    moved = [name for name, them in functions("transform") if name.startswith("translate") and _far(them)]
    scaled = [
        name
        for name, them in functions("transform")
        if name.startswith("scale") and min(map(abs, them), default=1) <= FAINTEST
    ]
    cut = [it for it in values.get("clip-path", ((), []))[1] if it.type == "function" and _cut(it)]
    clip = [name for name, them in functions("clip") if name == "rect" and them and max(them) - min(them) <= 1]
    faint = [one for name, them in functions("filter") if name == "opacity" for one in them if one <= FAINTEST]
    return (
        "none" in words("display")
        or "hidden" in words("content-visibility")
        or any(it <= FAINTEST for it in _numbers(values, "opacity"))
        or any(abs(it) <= FAINTEST for name in ("scale", "zoom") for it in _numbers(values, name))
        or (placed and (_far(lengths(*SIDES)) or bool(clip)))
        or _far(lengths(*SHIFTS))
        or (clipped and (any(0 <= it <= 1 for it in lengths(*boxes)) or any(0 <= it <= FAINTEST for it in low)))
        or bool(moved or scaled or cut or faint)
    )


def _far(lengths: Any) -> bool:
    return any(abs(it) >= FURTHEST and (it < 0 or it >= 4 * FURTHEST) for it in lengths)


def _cut(shape: Any) -> bool:
    """Return whether a shape has no area: `inset(50%)`, `inset(0 100% 0 0)`, `circle(0 at 50% 50%)`."""
    end = next((at for at, it in enumerate(shape.arguments) if it.type == "ident"), len(shape.arguments))
    lengths = [one for it in shape.arguments[:end] for one in pixels(it)]
    if shape.lower_name == "inset" and lengths:
        top, right, bottom, left = (lengths * 4)[:4] if len(lengths) in (1, 2) else (*lengths, lengths[1])[:4]
        return max(top + bottom, right + left) >= 100 * PIXELS["%"]
    if shape.lower_name in ("circle", "ellipse") and lengths:
        return min(lengths) <= 1
    return shape.lower_name == "polygon" and bool(lengths) and max(lengths) - min(lengths) <= 1


def _numbers(values: Values, name: str) -> list[float]:
    """Return the numbers of a property, a hundredth of each percentage."""
    found = values.get(name, ((), []))[1]
    flat = [part for it in found for part in (it.arguments if it.type == "function" else [it])]
    shares = {"number": 1.0, "percentage": 0.01}
    return [it.value * shares[it.type] for it in flat if it.type in shares]


def _is_painted(values: Values) -> bool:
    """Tell whether text without a color is seen by its background or its shadow."""
    clips = [it for name in ("background-clip", "-webkit-background-clip") for it in values.get(name, ((), []))[1]]
    shadow = [it for it in values.get("text-shadow", ((), []))[1] if it.type in ("dimension", "number")]
    return bool(shadow) or any(it.type == "ident" and it.lower_value == "text" for it in clips)


def _inherited(values: Values, around: Seen) -> Seen:
    for name, of in _INHERITED.items():
        if name in values:
            tokens = values[name][1]
            for it in _before_slash(tokens) if name == "font" else tokens:
                around = of(it, around)
    return replace(around, clear=False) if around.clear and _is_painted(values) else around


def _before_slash(tokens: list[Any]) -> list[Any]:
    """Return the size of text in a value of `font`: a length before the height of lines; numbers but 0 are weights."""
    slash = next((place for place, it in enumerate(tokens) if it.type == "literal" and it.value == "/"), len(tokens))
    lengths = [it for it in tokens[:slash] if it.type in ("dimension", "percentage")]
    return lengths[:1] or [it for it in tokens[:slash] if it.type == "number" and it.value == 0]


def _size(token: Any, around: Seen) -> Seen:
    unit = "%" if token.type == "percentage" else token.lower_unit if token.type == "dimension" else ""
    lengths = list(pixels(token))
    if lengths and unit in OF_PARENT:
        return replace(around, small=around.small or abs(token.value) * (0.01 if unit == "%" else 1) <= 0.1)
    if lengths:
        return replace(around, small=lengths[0] < SMALLEST)
    known = token.type == "ident" and token.lower_value not in ("inherit", "unset", "smaller", "larger")
    return replace(around, small=False) if known else around


def _visibility(token: Any, around: Seen) -> Seen:
    said = {"hidden": True, "collapse": True, "visible": False, "initial": False}
    word = token.lower_value if token.type == "ident" else ""
    return replace(around, invisible=said[word]) if word in said else around


def _color(token: Any, around: Seen) -> Seen:
    if token.type == "function":
        slash = next((at for at, it in enumerate(token.arguments) if it.type == "literal" and it.value == "/"), -1)
        alpha = [it for it in token.arguments[slash + 1 :] if it.type in ("number", "percentage")] if slash >= 0 else []
        if alpha:
            return replace(around, clear=alpha[0].value * (0.01 if alpha[0].type == "percentage" else 1) <= FAINTEST)
    color = color_of(token)
    if color is None or isinstance(color, str):
        return around
    return replace(around, clear=color.alpha <= FAINTEST)


def _indent(token: Any, around: Seen) -> Seen:
    lengths = list(pixels(token))
    whole = token.type == "percentage" and abs(token.value) >= 100
    return replace(around, indented=whole or _far(lengths)) if lengths else around


def _white_space(token: Any, around: Seen) -> Seen:
    word = token.lower_value if token.type == "ident" else ""
    return replace(around, lines=word in _WITH_LINES) if word in (*_WITH_LINES, *_WITHOUT_LINES) else around


_WITH_LINES = ("pre", "pre-wrap", "pre-line", "break-spaces", "preserve", "preserve-breaks")
_WITHOUT_LINES = ("normal", "nowrap", "initial", "collapse")
_INHERITED: dict[str, Callable[[Any, Seen], Seen]] = {
    "font": _size, "font-size": _size, "visibility": _visibility, "color": _color, "-webkit-text-fill-color": _color,
    "text-indent": _indent, "white-space": _white_space, "white-space-collapse": _white_space,
}  # fmt: skip
