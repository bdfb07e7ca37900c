"""What parsers make of a document: blocks in order, and why there are none."""

from __future__ import annotations

from typing import Literal

import msgspec

#: Characters of all blocks together; longer documents are refused, since nobody wrote them to be read.
MOST_CHARACTERS = 50_000_000


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a document: a heading with its level from 1, a text, or a row of a table as text.

    ``place`` is where it is, in the words of its format: "page 3", "Sheet1 row 12"; empty where there are none.
    """

    kind: Literal["heading", "text", "row"]
    text: str
    level: int = 0
    place: str = ""


class Parsed(msgspec.Struct, frozen=True):
    """A document's blocks, and what in it was left out, as sentences."""

    blocks: list[Block]
    left_out: list[str] = []


class Unreadable(Exception):
    """A document that no text can be had from; the reason is a sentence for its owner."""
