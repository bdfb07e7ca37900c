"""Versions of an index: immutable directories, called by the digest of what is in them; one is current.

    versions/<id>/card.json          what it was made of: model, rules, counts, the digest of the other file, and a MAC
    versions/<id>/documents.sealed   a block for each document, in order: its number in clear, then its chunks and
                                     vectors under its key
    current                          a link to one of them, switched by one rename

A version is complete or not there: it is made under another name, synced, and renamed. Its files are checked whenever
they are loaded, since an index with a flipped byte answers, and wrongly. The id is a digest of what is sealed, so the
same documents have the same one under any keys. Documents that the ledger has are passed over.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import shutil
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BufferedReader
from pathlib import Path

import msgspec
import numpy as np

from dualtrack.core.errors import BadInput, External, Refused
from dualtrack.core.files import locked, sync_path, write_atomically
from dualtrack.knowledge.embedding import Vectors
from dualtrack.knowledge.index import Choice
from dualtrack.knowledge.keys import ID, Keys, Master
from dualtrack.knowledge.ledger import Ledger

CURRENT = "current"
CARD, SEALED = "card.json", "documents.sealed"
#: Where it is, all is copied from another knowledge base (`sync.copy`).
COPIED = "sync.json"
#: Before each block: the document's number, how many chunks it has, and how many bytes follow.
HEAD = struct.Struct(f">{ID}sIQ")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A chunk in a version: whose document it is of, who may see it, its headings, text and place."""

    collection: str
    source: str
    document: str
    labels: tuple[str, ...]
    headings: tuple[str, ...]
    text: str
    place: str = ""


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A document in a version: where it was, the digest of its file, its chunks, and a vector for each (float32)."""

    collection: str
    path: str
    content: str
    entries: list[Entry]
    vectors: bytes


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A version's card. ``model`` is the digest of the model, ``rules`` that of what made chunks of documents.

    ``bytes`` and ``digest`` are of the file of documents; ``mac`` is over all else. ``index`` is how all chunks are
    searched, and what part of the nearest that finds; not there where each is compared.
    """

    id: str
    model_name: str
    model: str
    dimension: int
    rules: str
    documents: int
    chunks: int
    bytes: int
    digest: str
    mac: str = ""
    index: Choice | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True)
class Version:
    """A version that was loaded and checked."""

    id: str
    card: Made
    entries: list[Entry]
    vectors: Vectors


def write(
    base: Path, keys: Keys, documents: Sequence[tuple[bytes, Block]], *, dimension: int, model_name: str, model: str,
    rules: str, index: Choice | None = None,
) -> str:  # fmt: skip
    """Write a version of documents, with their numbers, and return its id.

    One that is there already is left as it is, unless it is damaged.
    """
    folder = base / "versions"
    folder.mkdir(exist_ok=True)
    for it in folder.glob(".new-*"):
        shutil.rmtree(it)  # of a run that was killed; the caller has the lock
    content = hashlib.sha256(msgspec.json.encode([model_name, model, dimension, rules]))
    for _, block in documents:
        content.update(hashlib.sha256(msgspec.msgpack.encode(block)).digest())
    name = content.hexdigest()[:16]
    if (folder / name).is_dir():
        if not damaged(folder / name, keys, Ledger(base, keys)):
            return name
        (folder / name).rename(folder / f".new-{name}")
    fresh = folder / f".new-{os.getpid()}"
    fresh.mkdir()
    digest, size = hashlib.sha256(), 0
    with (fresh / SEALED).open("wb") as file:
        for number, block in documents:
            data = keys.seal(number, "block", msgspec.msgpack.encode(block))
            data = HEAD.pack(number, len(block.entries), len(data)) + data
            file.write(data)
            digest.update(data)
            size += len(data)
        file.flush()
        os.fsync(file.fileno())
    card = Made(
        id=name, model_name=model_name, model=model, dimension=dimension, rules=rules, documents=len(documents),
        chunks=sum(len(it.entries) for _, it in documents), bytes=size, digest=digest.hexdigest(),
        index=index or msgspec.UNSET,
    )  # fmt: skip
    card = msgspec.structs.replace(card, mac=_mac(card, keys))
    write_atomically(fresh / CARD, _text(card))
    sync_path(fresh)
    fresh.rename(folder / name)
    sync_path(folder)
    return name


