"""What was taken in: every document with its chunks, or why it was left out. Kills leave the file whole (SQLite)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec

from dualtrack.knowledge.chunks import Chunk


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A document: ``digest`` is that of the file and of how it was read; ``reason`` is why it was left out, or empty.

    ``source`` is its path as it is shown, without personal data; ``left_out`` is what in it was not read.
    """

    collection: str
    path: str
    digest: str
    labels: tuple[str, ...]
    source: str = ""
    chunks: tuple[Chunk, ...] = ()
    kinds: dict[str, int] = {}
    left_out: tuple[str, ...] = ()
    reason: str = ""


class Catalog:
    """All documents of a knowledge base."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it."""
        self._rows = sqlite3.connect(path, timeout=60)
        self._rows.execute("PRAGMA journal_mode=WAL")
        self._rows.execute("PRAGMA synchronous=FULL")
        self._rows.execute(
            "CREATE TABLE IF NOT EXISTS documents (collection TEXT, path TEXT, digest TEXT NOT NULL,"
            " body BLOB NOT NULL, PRIMARY KEY (collection, path)) WITHOUT ROWID"
        )

    def digest(self, collection: str, path: str) -> str:
        """Return the digest of a document that was taken in or left out; empty where it is new."""
        asked = "SELECT digest FROM documents WHERE collection = ? AND path = ?"
        row = self._rows.execute(asked, (collection, path)).fetchone()
        return str(row[0]) if row else ""

    def put(self, it: Document) -> None:
        """Note a document, in place of what was known of it."""
        with self._rows:
            self._rows.execute(
                "INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?)",
                (it.collection, it.path, it.digest, msgspec.msgpack.encode(it)),
            )

    def remove(self, collection: str, path: str) -> None:
        """Forget a document."""
        with self._rows:
            self._rows.execute("DELETE FROM documents WHERE collection = ? AND path = ?", (collection, path))

    def paths(self, collection: str) -> list[str]:
        """Return the paths of a collection's documents, in order."""
        asked = "SELECT path FROM documents WHERE collection = ? ORDER BY path"
        found = self._rows.execute(asked, (collection,))
        return [str(row[0]) for row in found]

    def __iter__(self) -> Iterator[Document]:
        """Yield all documents, by collection and path."""
        for row in self._rows.execute("SELECT body FROM documents ORDER BY collection, path"):
            yield msgspec.msgpack.decode(row[0], type=Document)
