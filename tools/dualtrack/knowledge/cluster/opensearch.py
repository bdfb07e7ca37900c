"""OpenSearch with its k-NN plugin.

The engine is Lucene's: with the plugin's other ones a single document can end a node where their library is missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, TypeVar

import msgspec

from dualtrack.core import https
from dualtrack.core.errors import BadInput, External
from dualtrack.knowledge.cluster.adapter import (
    BUILT,
    NEIGHBOURS,
    PAGE,
    TIMEOUT_S,
    Away,
    ClusterRow,
    Health,
    Named,
    Near,
    patiently,
    trusted,
)
from dualtrack.knowledge.embedding import Vectors
from dualtrack.knowledge.versions import Made
from dualtrack.remote.opensearch import PORT, Answer, Silent, Store, straight

T = TypeVar("T")
MOST_ANSWER = 256 << 20


class _Key(msgspec.Struct, frozen=True):
    document: str


class _Bucket(msgspec.Struct, frozen=True):
    key: _Key
    doc_count: int


class _Buckets(msgspec.Struct, frozen=True):
    buckets: tuple[_Bucket, ...]
    after_key: _Key | None = None


class _All(msgspec.Struct, frozen=True):
    all: _Buckets


class _Counted(msgspec.Struct, frozen=True):
    aggregations: _All


class _Source(msgspec.Struct, frozen=True):
    sealed: Any = None


class _Hit(msgspec.Struct, frozen=True):
    id: str = msgspec.field(name="_id")
    score: float | None = msgspec.field(name="_score", default=None)
    source: _Source = msgspec.field(name="_source", default=_Source())


class _Hits(msgspec.Struct, frozen=True):
    hits: tuple[_Hit, ...]


class _Found(msgspec.Struct, frozen=True):
    hits: _Hits


class _Meta(msgspec.Struct, frozen=True):
    model: Any = None


class _Mappings(msgspec.Struct, frozen=True):
    meta: _Meta = msgspec.field(name="_meta", default=_Meta())


class _Index(msgspec.Struct, frozen=True):
    mappings: _Mappings


class _Item(msgspec.Struct, frozen=True):
    error: Any = None


class _Sent(msgspec.Struct, frozen=True):
    index: _Item


class _Bulk(msgspec.Struct, frozen=True):
    errors: bool
    items: tuple[_Sent, ...] = ()


class _Health(msgspec.Struct, frozen=True):
    #: A number (HTTP's) where there is no such index.
    status: str | int
    number_of_nodes: int = 0


class _Status(msgspec.Struct, frozen=True):
    status: int = 200


class OpenSearch(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="opensearch"
):
    """Where it is: ``urls`` of its nodes (https), the authority that they are known by, and our certificate.

    ``index`` is the name of the index there; ``shards`` and ``replicas`` are what it is made with.
    """

    urls: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    ca_file: Named
    certificate: Named
    certificate_key: Named
    index: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{0,60}\Z")] = "knowledge"
    shards: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 3
    replicas: Annotated[int, msgspec.Meta(ge=0, le=10)] = 1

    def check(self) -> None:
        """Raise ValueError for what is not a node."""
        self.addresses()

    def addresses(self) -> tuple[https.Address, ...]:
        """Return where the nodes are; ValueError for what is none."""
        return tuple(https.address(it, PORT) for it in self.urls)


class Nodes:
    """The nodes of a cluster (an `adapter.Adapter`): one that does not answer is passed over."""

    def __init__(self, cluster: OpenSearch) -> None:
        self._cluster, self._nodes = cluster, cluster.addresses()
        self._context = trusted(cluster.ca_file, cluster.certificate, cluster.certificate_key)
        self._first = 0

    def make(self, card: Made) -> None:
        """Make the index where it is not there; BadInput where it is of another model."""
        index = self._cluster.index
        found = self._call("GET", f"/{index}/_mapping", kind=dict[str, Any], fine=(200, 404))
        if index in found:
            if _read(found[index], _Index).mappings.meta.model != card.model:
                raise BadInput(
                    f"the cluster's index {index} is of another model",
                    hint="name another index, fill it, and remove that one",
                )
            return
        vector = {
            "type": "knn_vector", "dimension": card.dimension,
            "method": {"name": "hnsw", "engine": "lucene", "space_type": "cosinesimil",
                       "parameters": {"m": NEIGHBOURS, "ef_construction": BUILT}},
        }  # fmt: skip
        fields = {
            "vector": vector, "labels": {"type": "keyword"}, "document": {"type": "keyword"},
            "sealed": {"type": "binary"},
        }  # fmt: skip
        cluster = self._cluster
        settings = {"knn": True, "number_of_shards": cluster.shards, "number_of_replicas": cluster.replicas}
        mappings = {"dynamic": "strict", "_meta": {"model": card.model}, "properties": fields}
        self._call("PUT", f"/{index}", {"settings": {"index": settings}, "mappings": mappings}, kind=dict[str, Any])

    def documents(self) -> Iterator[tuple[str, int]]:
        """Yield the documents that are there, and how many chunks of each."""
        if self._call("POST", f"/{self._cluster.index}/_refresh", kind=_Status, fine=(200, 404)).status == 404:
            return
        after: dict[str, Any] = {}
        while True:
            pages = {"composite": {"size": PAGE, "sources": [{"document": {"terms": {"field": "document"}}}], **after}}
            found = self._search({"size": 0, "aggs": {"all": pages}}, _Counted).aggregations.all
            for it in found.buckets:
                yield it.key.document, it.doc_count
            if found.after_key is None:
                return
            after = {"after": found.after_key}

    def add(self, rows: Sequence[ClusterRow]) -> None:
        """Have rows there, in place of those with the same ids."""
        lines = b"".join(
            msgspec.json.encode({"index": {"_index": self._cluster.index, "_id": it.id}}) + b"\n"
            + msgspec.json.encode(
                {"vector": it.vector.tolist(), "labels": it.labels, "document": it.document, "sealed": it.sealed}
            ) + b"\n"
            for it in rows
        )  # fmt: skip
        found = self._call("POST", "/_bulk", lines, kind=_Bulk)
        if found.errors:
            wrong = next((it.index.error for it in found.items if it.index.error is not None), "it does not say why")
            raise External(
                f"the cluster does not take a chunk: {Answer(status=200, body=wrong).reason[:300]}",
                hint="the next run continues from here",
            )

    def remove(self, documents: Sequence[str]) -> None:
        """Remove documents. (`_delete_by_query` is of a module that not every distribution has.)"""
        asked = {"size": PAGE, "_source": False, "query": {"terms": {"document": list(documents)}}}
        while True:
            names = [it.id for it in self._search(asked, _Found).hits.hits]
            if not names:
                return
            rows = (msgspec.json.encode({"delete": {"_index": self._cluster.index, "_id": it}}) + b"\n" for it in names)
            self._call("POST", "/_bulk?refresh=true", b"".join(rows), kind=dict[str, Any])

    def settle(self) -> None:
        """Have what was added in what is searched."""
        self._call("POST", f"/{self._cluster.index}/_refresh", kind=dict[str, Any])

    def nearest(self, vector: Vectors, labels: frozenset[str], count: int) -> Iterator[Near]:
        """Yield the nearest rows with one of the labels."""
        near = {"vector": vector.tolist(), "k": count, "filter": {"terms": {"labels": sorted(labels)}}}
        found = self._search({"size": count, "_source": ["sealed"], "query": {"knn": {"vector": near}}}, _Found)
        for it in found.hits.hits:
            # Lucene has no scores below zero: (1 + cosine) / 2.
            yield Near(2 * (it.score or 0.0) - 1, it.id, it.source.sealed)

    def health(self) -> Health:
        """Return how the index is, and the nodes of the cluster."""
        path = f"/_cluster/health/{self._cluster.index}?timeout=1s"
        found = self._call("GET", path, kind=_Health, fine=(200, 404, 408))
        return Health(str(found.status), found.number_of_nodes)

    def _search(self, asked: Any, kind: type[T]) -> T:
        path = f"/{self._cluster.index}/_search?allow_partial_search_results=false"
        return self._call("POST", path, asked, kind=kind)

    def _call(
        self, method: str, path: str, body: Any = None, *, kind: type[T], fine: Sequence[int] = (200, 201)
    ) -> T:  # fmt: skip
        """Return what the cluster answers as ``kind``; External where no node does, or it refuses, or it is none.

        A node that is away, and shards that have just lost theirs, are waited for.
        """
        return _read(patiently(lambda: self._once(method, path, body, fine)), kind)

    def _once(self, method: str, path: str, body: Any, fine: Sequence[int]) -> Any:
        """Return what the first node that answers says; Away where none does."""
        reason, after_s = "", math.inf
        for _ in self._nodes:
            node = self._nodes[self._first % len(self._nodes)]
            try:
                answer = self._asked(node, method, path, body)
            except Silent as error:
                reason, again_s = f"{node.at}: {error.why}", 0.0
            else:
                reason, again_s = f"{node.at}: {answer.status} {answer.reason[:300]}", answer.after_s
                if not answer.is_text:  # a text is not the cluster's
                    if answer.status in fine:
                        return answer.body
                    if answer.status < 429 or answer.status == 501:
                        raise External(f"the cluster refuses: {reason}")
            self._first += 1
            after_s = min(after_s, again_s)
        raise Away(reason, after_s)

    def _asked(self, node: https.Address, method: str, path: str, body: Any) -> Answer:
        """Return a node's answer, over a connection of its own: several threads ask at a time."""
        opener = straight(node.host, node.port, TIMEOUT_S)
        with Store(node.host, opener, self._context, timeout=TIMEOUT_S, most=MOST_ANSWER) as link:
            return link.call(method, path, body)


def _read(found: Any, kind: type[T]) -> T:
    """Return what a cluster said as ``kind``: something else may answer in its place."""
    try:
        return msgspec.convert(found, kind)
    except msgspec.ValidationError as error:
        raise External(f"the cluster does not answer as OpenSearch does: {error}") from None
