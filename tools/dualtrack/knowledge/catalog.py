"""What was taken in: every document with its chunks, or why it was left out, each under a key of its own (`keys`).

Where a document is, and what it was made of, are keyed digests here. Of a deleted one a row is left that says so. Who
may read a collection is noted beside its documents, since it may have none.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from pathlib import Path

import msgspec

from dualtrack.core.errors import External
from dualtrack.knowledge.chunks import Chunk
from dualtrack.knowledge.keys import Keys
from dualtrack.knowledge.tables import Held, Table

FILE = "catalog.sqlite"


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A document: ``digest`` is that of the file and of how it was read; ``reason`` is why it was left out, or empty.

    ``content`` is the digest of the file alone, empty where it was not read; ``source`` is its path as it is shown,
    without personal data; ``left_out`` is what in it was not read.
    """

    collection: str
    path: str
    digest: str
    labels: tuple[str, ...]
    content: str = ""
    source: str = ""
    chunks: tuple[Chunk, ...] = ()
    kinds: dict[str, int] = {}
    left_out: tuple[str, ...] = ()
    reason: str = ""


class _Readers(msgspec.Struct, frozen=True, array_like=True):
    """A collection, and the labels of its documents."""

    collection: str
    labels: set[tuple[str, ...]]


class Catalog(Held):
    """All documents of a knowledge base."""

    def __init__(self, base: Path, keys: Keys) -> None:
        """Open the file, or make it."""
        self._keys, self._path = keys, base / FILE
        self._table = Table(
            self._path,
            "CREATE TABLE IF NOT EXISTS documents (place BLOB PRIMARY KEY, digest BLOB NOT NULL, document BLOB,"
            " body BLOB, reason TEXT NOT NULL) WITHOUT ROWID",
            "CREATE TABLE IF NOT EXISTS collections (place BLOB PRIMARY KEY, readers BLOB NOT NULL) WITHOUT ROWID",
        )

    def readers(self, collection: str) -> set[tuple[str, ...]]:
        """Return the labels of a collection's documents, or the labels noted last if it has no documents.

        The set is empty for a new collection. The noted labels include those of all documents, so documents are opened
        only where several labels, or none, are noted. External where the noted labels cannot be opened.
        """
        noted = self._noted(collection)
        if len(noted) == 1:
            return noted
        return {it.labels for _, it in self.all() if it.collection == collection} or noted

    def _noted(self, collection: str) -> set[tuple[str, ...]]:
        asked = "SELECT readers FROM collections WHERE place = ?"
        found = self._table.ask(asked, (self._keys.mac("collection", collection.encode()),))
        if not found:
            return set()
        data = self._keys.disclose("readers", found[0][0])
        noted = msgspec.msgpack.decode(data, type=_Readers) if data else None
        if noted is None or noted.collection != collection:
            raise External(f"{self._path} is damaged: a collection's readers do not open", hint="bring it back")
        return noted.labels

    def let_read(self, collection: str, labels: set[tuple[str, ...]]) -> None:
        """Note the labels of a collection's documents for when it has none."""
        sealed = self._keys.enclose("readers", msgspec.msgpack.encode(_Readers(collection, labels)))
        place = self._keys.mac("collection", collection.encode())
        self._table.change("INSERT OR REPLACE INTO collections VALUES (?, ?)", [(place, sealed)])

    def known(self, collection: str, path: str, digest: str) -> str | None:
        """Return None where a document is new or changed, else why it was deleted, or nothing."""
        asked = "SELECT reason FROM documents WHERE place = ? AND digest = ?"
        found = self._table.ask(asked, (self._place(collection, path), self._keys.mac("digest", digest.encode())))
        return str(found[0][0]) if found else None

    def put(self, it: Document) -> None:
        """Note a document under a new key, in place of what was known of it."""
        document = self._keys.new()
        body = self._keys.seal(document, "body", msgspec.msgpack.encode(it))
        self._note(it.collection, it.path, it.digest, document, body, "")

    def bury(self, collection: str, path: str, digest: str, reason: str) -> None:
        """Note that a document was deleted, in place of what was known of it."""
        self._note(collection, path, digest, None, None, reason)

    def forget(self, documents: Iterable[tuple[bytes, str]]) -> None:
        """Leave of documents that they were deleted, with the reason, and nothing beside the file."""
        gone = dict(documents)
        here = [it for it in self._table.ask("SELECT document, place FROM documents") if it[0] in gone]
        change = "UPDATE documents SET document = NULL, body = NULL, reason = ? WHERE place = ?"
        self._table.change(change, [(gone[number], place) for number, place in here])
        self._table.settle()

    def remove(self, collection: str, path: str) -> None:
        """Forget a document that is not there any more."""
        self._table.change("DELETE FROM documents WHERE place = ?", [(self._place(collection, path),)])

    def documents(self) -> set[bytes]:
        """Return the numbers of all documents."""
        return {it for (it,) in self._table.each("SELECT document FROM documents WHERE document IS NOT NULL")}

    def all(self, without: Container[bytes] = ()) -> list[tuple[bytes, Document]]:
        """Return all documents with their numbers, by collection and path; External where one does not open."""
        found = []
        for number, sealed in self._table.each("SELECT document, body FROM documents WHERE document IS NOT NULL"):
            if number in without:
                continue
            if (body := self._keys.open(number, "body", sealed)) is None:
                raise External(f"{self._path} is damaged: a document does not open", hint="bring it back")
            found.append((number, msgspec.msgpack.decode(body, type=Document)))
        return sorted(found, key=lambda it: (it[1].collection, it[1].path))

    def _note(
        self, collection: str, path: str, digest: str, document: bytes | None, body: bytes | None, reason: str
    ) -> None:
        """Write a row."""
        place, made = self._place(collection, path), self._keys.mac("digest", digest.encode())
        row = (place, made, document, body, reason)
        self._table.change("INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?, ?)", [row])

    def _place(self, collection: str, path: str) -> bytes:
        return self._keys.mac("place", f"{collection}\0{path}".encode())
