"""HTML pages, and mails, whose parts may be pages."""

from __future__ import annotations

import email
import email.policy
import re
from email.message import EmailMessage

from dualtrack.knowledge.parsing import nesting, styles, text
from dualtrack.knowledge.parsing.blocks import Block, Parsed, Unreadable

#: What no reader sees as text; and what is left out with a word, where it has a text.
UNSEEN = "script, style"
LEFT = {
    "nav": "the navigation", "noscript": "what is shown without scripts", "template": "a template",
    "iframe": "an embedded page",
}  # fmt: skip
_TAGS = re.compile(r"<[^>]*>")
HEADINGS = {f"h{level}": level for level in range(1, 7)}
#: Elements that begin and end a block; the cells of a row are one.
SPLIT = frozenset((
    *HEADINGS, "p", "li", "pre", "dt", "dd", "tr", "caption", "blockquote", "figcaption", "div", "section", "article",
    "main", "header", "footer", "aside", "table", "ul", "ol", "dl", "hr", "body", "form", "details", "summary",
))  # fmt: skip
_CHARSET = re.compile(rb"""<meta[^>]{0,200}charset=["']?\s*([A-Za-z0-9_-]{2,40})""", re.I)


def html(data: bytes) -> Parsed:
    """Return the title, headings and texts of a page, in order, and the words that stand for its pictures."""
    return _page(_decoded(data))


def _decoded(data: bytes, name: str = "") -> str:
    """Return a page as text: by what a mail or the page says of it, which must be true, or as any text."""
    if not name and (said := _CHARSET.search(data[:4096])):
        name = said[1].decode().lower()
    if name:
        try:
            return data.decode("gb18030" if name in ("gbk", "gb2312", "gb_2312-80") else name)
        except (UnicodeDecodeError, LookupError):
            raise Unreadable(f"it says that it is {name}, and is not") from None
    return text.decoded(data)


def _page(page: str) -> Parsed:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

    nesting.check(page)
    tree = LexborHTMLParser(page)
    title = tree.css_first("head > title")
    called = " ".join(title.text().split()) if title is not None else ""
    left: dict[str, None] = {}

    def leave(node: LexborNode, reason: str) -> None:
        if node.text().strip() or node.attributes.get("srcdoc") or _TAGS.sub("", node.html or "").strip():
            left[reason] = None
        node.decompose()

    for name, reason in LEFT.items():
        for node in tree.css(name):
            leave(node, reason)
    shown = styles.Styles(tree)
    for node in tree.css(UNSEEN):
        node.decompose()
    for node in tree.css("head"):
        node.decompose()
    hidden = [node for node in tree.css("*") if shown.hides(node)]
    for node in reversed(hidden):  # the inner ones first
        leave(node, "hidden text")
    blocks: list[Block] = []
    words: list[str] = []

    def flush(tag: str) -> None:
        said = "".join(words).strip("\n") if tag == "pre" else " ".join("".join(words).split()).removeprefix("| ")
        words.clear()
        if said.strip():
            level = HEADINGS.get(tag, 0)
            blocks.append(Block(kind="heading" if level else "row" if tag == "tr" else "text", text=said, level=level))

    def say(said: str, seen: styles.Seen) -> None:
        if not seen.hidden:
            words.append(said)
        elif said.strip():
            left["hidden text"] = None

    def walk(node: LexborNode, tag: str, around: styles.Seen) -> None:
        for child in node.iter(include_text=True):
            name = child.tag or ""
            if name == "-text":
                say(child.text_content or "", around)
                continue
            seen = shown.seen(child, around)
            if name in SPLIT:
                flush(tag)
                walk(child, name, seen)
                flush(name)
            else:
                if words_of_it := (child.attributes.get("alt") or "").strip():
                    say(f" {words_of_it} ", seen)
                if name in ("td", "th", "br"):
                    words.append("\n" if name == "br" else " | ")
                walk(child, tag, seen)

    if tree.body is not None:
        try:
            walk(tree.body, "body", shown.seen(tree.body, styles.Seen()))
        except RecursionError:
            raise Unreadable("its elements are nested too deeply") from None
        flush("body")
    if called and not (blocks and blocks[0].kind == "heading"):
        blocks.insert(0, Block(kind="heading", text=called, level=1))
    elif called and called != blocks[0].text:
        blocks.insert(0, Block(kind="text", text=called, place="title"))
    return Parsed(blocks, list(left))


def mail(data: bytes) -> Parsed:
    """Return a mail's subject, who wrote it to whom, and its text; attachments are left out, and said so."""
    message = email.message_from_bytes(data, policy=email.policy.default)
    if not isinstance(message, EmailMessage) or not message.keys():
        raise Unreadable("it is not a mail: it has no header")
    blocks = [Block(kind="heading", text=str(message["Subject"]), level=1)] if message["Subject"] else []
    blocks += [Block(kind="text", text=f"{name}: {message[name]}") for name in ("From", "To", "Date") if message[name]]
    left: list[str] = []
    body = message.get_body(("plain", "html"))
    if body is not None:
        content = body.get_payload(decode=True)
        words = _decoded(content if isinstance(content, bytes) else b"", (body.get_content_charset() or "").lower())
        found = _page(words) if body.get_content_type() == "text/html" else text.plain(words.encode())
        blocks, left = blocks + found.blocks, left + found.left_out
    left += [f"the attachment {it.get_filename() or it.get_content_type()}" for it in message.iter_attachments()]
    return Parsed(blocks, left)
