"""What was shown to whom: a record for each answer, into the journal, from which it goes into the audit trail.

An answer whose record cannot be given is not given either. Questions are not in it: they may hold anything. What was
asked can be told by its digest from another question, where somebody has the words.
"""

from __future__ import annotations

import hashlib
import socket
import struct
from collections.abc import Sequence
from pathlib import Path

import msgspec

from dualtrack.errors import External
from dualtrack.knowledge.search import Hit

#: What the role audit takes for ours, where the sender is a unit of ours.
IDENTIFIER = "dualtrack"


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Who was shown which chunks of which version, and by which way they asked."""

    what: str = "knowledge"
    person: str
    way: str
    version: str
    chunks: tuple[str, ...]
    question: str


def chunk(hit: Hit) -> str:
    """Return what a chunk is called in records: a digest of what it is, without how near it was."""
    parts = (hit.collection, hit.source, hit.place, hit.headings, hit.text)
    return hashlib.sha256(msgspec.msgpack.encode(parts)).hexdigest()[:16]


def record(person: str, way: str, version: str, hits: Sequence[Hit], question: str) -> Record:
    """Return the record of an answer."""
    asked = hashlib.sha256(question.encode()).hexdigest()[:16]
    return Record(person=person, way=way, version=version, chunks=tuple(map(chunk, hits)), question=asked)


def give(it: Record, to: Path) -> None:
    """Give a record to the journal; External where it does not take it."""
    data = msgspec.json.encode(it)
    field = b"MESSAGE\n" + struct.pack("<Q", len(data)) + data + b"\n"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
            link.settimeout(5)
            link.sendto(b"PRIORITY=6\nSYSLOG_IDENTIFIER=" + IDENTIFIER.encode() + b"\n" + field, str(to))
    except OSError as error:
        raise External(f"the journal takes no record: {error.strerror or error}") from None