def change_to(base: Path, name: str) -> list[str]:
    """Return lines that say which version answers, and what another one has; BadInput where that one is not kept."""
    found = {it.id: it for it in listed(base)}
    if name not in found:
        raise BadInput(f"there is no version {name}", hint=", ".join(found))

    def told(it: Listed) -> str:
        return f"{it.id} of {it.since:%Y-%m-%d %H:%M:%S} UTC, {it.card.documents} documents, {it.card.chunks} chunks"

    now = [f"version {told(it)}, answers now" for it in found.values() if it.current]
    return [*now, f"version {told(found[name])}, would answer"]


def roll_back(
    base: Path, name: str, key_file: Path | None = None, *, first: Callable[[Keys, Ledger], None] = lambda *_: None
) -> None:
    """Make a version that is kept the current one; BadInput where there is none, External where it is damaged.

    What was deleted since stays deleted. ``first`` is done before the switch, under the same lock.
    """
    change_to(base, name)
    with locked(base / "ingest"), Keys(base, key_file) as keys:
        deleted = Ledger(base, keys)
        if wrong := damaged(base / "versions" / name, keys, deleted):
            raise External(f"version {name} is damaged: {wrong}")
        first(keys, deleted)
        switch(base, name)


def switch(base: Path, name: str) -> None:
    """Make a version the current one, by one rename; the caller has the lock."""
    link = base / f".{CURRENT}-{os.getpid()}"
    link.unlink(missing_ok=True)
    link.symlink_to(Path("versions", name))
    link.replace(base / CURRENT)
    sync_path(base)


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A version that is there: since when (UTC, as its directory says), whether it is the current one, and its card."""

    id: str
    since: datetime
    current: bool
    card: Made


def listed(base: Path) -> list[Listed]:
    """Return all versions, the newest first; BadInput where there is none."""
    current = (base / CURRENT).resolve()
    found = []
    for folder in (base / "versions").glob("[0-9a-f]*"):
        with contextlib.suppress(OSError, msgspec.MsgspecError):  # what is not a version, or a damaged one
            card = msgspec.json.decode((folder / CARD).read_bytes(), type=Made)
            written = folder.stat().st_mtime_ns
            since = datetime.fromtimestamp(written // 10**9, UTC)
            one = Listed(id=folder.name, since=since, current=folder.resolve() == current, card=card)
            found.append((written, one.current, one))
    if not found:
        raise BadInput(f"{base} has no version of a knowledge base", hint="dualtrack kb ingest makes one")
    return [one for *_, one in sorted(found, key=lambda it: it[:2], reverse=True)]


def prune(base: Path, keep: int) -> None:
    """Remove versions beyond the newest ``keep``, never the current one, and what a killed run left of others."""
    for left in (base / "versions").glob(".new-*"):
        shutil.rmtree(left)
    for it in [it for it in listed(base) if not it.current][max(keep - 1, 0) :]:
        remove(base, it.id)


def remove(base: Path, name: str) -> None:
    """Remove a version, at once: whoever is killed in between leaves what the next `prune` removes."""
    gone = base / "versions" / f".new-{name}"
    (base / "versions" / name).rename(gone)
    shutil.rmtree(gone)


def current(base: Path) -> Path:
    """Return the directory of the version that answers; BadInput where there is none."""
    folder = (base / CURRENT).resolve()
    if not folder.is_dir():
        raise BadInput(f"{base} has no version of a knowledge base", hint="dualtrack kb ingest makes one")
    return folder


def load(base: Path, key_file: Path | None = None) -> Version:
    """Return the current version without what was deleted; BadInput where there is none, External where it is damaged.

    BadInput also for a master key that is missing or another one.
    """
    while True:
        folder = current(base)
        try:
            with reported(folder), Keys(base, key_file) as keys:
                return opened(folder, keys, Ledger(base, keys))  # read after the keys: what has none any more is in it
        except External:
            if (base / CURRENT).resolve() == folder:
                raise


class Damaged(Exception):
    """A version is not as it was written; the reason names what is not."""


@contextlib.contextmanager
def reported(folder: Path, hint: str = "dualtrack kb ingest makes it anew") -> Iterator[None]:
    """Tell people that a version is damaged: External for Damaged."""
    try:
        yield
    except Damaged as error:
        raise External(f"version {folder.name} is damaged: {error}", hint=hint) from None


def damaged(folder: Path, keys: Keys, ledger: Ledger) -> str:
    """Return what of a version is not as it was written, or nothing."""
    try:
        for _ in blocks(folder, read_card(folder, keys), keys, ledger):
            pass
    except Damaged as error:
        return str(error)
    return ""


def opened(folder: Path, keys: Keys, ledger: Ledger) -> Version:
    """Return a version without what was deleted; raises Damaged."""
    card = read_card(folder, keys)
    entries: list[Entry] = []
    vectors = np.empty((card.chunks, card.dimension), np.float32)
    for _, block in blocks(folder, card, keys, ledger):
        end = len(entries) + len(block.entries)
        vectors[len(entries) : end] = np.frombuffer(block.vectors, np.float32).reshape(-1, card.dimension)
        entries += block.entries
    return Version(folder.name, card, entries, vectors[: len(entries)])


def read_card(folder: Path, keys: Master) -> Made:
    """Return a version's card; raises Damaged where it is not the one that was written."""
    try:
        text = (folder / CARD).read_bytes()
        card = msgspec.json.decode(text, type=Made)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        raise Damaged(CARD) from None
    if (
        text != _text(card)
        or card.id != folder.name
        or not hmac.compare_digest(_mac(card, keys).encode(), card.mac.encode())
    ):
        raise Damaged(CARD)
    return card


