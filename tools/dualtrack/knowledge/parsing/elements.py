"""Elements of XML of office programs, by their names without namespaces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar
from xml.etree import ElementTree

Node = ElementTree.Element
_Said = TypeVar("_Said")
_OFF = ("0", "false", "off")


def name(node: Node) -> str:
    """Return the name of an element without its namespace."""
    return str(node.tag).rpartition("}")[2]


def value(node: Node | None, attribute: str = "val") -> str | None:
    """Return an attribute, of whatever namespace; None without the element."""
    if node is None:
        return None
    return next((value for key, value in node.attrib.items() if key.rpartition("}")[2] == attribute), "")


def child(node: Node | None, *path: str) -> Node | None:
    """Return the element at the end of a path of names; None where there is none."""
    for step in path:
        node = None if node is None else next((it for it in node if name(it) == step), None)
    return node


def is_on(node: Node | None) -> bool:
    """Tell whether an element that switches something is there and switches it on."""
    return node is not None and value(node) not in _OFF


def inherited(own: Mapping[str, _Said], base: Mapping[str, str]) -> dict[str, _Said]:
    """Return what each style says, or the nearest of those that it is made from; styles in a circle say nothing.

    Each style is looked at once, however long the chains are.
    """
    found: dict[str, _Said | None] = dict(own)
    for style in base:
        chain, at = [], style
        while at not in found and at in base:
            found[at] = None
            chain.append(at)
            at = base[at]
        said = found.get(at)
        for it in chain:
            found[it] = said
    return {style: said for style, said in found.items() if said is not None}
