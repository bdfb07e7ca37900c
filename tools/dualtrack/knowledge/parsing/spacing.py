"""What is between an element of a page and the texts beside it in its line, by its style: room, a line, or a sign."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dualtrack.knowledge.parsing.declarations import pixels

#: Pixels of room by which two texts are not one word.
LEAST = 2.0
SIDES = ("left", "right")
_INLINE = {"left": "start", "right": "end"}
_LINES = frozenset(("solid", "dashed", "dotted", "double", "groove", "ridge", "inset", "outset"))
#: Width of a line whose style says none, and of those that have a word for it.
_MEDIUM, _WIDTHS = 3.0, {"thin": 1.0, "medium": 3.0, "thick": 5.0}
#: Properties that are looked at here.
NAMES = frozenset((
    *(f"{of}{it}" for of in ("margin", "padding") for it in ("", *(f"-{side}" for side in SIDES), "-inline",
                                                             "-inline-start", "-inline-end")),
    *(f"border{side}{it}" for side in ("", *(f"-{side}" for side in SIDES), "-inline", "-inline-start", "-inline-end")
      for it in ("", "-style", "-width")),
    "vertical-align", "content",
))  # fmt: skip
#: Each property's last value, and how strong it is.
Values = Mapping[str, tuple[Any, list[Any]]]


def sides(values: Values) -> tuple[bool, bool]:
    """Return whether an element is apart from what is to the left of it, and to the right."""
    left, right = (_room(values, it) >= LEAST or _has_line(values, it) for it in SIDES)
    return left, right


def shift(values: Values) -> str:
    """Return `sup` or `sub` where an element is above or below its line; empty where it is in it."""
    for it in values.get("vertical-align", ((), []))[1]:
        if it.type == "ident":
            return {"super": "sup", "sub": "sub"}.get(it.lower_value, "")
        for length in pixels(it):
            return "sup" if length > 0 else "sub" if length < 0 else ""
    return ""


def has_sign(values: Iterable[Any]) -> bool:
    """Tell whether a value of `content` is something that is seen."""
    tokens = [it for it in values if it.type not in ("whitespace", "comment")]
    return any(it.value for it in tokens if it.type == "string") or any(it.type in ("function", "url") for it in tokens)


def _winner(values: Values, names: Iterable[str]) -> tuple[str, list[Any]]:
    """Return the strongest of some properties, from the general to the special one, and its tokens."""
    found = [(values[it][0], at, it) for at, it in enumerate(names) if it in values]
    if not found:
        return "", []
    name = max(found)[2]
    return name, [it for it in values[name][1] if it.type not in ("whitespace", "comment")]


def _of_side(name: str, tokens: list[Any], side: str) -> list[Any]:
    """Return which of one to four values is that of a side."""
    if not tokens or name.endswith((side, "start", "end")):
        return tokens[:1]
    if name.endswith("inline"):
        return [tokens[0] if side == "left" else tokens[-1]]
    return [tokens[3] if side == "left" and len(tokens) > 3 else tokens[min(1, len(tokens) - 1)]]


def _room(values: Values, side: str) -> float:
    found = 0.0
    for it in ("margin", "padding"):
        name, tokens = _winner(values, (it, f"{it}-inline", f"{it}-inline-{_INLINE[side]}", f"{it}-{side}"))
        found += sum(pixels_of for one in _of_side(name, tokens, side) for pixels_of in pixels(one))
    return found


def _has_line(values: Values, side: str) -> bool:
    places = ("border", "border-inline", f"border-inline-{_INLINE[side]}", f"border-{side}")
    style = _part(values, places, "style", side)
    width = _part(values, places, "width", side)
    if not any(it.type == "ident" and it.lower_value in _LINES for it in style):
        return False
    lengths = [length for it in width for length in pixels(it)]
    lengths += [_WIDTHS[it.lower_value] for it in width if it.type == "ident" and it.lower_value in _WIDTHS]
    return max(lengths, default=_MEDIUM) > 0


def _part(values: Values, places: tuple[str, ...], part: str, side: str) -> list[Any]:
    """Return the tokens that say the style or width of a line: those of the whole line, or of this part."""
    names = [one for it in places for one in (it, f"{it}-{part}")]
    name, tokens = _winner(values, names)
    if not name.endswith(part):
        return tokens
    return _of_side(name.removesuffix(f"-{part}"), tokens, side)