def blocks(folder: Path, card: Made, keys: Keys, ledger: Ledger) -> Iterator[tuple[bytes, Block]]:
    """Yield the documents of a version with their numbers, without what was deleted; raises Damaged.

    The file is read twice, once for its digest; one block at a time is in memory.
    """
    with _sealed(folder) as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != card.digest:
            raise Damaged(SEALED)
        for number, _, length in _heads(file):
            if number in ledger.documents:
                file.seek(length, os.SEEK_CUR)
                continue
            if number not in keys:
                raise Damaged("the key of a document is gone")
            plain = keys.open(number, "block", file.read(length))
            if plain is None:
                raise Damaged(SEALED)
            try:
                block = msgspec.msgpack.decode(plain, type=Block)
            except msgspec.MsgspecError:
                raise Damaged(SEALED) from None
            if len(block.vectors) != 4 * card.dimension * len(block.entries):
                raise Damaged(SEALED)
            yield number, block


def numbers(folder: Path) -> list[tuple[bytes, int]]:
    """Return the numbers of a version's documents, and how many chunks each has; nothing is opened. Raises Damaged."""
    found = []
    with _sealed(folder) as file:
        for number, count, length in _heads(file):
            found.append((number, count))
            file.seek(length, os.SEEK_CUR)
    return found


def live(folder: Path, ledger: Ledger) -> dict[bytes, int]:
    """Return `numbers` without what was deleted."""
    return {number: count for number, count in numbers(folder) if number not in ledger.documents}


def check(folder: Path, keys: Master) -> Made:
    """Return the card of a version whose files are as they were written; raises Damaged. Nothing is opened."""
    card = read_card(folder, keys)
    with _sealed(folder) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != card.digest:
        raise Damaged(SEALED)
    return card


def own(base: Path) -> None:
    """Refuse a knowledge base that is a copy of another one's: what is changed here would be gone with the next run."""
    if (base / COPIED).exists():
        raise Refused(
            f"{base} is a copy of another knowledge base", hint="change that one; dualtrack sync status says which"
        )


def _text(card: Made) -> bytes:
    return msgspec.json.format(msgspec.json.encode(card, order="sorted"), indent=1)


def _mac(card: Made, keys: Master) -> str:
    data = msgspec.json.encode(msgspec.structs.replace(card, mac=""), order="sorted")
    return keys.mac("card", data).hex()


@contextlib.contextmanager
def _sealed(folder: Path) -> Iterator[BufferedReader]:
    """Open a version's file of documents; raises Damaged where it cannot be read."""
    try:
        with (folder / SEALED).open("rb") as file:
            yield file
    except OSError:
        raise Damaged(SEALED) from None


def _heads(file: BufferedReader) -> Iterator[tuple[bytes, int, int]]:
    """Yield what is before each block, from the start of the file; who takes it reads the block, or passes over it."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    while place := file.read(HEAD.size):
        if len(place) < HEAD.size:
            raise Damaged(SEALED)
        number, count, length = HEAD.unpack(place)
        if file.tell() + length > size:
            raise Damaged(SEALED)
        yield number, count, length
