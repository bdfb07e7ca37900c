"""The ledger of deletions: outside of the versions, added to and never changed, without personal data.

    deletions.ledger    a line for each deletion: JSON, and HMAC-SM3 over it and all lines before it

What a line says in clear is how much was deleted and when. By which keyed digests documents and people are known again
is enclosed under the master key, and even who has that key can only test guesses.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec

from dualtrack.core.append_log import AppendLog, append
from dualtrack.core.errors import External
from dualtrack.core.files import open_own
from dualtrack.crypto.sm3 import sm3
from dualtrack.knowledge.keys import Keys
from dualtrack.knowledge.mentions import Digest, Known, digest

FILE = "deletions.ledger"
#: What is noted beside the keys: how many deletions the ledger has that were done to the end.
DONE = "deletions"
_MAC = 64


class Deletion(msgspec.Struct, frozen=True, kw_only=True):
    """A deletion: its number from 1 on, when (UTC), and how much; ``enclosed`` is what is known again (`Marks`)."""

    number: int
    time: datetime
    documents: int
    chunks: int
    keys: int
    identifiers: int
    versions: tuple[str, ...]
    enclosed: bytes


class Marks(msgspec.Struct, frozen=True, kw_only=True):
    """What a deletion is known again by: numbers of documents, and keyed digests of all else.

    Those are of what was in files, of names of documents as they were given, and of identifiers.
    """

    documents: list[bytes] = []
    contents: list[bytes] = []
    named: list[bytes] = []
    people: list[Digest] = []


class Ledger:
    """All deletions of a knowledge base. Made after its `Keys`: what has no key any more is in it."""

    def __init__(self, base: Path, keys: Keys) -> None:
        """Read it; External where it is not as it was written, or shorter than it was."""
        self.path, self._keys = base / FILE, keys
        self.deletions: list[Deletion] = []
        #: When each document was deleted (its number), and each content, named document and identifier (digests).
        self.documents: dict[bytes, Deletion] = {}
        self.contents: dict[bytes, Deletion] = {}
        self._named: dict[bytes, Deletion] = {}
        self._people: dict[bytes, Deletion] = {}
        digests: list[Digest] = []
        self._chain = self._mac(b"begin")
        #: The file, but for a last line that is not whole.
        self.lines = b""
        for line in self._whole():
            found, marks = self._read(line)
            self.deletions.append(found)
            digests += marks.people
            for known, by in (
                (self.documents, marks.documents), (self.contents, marks.contents), (self._named, marks.named),
                (self._people, [it.whole for it in marks.people]),
            ):  # fmt: skip
                known.update(dict.fromkeys(by, found))
        self._people_known = Known(digests, partial(keys.mac, "ledger"))
        if len(self.deletions) < (done := int(keys.fact(DONE) or 0)):
            raise External(
                f"{self.path} has {len(self.deletions)} deletions, and {done} were done",
                hint="bring it back: what it lacks would come in again",
            )

    def add(
        self, *, documents: Sequence[bytes], contents: Sequence[str], named: Sequence[str], people: Sequence[str],
        count: int, chunks: int, versions: Sequence[str], now: datetime,
    ) -> Deletion:  # fmt: skip
        """Note a deletion, on the disk when it returns; `documents` are theirs from now on, `count` what they were."""
        marks = Marks(
            documents=sorted(documents), contents=sorted(self.content(it) for it in contents),
            named=sorted(self._mac(b"named" + it.encode()) for it in named),
            people=sorted((digest(it, self._mac) for it in people), key=lambda it: it.whole),
        )  # fmt: skip
        made = Deletion(
            number=len(self.deletions) + 1, time=now.astimezone(UTC).replace(microsecond=0), documents=count,
            chunks=chunks, keys=len(documents), identifiers=len(people), versions=tuple(versions),
            enclosed=self._keys.enclose("marks", msgspec.msgpack.encode(marks)),
        )  # fmt: skip
        data = msgspec.json.encode(made)
        self._cut()
        append(self.path, [b"%b %b\n" % (data, self._mac(self._chain + data).hex().encode())])
        return made

    def content(self, of: str) -> bytes:
        """Return by what a file is known again whose digest is ``of``."""
        return self._mac(b"content" + of.encode())

    def of_named(self, name: str) -> Deletion | None:
        """Return the deletion of a document that was named like this."""
        return self._named.get(self._mac(b"named" + name.encode()))

    def of_person(self, identifier: str) -> Deletion | None:
        """Return the deletion of somebody with an identifier (made plain)."""
        return self._people.get(digest(identifier, self._mac).whole)

    def of_mention(self, parts: Sequence[str]) -> Deletion | None:
        """Return the deletion of somebody whom a document mentions; raises TooMany where that takes too long."""
        found = self._people_known.first(parts)
        return None if found is None else self._people[found]

    def digest(self, number: int) -> str:
        """Return SM3 over the file up to a deletion: `head -n NUMBER deletions.ledger | openssl dgst -sm3`."""
        return sm3(b"".join(self.lines.splitlines(keepends=True)[:number])).hex()

    def _mac(self, data: bytes) -> bytes:
        return self._keys.mac("ledger", data)

    def _whole(self) -> Iterator[bytes]:
        """Yield the lines; the last one is left out where it is not whole: nobody was told that it is there."""
        try:
            with os.fdopen(open_own(self.path.parent, FILE), "rb") as file:
                data = file.read()
        except FileNotFoundError:
            return
        self.lines = data[: data.rfind(b"\n") + 1]
        yield from self.lines.splitlines()

    def _read(self, line: bytes) -> tuple[Deletion, Marks]:
        data, mac = line[: -_MAC - 1], line[-_MAC:]
        chain = self._mac(self._chain + data)
        if not hmac.compare_digest(chain.hex().encode(), mac):
            raise self._damaged()
        self._chain = chain
        try:
            found = msgspec.json.decode(data, type=Deletion)
            opened = self._keys.disclose("marks", found.enclosed)
            if opened is None or found.number != len(self.deletions) + 1:
                raise self._damaged()
            return found, msgspec.msgpack.decode(opened, type=Marks)
        except msgspec.MsgspecError:
            raise self._damaged() from None

    def _damaged(self) -> External:
        return External(
            f"{self.path} is damaged in line {len(self.deletions) + 1}", hint="bring back the file as it was"
        )

    def _cut(self) -> None:
        """Take off a line that a power cut left in part."""
        if self.path.exists():
            with AppendLog(open_own(self.path.parent, FILE, os.O_RDWR)) as log:
                log.cut_tail()


def said(it: Deletion) -> str:
    """Return the reason for which a document is left out."""
    return f"deleted on {it.time:%Y-%m-%d}"


def size(base: Path) -> int:
    """Return how long the ledger is: it grows with each deletion."""
    try:
        return (base / FILE).stat().st_size
    except FileNotFoundError:
        return 0
