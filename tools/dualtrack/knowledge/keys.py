"""Keys at rest: one for every document, all wrapped by a master key. Whose key is destroyed cannot be read any more.

    master.key    32 random bytes, unless the operator names another file; 0600
    keys.sqlite   a row for each document: its number (random) and its key under the master key (SM4-GCM)

Nothing of the knowledge base is on a disk in plain. The files of others hold what was sealed with a document's key: the
catalog, the vectors that were made before, and all versions.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Literal

from dualtrack.core.errors import BadInput, External
from dualtrack.core.files import read_secret, sync_path, write_atomically
from dualtrack.crypto import sm4
from dualtrack.crypto.kdf import DATA_KEY, SM4_KEY, hkdf
from dualtrack.crypto.sizes import TAG
from dualtrack.knowledge.tables import Held, Table

MASTER, FILE = "master.key", "keys.sqlite"
MASTER_BYTES, MOST_MASTER_BYTES = 32, 4096
#: Bytes of a document's number, and of a nonce.
ID, NONCE = 16, 12
#: By how much something sealed is longer than it was.
MORE = NONCE + TAG
#: Keys that are made together.
AT_ONCE = 64
Use = Literal["body", "block", "chunk", "vector"]


class Master:
    """The master key: what is enclosed under it, and keyed digests."""

    def __init__(self, base: Path, key_file: Path | None = None, *, make: bool = False) -> None:
        """Read it from its file, or that in ``base``; with ``make`` the latter is made. BadInput where it is none."""
        self._master = _master(key_file or base / MASTER, given=key_file is not None, make=make)
        self._purposes: dict[str, bytes] = {}

    def mac(self, purpose: str, data: bytes) -> bytes:
        """Return HMAC-SM3 under a key for a purpose: what is called by it shows nothing, and no guess can be tested."""
        if purpose not in self._purposes:
            self._purposes[purpose] = hkdf(self._master, b"dualtrack kb " + purpose.encode(), 32)
        return hmac.digest(self._purposes[purpose], data, "sm3")

    def enclose(self, purpose: str, data: bytes) -> bytes:
        """Return data as only the master key opens it."""
        return _sealed(self.mac(purpose, b"key")[:SM4_KEY], data, secrets.token_bytes(NONCE))

    def disclose(self, purpose: str, sealed: bytes) -> bytes | None:
        """Return what was enclosed, None where it is not that."""
        return _opened(self.mac(purpose, b"key")[:SM4_KEY], sealed)


class Keys(Master, Held):
    """The keys of a knowledge base as they were when this was made, and those that were made since by it."""

    def __init__(self, base: Path, key_file: Path | None = None, *, make: bool = False) -> None:
        """Open them; with ``make``, and where the base is empty, make them.

        BadInput for a master key that is missing or another one, External where the file of keys is missing or damaged.
        """
        path = base / FILE
        if not path.exists():
            if (base / "catalog.sqlite").exists() or (base / "current").exists():
                raise External(
                    f"{path} is not there: nothing in {base} can be read",
                    hint="bring it back, or remove the knowledge base and take its documents in again",
                )
            if not make:
                raise BadInput(f"{base} has no knowledge base", hint="dualtrack kb ingest makes one")
        super().__init__(base, key_file, make=make and not path.exists())
        self._table = Table(
            path,
            "CREATE TABLE IF NOT EXISTS keys (document BLOB PRIMARY KEY, wrapped BLOB NOT NULL) WITHOUT ROWID",
            "CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
            journal="DELETE",
        )
        mark = self.mac("check", b"").hex()
        known = self.fact("check")
        if not known and make:
            self.note("check", mark)
        elif known != mark:
            self._table.close()
            raise BadInput(f"{key_file or base / MASTER} is not the master key of {base}", hint="--key-file names it")
        self._fresh: list[bytes] = []
        self._wrapped: dict[bytes, bytes] = dict(self._table.ask("SELECT document, wrapped FROM keys"))

    def __contains__(self, document: bytes) -> bool:
        """Say whether a document has a key."""
        return document in self._wrapped

    def documents(self) -> set[bytes]:
        """Return all that have a key."""
        return set(self._wrapped)

    def fresh(self) -> set[bytes]:
        """Return those that were made, and not taken yet."""
        return set(self._fresh)

    def new(self) -> bytes:
        """Return the number of a document that has a new key, which is on the disk.

        Several are made at a time, since each time the disk is waited for; what nobody takes is destroyed with `tidy`.
        """
        if not self._fresh:
            made = {
                secrets.token_bytes(ID): _sealed(
                    self._wrapping, secrets.token_bytes(DATA_KEY), secrets.token_bytes(NONCE)
                )
                for _ in range(AT_ONCE)
            }
            self._table.change("INSERT INTO keys VALUES (?, ?)", made.items())
            self._wrapped |= made
            self._fresh = list(made)
        return self._fresh.pop()

    def wrapped(self, documents: Iterable[bytes]) -> dict[bytes, bytes]:
        """Return the keys of documents, those that are there, as only the master key opens them."""
        return {it: self._wrapped[it] for it in documents if it in self._wrapped}

    def adopt(self, wrapped: Mapping[bytes, bytes]) -> None:
        """Have the keys of another knowledge base with the same master key, all or none."""
        new = {document: key for document, key in wrapped.items() if document not in self._wrapped}
        self._table.change("INSERT INTO keys VALUES (?, ?)", new.items())
        self._wrapped |= new

    def destroy(self, documents: Iterable[bytes]) -> int:
        """Destroy keys, all or none, and return how many there were."""
        gone = set(documents)
        self._fresh = [it for it in self._fresh if it not in gone]
        count = self._table.change("DELETE FROM keys WHERE document = ?", [(it,) for it in gone])
        for it in gone:
            self._wrapped.pop(it, None)
        return count

    def seal(self, document: bytes, use: Use, data: bytes) -> bytes:
        """Return data as only the document's key opens it, for one use.

        The same data is sealed the same: a version shares what it has with the one before, and is copied in less. So
        the nonce is a keyed digest of the data. Other data has another one, but for one chance in 2^96.
        """
        if (key := self._key(document, use)) is None:
            raise External(f"the key of a document is not in {FILE}")
        digest = hmac.digest(hkdf(key, b"dualtrack kb nonce", 32), hashlib.sha256(data).digest(), "sm3")
        return _sealed(key, data, digest[:NONCE])

    def open(self, document: bytes, use: Use, sealed: bytes | memoryview) -> bytes | None:
        """Return what was sealed; None where the key is gone, or the bytes are not what was sealed for this use."""
        key = self._key(document, use)
        return None if key is None else _opened(key, sealed)

    def fact(self, name: str) -> str:
        """Return something that was noted beside the keys, or nothing."""
        found = self._table.ask("SELECT value FROM facts WHERE name = ?", (name,))
        return str(found[0][0]) if found else ""

    def note(self, name: str, value: str) -> None:
        """Note something beside the keys."""
        self._table.change("INSERT OR REPLACE INTO facts VALUES (?, ?)", [(name, value)])

    @cached_property
    def _wrapping(self) -> bytes:
        return hkdf(self._master, b"dualtrack kb wrap", SM4_KEY)

    def _key(self, document: bytes, use: Use) -> bytes | None:
        wrapped = self._wrapped.get(document)
        key = None if wrapped is None else _opened(self._wrapping, wrapped)
        return None if key is None else hkdf(key, b"dualtrack kb " + use.encode(), SM4_KEY)


def _master(path: Path, *, given: bool, make: bool) -> bytes:
    if make and not given and not path.exists():
        write_atomically(path, secrets.token_bytes(MASTER_BYTES), 0o600)
        sync_path(path.parent)
    elif not path.exists():
        raise BadInput(
            f"there is no master key {path}",
            hint="--key-file names it; a new one: head -c 32 /dev/urandom" if make else "--key-file names it",
        )
    if len(found := read_secret(path, MOST_MASTER_BYTES, given=given)) < MASTER_BYTES:
        raise BadInput(f"{path} is not a master key", hint=f"it has at least {MASTER_BYTES} bytes")
    return found


def _sealed(key: bytes, data: bytes, nonce: bytes) -> bytes:
    buffer = bytearray(len(data) + TAG)
    buffer[: len(data)] = data
    work = sm4.gcm(key)
    work.seal(nonce, buffer, len(data))
    work.close()
    return nonce + bytes(buffer)


def _opened(key: bytes, sealed: bytes | memoryview) -> bytes | None:
    if len(sealed) < MORE:
        return None
    buffer = bytearray(sealed[NONCE:])
    work = sm4.gcm(key)
    whole = work.open(bytes(sealed[:NONCE]), buffer, len(buffer) - TAG)
    work.close()
    return bytes(buffer[:-TAG]) if whole else None
