"""HTML documents, and the encoding of pages and of texts in mails."""

from __future__ import annotations

import re

from dualtrack.knowledge.parsing import pages, text
from dualtrack.knowledge.parsing.blocks import Parsed, Unreadable

_CHARSET = re.compile(rb"""<meta[^>]{0,200}charset=["']?\s*([A-Za-z0-9_-]{2,40})""", re.I)


def html(data: bytes) -> Parsed:
    """Return the title, headings, texts and tables of a page, in order, and the words that stand for its pictures."""
    return pages.read(decoded(data))


def decoded(data: bytes, name: str = "") -> str:
    """Return a page as text: by what a mail or the page says of it, which must be true, or as any text."""
    if not name and (said := _CHARSET.search(data[:4096])):
        name = said[1].decode().lower()
    if name:
        try:
            return data.decode("gb18030" if name in ("gbk", "gb2312", "gb_2312-80") else name)
        except (UnicodeDecodeError, LookupError):
            raise Unreadable(f"it says that it is {name}, and is not") from None
    return text.decoded(data)
