"""What was shown to whom: a record for each answer, into the journal, from which it goes into the audit trail.

An answer whose record the journal does not take is not given either. Neither questions nor texts are in it, but their
HMACs under a key of the knowledge base: who has that and the words can tell whether it was these.
"""

from __future__ import annotations

import hmac
import socket
import struct
from collections.abc import Sequence
from pathlib import Path

import msgspec

from dualtrack.core.errors import External
from dualtrack.knowledge.messages import Hit
from dualtrack.knowledge.service.people import Person

#: What the role audit takes for ours, where the sender is a unit of ours.
IDENTIFIER = "dualtrack"


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who was shown which chunks of which version, and by which way they asked.

    ``operator`` asked in the place of ``person`` (`--as` on the controller).
    """

    what: str
    person: str
    operator: str = ""
    way: str
    version: str
    chunks: tuple[str, ...]
    question: str


def chunk(hit: Hit, key: bytes) -> str:
    """Return what a chunk is called in records: by what it is, without how near it was."""
    return _called(key, msgspec.msgpack.encode((hit.collection, hit.source, hit.place, hit.headings, hit.text)))


def record(person: Person, way: str, version: str, hits: Sequence[Hit], question: str, key: bytes) -> Record:
    """Return the record of an answer."""
    chunks = tuple(chunk(it, key) for it in hits)
    return Record(
        what="knowledge", person=person.name, operator=person.operator, way=way, version=version, chunks=chunks,
        question=_called(key, question.encode()),
    )  # fmt: skip


def _called(key: bytes, data: bytes) -> str:
    return hmac.digest(key, data, "sha256").hex()[:16]


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
