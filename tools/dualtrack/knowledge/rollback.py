"""Going back to a version that is kept, with what it says of who may read which document."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from dualtrack.knowledge import overview, versions
from dualtrack.knowledge.catalog import Catalog
from dualtrack.knowledge.keys import Keys
from dualtrack.knowledge.ledger import Ledger


def roll_back(base: Path, name: str, key_file: Path | None = None) -> None:
    """Make a version that is kept the current one; the errors of `versions.roll_back`.

    The catalog, from which the next ingestion makes a version, gets its readers first: otherwise that version would be
    for those whom this one takes away.
    """

    def restore(keys: Keys, deleted: Ledger) -> None:
        with Catalog(base, keys) as catalog:
            _restore_readers(
                catalog, {it: of.readers for it, of in overview.documents(base, name, keys, deleted).items()}
            )

    versions.roll_back(base, name, key_file, first=restore)


def _restore_readers(catalog: Catalog, readers: dict[tuple[str, str], tuple[str, ...]]) -> None:
    """Give each document the readers that it has in a version, by collection and path.

    A document that came later gets those of its collection, where these are the same for all documents of the version.
    """
    of_collection: dict[str, set[tuple[str, ...]]] = {}
    for (collection, _), labels in readers.items():
        of_collection.setdefault(collection, set()).add(labels)
    for _, it in catalog.all():
        there = of_collection.get(it.collection, set())
        labels = readers.get((it.collection, it.path)) or (next(iter(there)) if len(there) == 1 else it.labels)
        if labels != it.labels:
            # Its digest is that of a run with other readers, which would take the document for unchanged.
            catalog.put(replace(it, labels=labels, digest=f"{it.digest} for {' '.join(labels)}"))
    known = catalog.all()
    for collection in of_collection:
        catalog.let_read(
            collection, {it.labels for _, it in known if it.collection == collection} or of_collection[collection]
        )
