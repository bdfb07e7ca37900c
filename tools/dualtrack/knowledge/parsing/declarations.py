"""Which values of the properties that `styles` looks at browsers take; they ignore a declaration with another one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

#: Words that every property has.
_WIDE = frozenset(("inherit", "initial", "unset", "revert", "revert-layer"))
#: Functions that stand for any value, and those for a number or a length.
_ANY = frozenset(("var", "env", "attr", "if"))
_MATH = frozenset((
    "calc", "min", "max", "clamp", "round", "mod", "rem", "abs", "sign", "sin", "cos", "tan", "sqrt", "pow", "hypot",
    "log", "exp", "calc-size", "anchor", "anchor-size",
))  # fmt: skip
UNITS = frozenset((
    "px", "pt", "pc", "in", "cm", "mm", "q", "em", "rem", "ex", "rex", "ch", "rch", "cap", "rcap", "ic", "ric", "lh",
    "rlh", *(f"{size}v{of}" for size in ("", "s", "l", "d") for of in ("w", "h", "i", "b", "min", "max")),
    *(f"cq{of}" for of in ("w", "h", "i", "b", "min", "max")),
))  # fmt: skip
SIDES = ("left", "right", "top", "bottom", "inset", "inset-inline-start", "inset-inline-end", "inset-block-start")
SHIFTS = ("margin", "margin-left", "margin-right", "margin-top", "margin-inline-start", "translate")
BOXES = (
    "width", "height", "max-width", "max-height", "inline-size", "block-size", "max-inline-size", "max-block-size",
    "line-height",
)  # fmt: skip
OVERFLOWS = ("overflow", "overflow-x", "overflow-y", "overflow-block", "overflow-inline")
#: Pixels of units of length; of those that follow from a font or a window, about.
PIXELS = {
    "px": 1.0, "pt": 4 / 3, "pc": 16.0, "in": 96.0, "cm": 37.8, "mm": 3.78, "q": 0.945, "em": 16.0, "rem": 16.0,
    "ex": 8.0, "ch": 8.0, "vw": 12.8, "vh": 7.2, "vmin": 7.2, "vmax": 12.8, "%": 8.0,
}  # fmt: skip
_NUMBER = ("number", "percentage")
_LENGTH = ("dimension", "percentage", "zero")


@dataclass(frozen=True)
class _Kind:
    """What a value of a property may have: words, kinds of tokens, functions, and how many of them together."""

    words: str = ""
    tokens: tuple[str, ...] = ()
    functions: frozenset[str] = frozenset()
    most: int = 1
    negative: bool = True


def _functions(names: str) -> frozenset[str]:
    return frozenset(names.split())


@cache
def _kinds() -> dict[str, _Kind]:
    sized = "auto none min-content max-content fit-content stretch -webkit-fill-available -moz-available"
    kinds = {
        "display": _Kind(
            words="none block inline inline-block flex inline-flex grid inline-grid flow flow-root contents list-item "
            "table inline-table table-row table-cell table-column table-caption table-row-group table-header-group "
            "table-footer-group table-column-group ruby ruby-base ruby-text ruby-base-container ruby-text-container "
            "run-in math grid-lanes inline-grid-lanes -webkit-box -webkit-inline-box -webkit-flex -webkit-inline-flex",
            most=3,
        ),
        "visibility": _Kind(words="visible hidden collapse"),
        "content-visibility": _Kind(words="visible auto hidden"),
        "opacity": _Kind(tokens=_NUMBER),
        "scale": _Kind(words="none", tokens=_NUMBER, most=3),
        "zoom": _Kind(words="normal reset", tokens=_NUMBER, negative=False),
        "position": _Kind(words="static relative absolute fixed sticky -webkit-sticky"),
        "transform": _Kind(
            words="none",
            functions=_functions(
                "translate translatex translatey translatez translate3d scale scalex scaley scalez scale3d rotate "
                "rotatex rotatey rotatez rotate3d skew skewx skewy matrix matrix3d perspective"
            ),
            most=99,
        ),
        "clip-path": _Kind(
            words="none border-box padding-box content-box margin-box fill-box stroke-box view-box", tokens=("url",),
            functions=_functions("inset circle ellipse polygon path rect xywh shape url"), most=2,
        ),
        "clip": _Kind(words="auto", functions=_functions("rect")),
        "filter": _Kind(
            words="none", tokens=("url",), most=99,
            functions=_functions(
                "blur brightness contrast drop-shadow grayscale hue-rotate invert opacity saturate sepia url"
            ),
        ),
        "flex": _Kind(words=f"{sized} content", tokens=("number", *_LENGTH), most=3, negative=False),
        "flex-grow": _Kind(tokens=("number",), negative=False),
        "background-clip": _Kind(words="border-box padding-box content-box text border-area", most=99),
        "font-size": _Kind(
            words="xx-small x-small small medium large x-large xx-large xxx-large smaller larger math",
            tokens=_LENGTH, negative=False,
        ),
        "text-indent": _Kind(words="hanging each-line", tokens=_LENGTH, most=3),
        "line-height": _Kind(words="normal", tokens=("number", *_LENGTH), negative=False),
        "inset": _Kind(words="auto", tokens=_LENGTH, most=4), "margin": _Kind(words="auto", tokens=_LENGTH, most=4),
        "translate": _Kind(words="none", tokens=_LENGTH, most=3),
    }  # fmt: skip
    kinds |= {it: _Kind(words=sized, tokens=_LENGTH, functions=_functions("fit-content"), negative=False)
              for it in BOXES if it not in kinds}  # fmt: skip
    kinds |= {it: _Kind(words="auto", tokens=_LENGTH) for it in (*SIDES, *SHIFTS) if it not in kinds}
    scrolls = "visible hidden clip scroll auto overlay"
    kinds |= {it: _Kind(words=scrolls, most=2 if it == "overflow" else 1) for it in OVERFLOWS}
    kinds["-webkit-background-clip"] = kinds["background-clip"]
    return kinds


def are_valid(name: str, value: list[Any]) -> bool:
    """Tell whether browsers take a value of a property; those of properties that are not known here count as taken."""
    tokens = [it for it in value if it.type not in ("whitespace", "comment")]
    words = [it.lower_value for it in tokens if it.type == "ident"]
    if not tokens or any(it.type == "function" and it.lower_name in _ANY for it in tokens):
        return bool(tokens)
    if any(it in _WIDE for it in words):
        return len(tokens) == 1
    if name in ("color", "-webkit-text-fill-color"):
        return len(tokens) == 1 and _is_color(tokens[0])
    if name == "font":
        return _is_font(tokens)
    if name == "text-shadow":
        return words == ["none"] or any(it.type in ("dimension", "number") for it in tokens)
    kind = _kinds().get(name)
    if kind is None:
        return True
    tokens = [it for it in tokens if not (it.type == "literal" and it.value == "," and kind.most == 99)]
    many = len(tokens) > 1 and name != "background-clip"
    if len(tokens) > kind.most or (many and "none" in words and name != "flex"):
        return False
    return all(_is_of(it, kind) for it in tokens)


def _is_of(token: Any, kind: _Kind) -> bool:
    """Tell whether a token may be in a value of a kind."""
    if token.type == "ident":
        return token.lower_value in kind.words.split()
    if token.type == "function":
        return token.lower_name in kind.functions or (bool(kind.tokens) and token.lower_name in _MATH)
    if not kind.negative and getattr(token, "value", 0) != "" and _is_negative(token):
        return False
    if token.type == "number" and not token.value and "zero" in kind.tokens:
        return True
    return token.type in kind.tokens and (token.type != "dimension" or token.lower_unit in UNITS)


def _is_negative(token: Any) -> bool:
    return token.type in ("number", "percentage", "dimension") and token.value < 0


def _is_color(token: Any) -> bool:
    """Tell whether a token is a color; one that is computed from others counts as one."""
    if token.type == "function" and (token.lower_name not in COLORS or not _are_plain(token.arguments)):
        return token.lower_name in (*COLORS, "color-mix", "light-dark", "contrast-color", "device-cmyk")
    return color_of(token) is not None


COLORS = ("rgb", "rgba", "hsl", "hsla", "hwb", "lab", "lch", "oklab", "oklch", "color")


def _are_plain(arguments: Iterable[Any]) -> bool:
    return not any(it.type == "function" or (it.type == "ident" and it.lower_value == "from") for it in arguments)


def color_of(token: Any) -> Any:
    """Return the color of a token with its ``alpha``; its word where the element's color decides; None for none."""
    from tinycss2.color3 import parse_color as before
    from tinycss2.color4 import parse_color

    return parse_color(token) or before(token)


def _is_font(tokens: list[Any]) -> bool:
    """Tell whether a value of `font` has a size and then a family, or is one of the system's."""
    words = [it.lower_value for it in tokens if it.type == "ident"]
    if len(tokens) == 1:
        return words[:1] in ([it] for it in ("caption", "icon", "menu", "message-box", "small-caption", "status-bar"))
    sizes = _kinds()["font-size"]
    return any(_is_of(it, sizes) for it in tokens[:-1]) and tokens[-1].type in ("ident", "string")


def pixels(token: Any) -> Iterator[float]:
    """Yield the lengths that a value has, in pixels, also those that are computed from one."""
    if token.type == "number":
        yield token.value
    elif token.type == "percentage":
        yield token.value * PIXELS["%"]
    elif token.type == "dimension":
        yield token.value * PIXELS.get(token.lower_unit, 1.0)
    elif token.type == "function" and token.lower_name in ("calc", "min", "max", "clamp"):
        for it in token.arguments:
            yield from pixels(it)
