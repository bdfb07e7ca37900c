"""Deletes documents, and whoever they mention: keys are destroyed, and a ledger outside of the versions keeps it so.

In this order: the ledger has it (from then on nothing that is loaded has the documents), the keys are destroyed, rows
of the catalog and vectors go. Whoever is killed leaves something for the next one to finish, and nothing comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from dualtrack.core.errors import BadInput
from dualtrack.core.files import locked
from dualtrack.knowledge import embedding, ledger, versions
from dualtrack.knowledge.catalog import Catalog
from dualtrack.knowledge.chunks import Chunk
from dualtrack.knowledge.keys import Keys
from dualtrack.knowledge.ledger import Deletion, Ledger
from dualtrack.knowledge.mentions import BORDER, Plain


class Mention(msgspec.Struct, frozen=True, kw_only=True):
    """A document that would be deleted: how often it mentions one of the identifiers, and why besides.

    ``versions``: how many of those that are kept have it.
    """

    collection: str
    source: str
    mentions: int
    named: bool
    same_file: bool
    versions: int


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What was deleted, without personal data. ``ledger``: SM3 of the ledger's lines up to this deletion.

    ``repeated``: there was nothing new to delete; this is the receipt of the deletion before.
    """

    deletion: int
    time: datetime
    documents: int
    chunks: int
    keys: int
    identifiers: int
    versions: tuple[str, ...]
    ledger: str
    repeated: bool


@dataclass
class _Target:
    """A document under a key: in the catalog, in versions, or both."""

    collection: str
    path: str
    source: str
    content: str
    chunks: int
    mentions: int
    named: bool
    same_file: bool = False
    versions: set[str] = field(default_factory=set)


def mentioned(
    base: Path, identifiers: Sequence[str], named: Sequence[str], key_file: Path | None = None
) -> list[Mention]:
    """Return the documents that `delete` would delete; BadInput where there is no document of a name."""
    people = [Plain(it).text for it in identifiers]
    with locked(_exists(base) / "ingest"), Keys(base, key_file) as keys:
        found = _look(base, keys, Ledger(base, keys), people, named)
    rows: dict[tuple[str, str], list[_Target]] = {}
    for it in found.values():
        rows.setdefault((it.collection, it.path), []).append(it)
    return [
        Mention(
            collection=collection, source=each[0].source, mentions=max(it.mentions for it in each),
            named=any(it.named for it in each), same_file=all(it.same_file for it in each),
            versions=len(set().union(*(it.versions for it in each))),
        )
        for (collection, _), each in sorted(rows.items())
    ]  # fmt: skip


