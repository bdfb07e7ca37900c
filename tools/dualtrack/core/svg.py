"""Pictures for the browser, as SVG (pure): what is written by others cannot break out of them."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

NAMESPACE = "http://www.w3.org/2000/svg"


def tag(name: str, inside: str = "", **attributes: str | float) -> str:
    """Return an element; ``font_size`` is the attribute font-size, and ``inside`` is markup already (see `text`)."""
    words = [name, *(f'{key.replace("_", "-")}="{_value(it)}"' for key, it in attributes.items())]
    return f"<{' '.join(words)}>{inside}</{name}>" if inside else f"<{' '.join(words)}/>"


def text(x: float, y: float, said: str, size: int, **attributes: str | float) -> str:
    """Return a text at a place; ``text_anchor="middle"`` puts its middle there."""
    return tag("text", escape(said), x=x, y=y, font_size=size, **attributes)


def title(said: str) -> str:
    """Return what a browser shows of an element that somebody points at; it comes first inside of that element."""
    return tag("title", escape(said))


def document(width: float, height: float, parts: Iterable[str]) -> str:
    """Return a picture of some elements on white."""
    head = f'<svg xmlns="{NAMESPACE}" viewBox="0 0 {width:.0f} {height:.0f}" font-family="sans-serif">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>"]) + "\n"


def _value(it: str | float) -> str:
    return f"{it:.1f}" if isinstance(it, float) else escape(str(it))
