"""What is the same for all kinds of clusters: what is sent, what of the answer is shown, and what a fill has to do."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from dualtrack.core.errors import BadInput, External
from dualtrack.core.files import read_small
from dualtrack.knowledge import versions
from dualtrack.knowledge.cluster import milvus, opensearch
from dualtrack.knowledge.cluster.adapter import REMOVED, SENT, Adapter, ClusterRow
from dualtrack.knowledge.cluster.milvus import Milvus
from dualtrack.knowledge.cluster.opensearch import OpenSearch
from dualtrack.knowledge.embedding import Model
from dualtrack.knowledge.keys import Keys
from dualtrack.knowledge.ledger import Ledger
from dualtrack.knowledge.messages import Hit
from dualtrack.knowledge.retrieval import Fitted
from dualtrack.knowledge.search import MOST, hits, key_of
from dualtrack.knowledge.versions import Entry

Say = Callable[[str], None]
Cluster = OpenSearch | Milvus
#: What says where a cluster is, and its bytes.
WHERE, MOST_FILE = "file that says where a cluster is", 1 << 20


def load(path: Path) -> Cluster:
    """Return where a cluster is; BadInput for a file that does not say it. One without a kind is OpenSearch's."""
    said = read_small(path, dict[str, Any], MOST_FILE, WHERE)
    try:
        found: Cluster = msgspec.convert({"kind": "opensearch", **said}, Cluster)
        found.check()
    except (msgspec.ValidationError, ValueError) as error:
        raise BadInput(f"{path} is not a {WHERE}: {error}", hint="JSON: kind, ca_file, …") from None
    return found


def environment(path: Path) -> str:
    """Return the name of the environment (requirements/NAME.txt) that speaks to the cluster of a file."""
    return "milvus" if isinstance(load(path), Milvus) else "knowledge"


def connected(cluster: Cluster) -> Adapter:
    """Return what speaks to a cluster; BadInput for files that cannot be read. Nothing is asked yet."""
    return milvus.Collection(cluster) if isinstance(cluster, Milvus) else opensearch.Nodes(cluster)


class Filled(msgspec.Struct, frozen=True, kw_only=True):
    """What a fill did, in documents and chunks."""

    version: str
    added: int
    removed: int
    unchanged: int
    chunks: int


def fill(base: Path, cluster: Cluster, key_file: Path | None = None, *, say: Say) -> Filled:
    """Have in the cluster the documents of the version that answers, and no others.

    What is there is not sent again, so an interrupted run continues. BadInput for an index of another model; External
    where the cluster does not answer, or the version is damaged.
    """
    adapter, directory = connected(cluster), versions.current(base)
    with versions.reported(directory), Keys(base, key_file) as keys:
        card, deleted = versions.read_card(directory, keys), Ledger(base, keys)
        adapter.make(card)
        there, wanted = dict(adapter.documents()), _wanted(directory, deleted)
        gone = sorted(there.keys() - wanted.keys())
        # Chunks that were never sent may be among too many of a document; of too few, it is sent again.
        _remove(adapter, sorted(it for it in there.keys() & wanted.keys() if there[it] != wanted[it]))
        added = chunks = 0
        rows: list[ClusterRow] = []
        for number, block in versions.blocks(directory, card, keys, deleted):
            if there.get(number.hex(), 0) == len(block.entries):
                continue
            for row in _rows(keys, number, block, card.dimension):
                rows.append(row)
                if len(rows) >= SENT:
                    adapter.add(rows)
                    rows = []
            added, chunks = added + 1, chunks + len(block.entries)
            say(f"{added} documents sent")
        if rows:
            adapter.add(rows)
        _remove(adapter, gone)
        if added or gone:
            adapter.settle()
    return Filled(
        version=directory.name, added=added, removed=len(gone), unchanged=len(wanted) - added, chunks=chunks
    )  # fmt: skip


def _wanted(directory: Path, deleted: Ledger) -> dict[str, int]:
    return {number.hex(): count for number, count in versions.live(directory, deleted).items()}


def _remove(adapter: Adapter, documents: Sequence[str]) -> None:
    for start in range(0, len(documents), REMOVED):
        adapter.remove(documents[start : start + REMOVED])


def _rows(keys: Keys, number: bytes, block: versions.Block, dimension: int) -> Iterator[ClusterRow]:
    """Yield the chunks of a document; sent again they are the same."""
    vectors = np.frombuffer(block.vectors, np.float32).reshape(-1, dimension)
    for place, (entry, vector) in enumerate(zip(block.entries, vectors, strict=True)):
        sealed = keys.seal(number, "chunk", msgspec.msgpack.encode(entry))
        yield ClusterRow(number.hex(), place, entry.labels, vector, base64.b64encode(sealed).decode())


class Clustered:
    """What `search.Searcher` does for a version in memory, for one in a cluster; scores are of vectors alone."""

    def __init__(self, base: Path, cluster: Cluster, model: Model, key_file: Path | None = None) -> None:
        """Read what there is of the version that answers; External for another model's, or a damaged one."""
        self.model, self._adapter = model, connected(cluster)
        directory = versions.current(base)
        self._keys = Keys(base, key_file)
        with versions.reported(directory):
            card = versions.read_card(directory, self._keys)
            self._documents = versions.live(directory, Ledger(base, self._keys)).keys()
        if card.model != model.digest:
            raise External("the version was made with another model", hint="dualtrack kb ingest makes a new one")
        self.id, self.chunks = card.id, card.chunks

    def search(self, question: str, labels: frozenset[str], count: int, fitted: Fitted | None = None) -> list[Hit]:
        """Return the best chunks that a person with some labels may see; none where the best is below the least."""
        if not labels:
            return []
        found = []
        for near in self._adapter.nearest(self.model.question(question), labels, MOST):
            entry = self._opened(near.id, near.sealed)
            # Asked again of each that leaves, whatever the cluster did.
            if entry and labels & set(entry.labels):
                found.append((round(near.score, 4), entry))
        found.sort(key=lambda one: (-one[0], key_of(one[1])))
        # What was fitted for words beside vectors says nothing of vectors alone.
        return hits(found, count, fitted.least if fitted and fitted.weight == 0 else None)

    def _opened(self, name: Any, sealed: Any) -> Entry | None:
        """Return a chunk; None for one that is not of the version that answers, or was not sealed here."""
        try:
            number = bytes.fromhex(name.partition("-")[0])
            data = base64.b64decode(sealed, validate=True)
            if number not in self._documents:
                return None
            plain = self._keys.open(number, "chunk", data)
            return None if plain is None else msgspec.msgpack.decode(plain, type=Entry)
        except (ValueError, TypeError, AttributeError):
            return None


def status(base: Path, cluster: Cluster, key_file: Path | None = None) -> dict[str, Any]:
    """Return how the cluster is, and how many of the documents that answer it has."""
    adapter, directory = connected(cluster), versions.current(base)
    health, there = adapter.health(), dict(adapter.documents())
    with versions.reported(directory), Keys(base, key_file) as keys:
        wanted = _wanted(directory, Ledger(base, keys))
    return {
        "health": health.state, "nodes": health.nodes, "documents": len(wanted),
        "present": sum(there.get(it, 0) == count for it, count in wanted.items()),
        "foreign": len(there.keys() - wanted.keys()),
    }  # fmt: skip