def delete(
    base: Path, identifiers: Sequence[str], named: Sequence[str], key_file: Path | None = None, *,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Receipt:  # fmt: skip
    """Delete the documents that mention an identifier or are named, and keep all of them out from now on.

    What an earlier run began is finished first; External where it cannot be finished: run it again.
    """
    people = list(dict.fromkeys(Plain(it).text for it in identifiers))
    with locked(_exists(base) / "ingest"), Keys(base, key_file) as keys:
        deleted = Ledger(base, keys)
        finish(base, keys, deleted)
        found = _look(base, keys, deleted, people, named)
        before = [*map(deleted.of_person, people), *map(deleted.of_named, named)]
        repeated = not found and all(before)
        if repeated:
            made = max((it for it in before if it), key=lambda it: it.number)
        else:
            made = deleted.add(
                documents=list(found), contents=sorted({it.content for it in found.values() if it.content}),
                named=named, people=people, count=len({(it.collection, it.path) for it in found.values()}),
                chunks=sum(it.chunks for it in found.values()),
                versions=sorted(set().union(*(it.versions for it in found.values()))), now=clock(),
            )  # fmt: skip
            deleted = Ledger(base, keys)
            finish(base, keys, deleted)
        return _receipt(made, deleted, repeated=repeated)


def finish(base: Path, keys: Keys, deleted: Ledger) -> None:
    """Apply the ledger: what it has loses its key, its row in the catalog and its vectors. The caller has the lock."""
    if int(keys.fact(ledger.DONE) or 0) == len(deleted.deletions):
        return
    keys.destroy(deleted.documents)
    with Catalog(base, keys) as catalog:
        catalog.forget((number, ledger.said(it)) for number, it in deleted.documents.items())
    embedding.forget(base, deleted.documents)
    keys.note(ledger.DONE, str(len(deleted.deletions)))


def tidy(base: Path, keys: Keys, catalog: Set[bytes] = frozenset()) -> None:
    """Destroy the keys of documents that neither the catalog nor a version has, and their vectors.

    Where a version cannot be read, nothing is destroyed: it may be brought back.
    """
    used = set(catalog)
    try:
        for it in (base / "versions").glob("[0-9a-f]*"):
            used |= {number for number, _ in versions.numbers(it)}
    except versions.Damaged:
        return
    keys.destroy(keys.fresh())
    if unused := keys.documents() - used:
        embedding.forget(base, unused, settle=False)
        keys.destroy(unused)


def _exists(base: Path) -> Path:
    versions.own(base)
    if not base.is_dir():
        raise BadInput(f"{base} has no knowledge base", hint="dualtrack kb ingest makes one")
    return base


def _look(
    base: Path, keys: Keys, deleted: Ledger, identifiers: Sequence[str], named: Sequence[str]
) -> dict[bytes, _Target]:
    """Return what is to be deleted, by its number: of the catalog and of all versions; External for a damaged one."""
    known: dict[bytes, _Target] = {}

    def add(number: bytes, collection: str, path: str, source: str, content: str, texts: list[str]) -> None:
        plain = Plain(BORDER.join([path, *([source] if source != path else []), *texts]))
        known[number] = _Target(
            collection=collection, path=path, source=source, content=content, chunks=len(texts),
            mentions=sum(map(plain.count, identifiers)),
            named=bool({f"{collection}/{path}", f"{collection}/{source}"} & set(named)),
        )  # fmt: skip

    with Catalog(base, keys) as catalog:
        taken = catalog.all(deleted.documents)
    for number, one in taken:
        add(number, one.collection, one.path, one.source, one.content, _texts(one.chunks))
    for folder in sorted((base / "versions").glob("[0-9a-f]*")):
        with versions.reported(folder, "remove it, or bring it back: nothing was deleted"):
            card = versions.read_card(folder, keys)
            for number, block in versions.blocks(folder, card, keys, deleted):
                if number not in known:
                    source = block.entries[0].source if block.entries else ""
                    add(number, block.collection, block.path, source, block.content, _texts(block.entries))
                known[number].versions.add(folder.name)
    for name in named:
        here = any(name in (f"{it.collection}/{it.path}", f"{it.collection}/{it.source}") for it in known.values())
        if not here and not deleted.of_named(name):
            raise BadInput("there is no document of a name that was given", hint="COLLECTION/PATH, as kb search says")
    contents = {it.content for it in known.values() if (it.mentions or it.named) and it.content}
    for it in known.values():
        it.same_file = not (it.mentions or it.named) and it.content in contents
    return {number: it for number, it in known.items() if it.mentions or it.named or it.same_file}


def _texts(chunks: Sequence[Chunk] | Sequence[versions.Entry]) -> list[str]:
    """Return the texts of chunks, headings where they change."""
    found: list[str] = []
    before: tuple[str, ...] = ()
    for it in chunks:
        found.append("\n".join([*(it.headings if it.headings != before else ()), it.text]))
        before = it.headings
    return found


def _receipt(it: Deletion, deleted: Ledger, *, repeated: bool) -> Receipt:
    return Receipt(
        deletion=it.number, time=it.time, documents=it.documents, chunks=it.chunks, keys=it.keys,
        identifiers=it.identifiers, versions=it.versions, ledger=deleted.digest(it.number), repeated=repeated,
    )  # fmt: skip
