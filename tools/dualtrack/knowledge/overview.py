"""What a knowledge base is like: its state, and what differs between two of its versions."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from dualtrack.core.errors import BadInput, DualtrackError, External
from dualtrack.knowledge import ledger, versions
from dualtrack.knowledge.keys import MASTER, Keys
from dualtrack.knowledge.ledger import Ledger


class BaseStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a knowledge base: the version that answers, what is in it without what was deleted, and the rest.

    ``bytes`` are of the version's file. ``master_key``: the right one, none, or another one (`problem` says it);
    without it ``deleted_documents`` is 0, and counts are those of when the version was made.
    """

    version: str
    model: str
    documents: int
    chunks: int
    bytes: int
    versions: int
    deletions: int
    deleted_documents: int
    master_key: Literal["there", "missing", "wrong"]
    problem: str = ""


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """A document in which two versions differ: how many chunks it has in each, and who may see it there."""

    collection: str
    source: str
    before: int
    after: int
    readers_before: tuple[str, ...] = ()
    readers_after: tuple[str, ...] = ()


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What differs between two versions. Deleted documents are in none of them; how many each had is told."""

    before: str
    after: str
    added: list[Changed]
    removed: list[Changed]
    changed: list[Changed]
    unchanged: int
    deleted_before: int
    deleted_after: int


def status(base: Path, key_file: Path | None = None) -> BaseStatus:
    """Return the state of a knowledge base; BadInput where it has no version."""
    kept = versions.listed(base)
    current = next((it for it in kept if it.current), None)
    if current is None:
        raise BadInput(f"no version of {base} answers", hint="dualtrack kb rollback VERSION")
    card = current.card
    counts = {"documents": card.documents, "chunks": card.chunks}
    try:
        deletions = len((base / ledger.FILE).read_bytes().splitlines())
    except FileNotFoundError:
        deletions = 0
    deleted, problem = 0, ""
    there: Literal["there", "missing", "wrong"] = "there"
    try:
        with Keys(base, key_file) as keys:
            found = Ledger(base, keys)
        left = versions.live(base / "versions" / card.id, found)
        counts = {"documents": len(left), "chunks": sum(left.values())}
        deletions, deleted = len(found.deletions), len(found.documents)
    except versions.Damaged as error:
        problem = f"version {card.id} is damaged: {error}"
    except DualtrackError as error:
        if not (key_file or base / MASTER).exists():
            there = "missing"
        elif isinstance(error, BadInput):
            there = "wrong"
        problem = str(error)
    return BaseStatus(
        version=card.id, model=card.model_name, bytes=card.bytes, versions=len(kept), deletions=deletions,
        deleted_documents=deleted, master_key=there, problem=problem, **counts,
    )  # fmt: skip


def difference(base: Path, before: str, after: str, key_file: Path | None = None) -> Difference:
    """Return what differs between two versions that are kept; BadInput where one is not, External for a damaged one."""
    ids = [it.id for it in versions.listed(base)]
    for it in (before, after):
        if it not in ids:
            raise BadInput(f"there is no version {it}", hint=", ".join(ids))
    with Keys(base, key_file) as keys:
        deleted = Ledger(base, keys)
        old, new = (documents(base, it, keys, deleted) for it in (before, after))
    gone = [
        sum(number in deleted.documents for number, _ in versions.numbers(base / "versions" / it))
        for it in (before, after)
    ]

    def rows(places: set[tuple[str, str]]) -> list[Changed]:
        return [
            Changed(
                collection=place[0], source=(old.get(place) or new[place]).source,
                before=old[place].chunks if place in old else 0, after=new[place].chunks if place in new else 0,
                readers_before=old[place].readers if place in old else (),
                readers_after=new[place].readers if place in new else (),
            )
            for place in sorted(places)
        ]  # fmt: skip

    both = old.keys() & new.keys()
    changed = {it for it in both if old[it] != new[it]}
    return Difference(
        before=before, after=after, added=rows(new.keys() - old.keys()), removed=rows(old.keys() - new.keys()),
        changed=rows(changed), unchanged=len(both - changed), deleted_before=gone[0], deleted_after=gone[1],
    )  # fmt: skip


class OfVersion(NamedTuple):
    """A document of a version: what it was made of, its path as it is shown, its chunks, and who may see it."""

    made_of: tuple[str, ...]
    source: str
    chunks: int
    readers: tuple[str, ...]


def change_of_readers(base: Path, name: str, key_file: Path | None = None) -> list[str]:
    """Return lines on the documents that other people may see in a version than in the current one.

    Where none answers, or the one that does is damaged, all documents of the version are new.
    """
    with Keys(base, key_file) as keys:
        deleted = Ledger(base, keys)
        now: dict[tuple[str, str], OfVersion] = {}
        with contextlib.suppress(BadInput, External):
            now = documents(base, versions.current(base).name, keys, deleted)
        then = documents(base, name, keys, deleted)
    counts: Counter[tuple[str, str, str]] = Counter()
    for place, it in then.items():
        before = now[place].readers if place in now else ()
        if before != it.readers:
            counts[place[0], ", ".join(before), ", ".join(it.readers)] += 1
    return [
        f"documents of {collection} that would be for {after},"
        f" and are {f'for {before}' if before else 'not there'} now: {count}"
        for (collection, before, after), count in sorted(counts.items())
    ]


def documents(base: Path, name: str, keys: Keys, deleted: Ledger) -> dict[tuple[str, str], OfVersion]:
    """Return a version's documents by collection and path; External where it is damaged."""
    folder = base / "versions" / name
    with versions.reported(folder, "take another one"):
        card = versions.read_card(folder, keys)
        return {
            (it.collection, it.path): OfVersion(
                (*sorted({one.document for one in it.entries}), card.model, card.rules),
                it.entries[0].source if it.entries else "", len(it.entries),
                it.entries[0].labels if it.entries else (),
            )
            for _, it in versions.blocks(folder, card, keys, deleted)
        }  # fmt: skip
