"""Versions of an index: immutable directories, called by the digest of what is in them; one is current.

    versions/<id>/card.json        what it was made of: model, rules, counts, and the digests of both files
    versions/<id>/chunks.msgpack   chunks in order
    versions/<id>/vectors.npy      a row for each chunk, float32
    current                        a link to one of them, switched by one rename

A version is complete or not there: it is made under another name, synced, and renamed. Its files are checked by their
digests whenever they are loaded, since an index with a flipped byte answers, and wrongly.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np

from dualtrack.errors import BadInput, External
from dualtrack.files import locked, sync_path, write_atomically
from dualtrack.knowledge.embedding import Vectors

CURRENT = "current"


class Entry(msgspec.Struct, frozen=True):
    """A chunk in a version: whose document it is of, who may see it, its headings, text and place."""

    collection: str
    source: str
    document: str
    labels: tuple[str, ...]
    headings: tuple[str, ...]
    text: str
    place: str = ""


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A version's card. ``model`` is the digest of the model, ``rules`` that of what made chunks of documents."""

    model_name: str
    model: str
    dimension: int
    rules: str
    documents: int
    chunks: int
    files: dict[str, str]


@dataclass(frozen=True)
class Version:
    """A version that was loaded and checked."""

    id: str
    card: Made
    entries: list[Entry]
    vectors: Vectors


def write(base: Path, entries: Sequence[Entry], vectors: Vectors, *, model_name: str, model: str, rules: str) -> str:
    """Write a version and return its id; one that is there already is left as it is, unless it is damaged."""
    folder = base / "versions"
    folder.mkdir(exist_ok=True)
    for it in folder.glob(".new-*"):
        shutil.rmtree(it)  # of a run that was killed; the caller has the lock
    fresh = folder / f".new-{os.getpid()}"
    fresh.mkdir()
    chunks = msgspec.msgpack.encode(list(entries))
    write_atomically(fresh / "chunks.msgpack", chunks)
    with (fresh / "vectors.npy").open("wb") as file:
        np.save(file, vectors, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())
    card = Made(
        model_name=model_name, model=model, dimension=int(vectors.shape[1]), rules=rules,
        documents=len({(it.collection, it.document) for it in entries}), chunks=len(entries),
        files={name: _digest(fresh / name) for name in ("chunks.msgpack", "vectors.npy")},
    )  # fmt: skip
    text = msgspec.json.format(msgspec.json.encode(card, order="sorted"), indent=1)
    write_atomically(fresh / "card.json", text)
    name = hashlib.sha256(text).hexdigest()[:16]
    if (folder / name).is_dir():
        if not _damaged(folder / name):
            shutil.rmtree(fresh)
            return name
        (folder / name).rename(folder / f".new-{name}")
    sync_path(fresh)
    fresh.rename(folder / name)
    sync_path(folder)
    return name


def roll_back(base: Path, name: str) -> None:
    """Make a version that is kept the current one; BadInput where there is none, External where it is damaged."""
    if name not in (ids := [it.id for it in listed(base)]):
        raise BadInput(f"there is no version {name}", hint=", ".join(ids))
    if damaged := _damaged(base / "versions" / name):
        raise External(f"version {name} is damaged: {', '.join(damaged)}")
    with locked(base / "ingest"):
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
        with contextlib.suppress(OSError, msgspec.MsgspecError):  # what is no version, or a damaged one
            card = msgspec.json.decode((folder / "card.json").read_bytes(), type=Made)
            since = datetime.fromtimestamp(int(folder.stat().st_mtime), UTC)
            found.append(Listed(id=folder.name, since=since, current=folder.resolve() == current, card=card))
    if not found:
        raise BadInput(f"{base} has no version of a knowledge base", hint="dualtrack kb ingest makes one")
    return sorted(found, key=lambda it: (it.since, it.current), reverse=True)


def prune(base: Path, keep: int) -> None:
    """Remove versions beyond the newest ``keep``; never the current one."""
    for it in [it for it in listed(base) if not it.current][max(keep - 1, 0) :]:
        (base / "versions" / it.id).rename(base / "versions" / f".new-{it.id}")
        shutil.rmtree(base / "versions" / f".new-{it.id}")


def load(base: Path) -> Version:
    """Return the current version; BadInput where there is none, External where it is damaged."""
    folder = (base / CURRENT).resolve()
    if not folder.is_dir():
        raise BadInput(f"{base} has no version of a knowledge base", hint="dualtrack kb ingest makes one")
    if damaged := _damaged(folder):
        raise External(
            f"version {folder.name} is damaged: {', '.join(damaged)}", hint="dualtrack kb ingest makes it anew"
        )
    card = msgspec.json.decode((folder / "card.json").read_bytes(), type=Made)
    entries = msgspec.msgpack.decode((folder / "chunks.msgpack").read_bytes(), type=list[Entry])
    vectors = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
    return Version(folder.name, card, entries, vectors)


def _damaged(folder: Path) -> list[str]:
    """Return the files of a version that are not as they were written."""
    try:
        text = (folder / "card.json").read_bytes()
    except OSError:
        return ["card.json"]
    if hashlib.sha256(text).hexdigest()[:16] != folder.name:
        return ["card.json"]
    files = msgspec.json.decode(text, type=Made).files
    return [name for name, digest in files.items() if _digest(folder / name) != digest]


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
