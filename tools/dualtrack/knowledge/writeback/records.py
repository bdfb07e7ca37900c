"""Documents as they leave a knowledge base: their texts, cleaned once more, and nothing that says whose they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import msgspec

from dualtrack.core.errors import DualtrackError, External
from dualtrack.knowledge import versions
from dualtrack.knowledge.keys import Keys
from dualtrack.knowledge.ledger import Ledger
from dualtrack.knowledge.pii.mask import mask_parts


class Part(msgspec.Struct, frozen=True):
    """A part of a document under its headings, from the outermost in."""

    headings: tuple[str, ...]
    text: str


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A document as it is sent: where it was, without personal data, and its parts. Labels stay behind."""

    collection: str
    source: str
    parts: tuple[Part, ...]

    def text(self) -> str:
        """Return it as Markdown, which is how it is shown and how it arrives."""
        found: list[str] = []
        before: tuple[str, ...] = ()
        for it in self.parts:
            same = sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(before, it.headings, strict=False)))
            found += [f"{'#' * min(level, 6)} {name}" for level, name in enumerate(it.headings, 1) if level > same]
            found.append(it.text)
            before = it.headings
        return "\n\n".join(found) + "\n"


class Unclean(msgspec.Struct, frozen=True):
    """A document that is not sent, and why."""

    source: str
    reason: str


def read(
    base: Path, collections: Sequence[str], key_file: Path | None = None
) -> Iterator[tuple[str, Record | Unclean]]:
    """Yield the places of the documents of collections in the version that answers, and what would be sent of each.

    What the rules find in it by now is masked; where that cannot be done the document stays. The errors of
    `versions.load`.
    """
    directory = versions.current(base)
    with versions.reported(directory), Keys(base, key_file) as keys:
        card = versions.read_card(directory, keys)
        for _, block in versions.blocks(directory, card, keys, Ledger(base, keys)):
            if block.collection in collections and block.entries:
                yield f"{block.collection}\0{block.path}", _record(block)


def _record(block: versions.Block) -> Record | Unclean:
    source = block.entries[0].source
    words: list[str] = [source]
    for it in block.entries:
        words += [*it.headings, it.text]
    try:
        clean, _ = mask_parts(words)
    except (DualtrackError, UnicodeError) as error:
        return Unclean(source, str(error))
    if len(clean) != len(words):
        return Unclean(source, "it cannot be taken apart again after it was cleaned")
    left: Any = iter(clean)
    source = next(left)
    parts = tuple(Part(tuple(next(left) for _ in it.headings), next(left)) for it in block.entries)
    return Record(collection=block.collection, source=source, parts=parts)


def encode(record: Record) -> bytes:
    """Return a record as it is sealed."""
    return msgspec.msgpack.encode(record)


def decode(data: bytes) -> Record:
    """Return what was encoded; External where it was not."""
    try:
        return msgspec.msgpack.decode(data, type=Record)
    except msgspec.MsgspecError as error:
        raise External(f"a document in the bucket is none: {error}") from None
