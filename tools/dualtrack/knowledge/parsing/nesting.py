"""How deep the elements of a page are nested, from its tags alone: one that is too deep is refused before it is read.

What reads HTML looks for each start tag through all elements that are open: 200,000 nested ones take minutes. Here the
work is bounded by the length of the page.
"""

from __future__ import annotations

import re

from dualtrack.knowledge.parsing.blocks import Unreadable

#: Elements that are open at a time. Pages of people have some dozens.
MOST = 2000
#: How far above it an end tag looks for its start tag.
LOOKS = 64
VOID = frozenset((
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr",
))  # fmt: skip
#: Elements without an end tag on most pages: the next one of their kind, or that of what they are in, ends them.
ENDED = frozenset((
    "p", "li", "dt", "dd", "tr", "td", "th", "thead", "tbody", "tfoot", "colgroup", "caption", "option", "optgroup",
    "rb", "rp", "rt", "rtc", "html", "head", "body",
))  # fmt: skip
#: In these everything up to their end tag is text.
RAW = frozenset(("script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes"))
FOREIGN = frozenset(("svg", "math"))
#: An end tag of another element does not reach over these.
SPECIAL = frozenset((
    "address", "applet", "article", "aside", "blockquote", "button", "center", "details", "dir", "div", "dl",
    "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hgroup",
    "main", "marquee", "menu", "nav", "noscript", "object", "ol", "pre", "section", "select", "summary", "table",
    "template", "ul",
))  # fmt: skip
_TAG = re.compile(r"<(?:(!--)|(/?)([A-Za-z][^\s/>]*))")


def check(page: str) -> None:
    """Refuse a page whose elements are nested too deeply; Unreadable."""
    opened: list[str] = []
    foreign, at = 0, 0
    while tag := _TAG.search(page, at):
        at = tag.end()
        if tag[1]:
            at = page.find("-->", at)
            if at < 0:
                return
            continue
        name = tag[3].lower()
        if tag[2]:
            foreign -= _closed(opened, name)
        elif name in RAW and not foreign:
            end = re.compile(f"</{name}", re.I).search(page, at)
            if end is None:
                return
            at = end.end()
        elif name not in VOID and name not in ENDED:
            end_of_tag = page.find(">", at)
            if (foreign or name in FOREIGN) and end_of_tag > 0 and page[end_of_tag - 1] == "/":
                continue
            opened.append(name)
            foreign += name in FOREIGN
            if len(opened) > MOST:
                raise Unreadable("its elements are nested too deeply")


def _closed(opened: list[str], name: str) -> int:
    """Close the element that an end tag ends, and all in it; return how many of them are of other languages."""
    for place in range(len(opened) - 1, max(len(opened) - LOOKS, 0) - 1, -1):
        if opened[place] == name:
            gone = sum(it in FOREIGN for it in opened[place:])
            del opened[place:]
            return gone
        if opened[place] in SPECIAL and name not in SPECIAL:
            break
    return 0
