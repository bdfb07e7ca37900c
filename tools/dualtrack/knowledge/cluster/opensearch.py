"""OpenSearch with its k-NN plugin.

The engine is Lucene's: with the plugin's other ones a single document can end a node where their library is missing.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec

from dualtrack.errors import BadInput, External
from dualtrack.knowledge.cluster.adapter import BUILT, NEIGHBOURS, PAGE, TIMEOUT_S, Health, Near, Row, trusted
from dualtrack.knowledge.embedding import Vectors
from dualtrack.knowledge.versions import Made

#: Seconds until a cluster that has lost a node, or has none that answers, is given up.
PATIENCE_S = 60.0
MOST_ANSWER = 256 << 20


class OpenSearch(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="opensearch"
):
    """Where it is: ``urls`` of its nodes (https), the authority that they are known by, and our certificate.

    ``index`` is the name of the index there; ``shards`` and ``replicas`` are what it is made with.
    """

    urls: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    ca_file: str
    certificate: str
    certificate_key: str
    index: Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9-]{0,60}$")] = "knowledge"
    shards: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 3
    replicas: Annotated[int, msgspec.Meta(ge=0, le=10)] = 1

    def check(self) -> None:
        """Raise ValueError for what is no node."""
        for it in self.urls:
            address(it)


def address(url: str) -> tuple[str, int | None]:
    """Return the host and the port of https://HOST:PORT; ValueError for anything else."""
    at = urlsplit(url)
    if at.scheme != "https" or not at.hostname or at.username is not None or at.path not in ("", "/"):
        raise ValueError(f"{url!r} is no node of a cluster: https://HOST:PORT")
    return at.hostname, at.port


class Nodes:
    """The nodes of a cluster (an `adapter.Adapter`): one that does not answer is passed over."""

    def __init__(self, cluster: OpenSearch) -> None:
        self._cluster = cluster
        self._context = trusted(cluster.ca_file, cluster.certificate, cluster.certificate_key)
        self._first = 0

    def make(self, card: Made) -> None:
        """Make the index where it is not there; BadInput where it is of another model."""
        index = self._cluster.index
        found = self._call("GET", f"/{index}/_mapping", fine=(200, 404))
        if index in found:
            if found[index]["mappings"].get("_meta", {}).get("model") != card.model:
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
        self._call("PUT", f"/{index}", {"settings": {"index": settings}, "mappings": mappings})

    def documents(self) -> Iterator[tuple[str, int]]:
        """Yield the documents that are there, and how many chunks of each."""
        if self._call("POST", f"/{self._cluster.index}/_refresh", fine=(200, 404)).get("status") == 404:
            return
        after: dict[str, Any] = {}
        while True:
            pages = {"composite": {"size": PAGE, "sources": [{"document": {"terms": {"field": "document"}}}], **after}}
            found = self._search({"size": 0, "aggs": {"all": pages}})["aggregations"]["all"]
            for it in found["buckets"]:
                yield it["key"]["document"], it["doc_count"]
            if "after_key" not in found:
                return
            after = {"after": found["after_key"]}

    def add(self, rows: Sequence[Row]) -> None:
        """Have rows there, in place of those with the same ids."""
        lines = b"".join(
            msgspec.json.encode({"index": {"_index": self._cluster.index, "_id": it.id}}) + b"\n"
            + msgspec.json.encode(
                {"vector": it.vector.tolist(), "labels": it.labels, "document": it.document, "sealed": it.sealed}
            ) + b"\n"
            for it in rows
        )  # fmt: skip
        found = self._call("POST", "/_bulk", lines)
        if found["errors"]:
            wrong = next(it["index"] for it in found["items"] if "error" in it["index"])
            raise External(
                f"the cluster does not take a chunk: {_reason(wrong)}", hint="the next run goes on from here"
            )

    def remove(self, documents: Sequence[str]) -> None:
        """Remove documents. (`_delete_by_query` is of a module that not every distribution has.)"""
        asked = {"size": PAGE, "_source": False, "query": {"terms": {"document": list(documents)}}}
        while True:
            names = [it["_id"] for it in self._search(asked)["hits"]["hits"]]
            if not names:
                return
            rows = (msgspec.json.encode({"delete": {"_index": self._cluster.index, "_id": it}}) + b"\n" for it in names)
            self._call("POST", "/_bulk?refresh=true", b"".join(rows))

    def settle(self) -> None:
        """Have what was added in what is searched."""
        self._call("POST", f"/{self._cluster.index}/_refresh")

    def nearest(self, vector: Vectors, labels: frozenset[str], count: int) -> Iterator[Near]:
        """Yield the nearest rows with one of the labels."""
        near = {"vector": vector.tolist(), "k": count, "filter": {"terms": {"labels": sorted(labels)}}}
        found = self._search({"size": count, "_source": ["sealed"], "query": {"knn": {"vector": near}}})
        for it in found["hits"]["hits"]:
            # Lucene has no scores below zero: (1 + cosine) / 2.
            yield Near(2 * it["_score"] - 1, it["_id"], it.get("_source", {}).get("sealed"))

    def health(self) -> Health:
        """Return how the index is, and the nodes of the cluster."""
        found = self._call("GET", f"/_cluster/health/{self._cluster.index}?timeout=1s", fine=(200, 404, 408))
        return Health(str(found.get("status", "unknown")), int(found.get("number_of_nodes", 0)))

    def _search(self, asked: Any) -> Any:
        return self._call("POST", f"/{self._cluster.index}/_search?allow_partial_search_results=false", asked)

    def _call(self, method: str, path: str, body: Any = None, *, fine: Sequence[int] = (200, 201)) -> Any:
        """Return what the cluster answers; External where no node does, or it refuses.

        A node that is away, and shards that have just lost theirs, are waited for.
        """
        until, reason = time.monotonic() + PATIENCE_S, ""
        while True:
            for _ in self._cluster.urls:
                url = self._cluster.urls[self._first % len(self._cluster.urls)]
                try:
                    status, found = self._asked(url, method, path, body)
                except (OSError, http.client.HTTPException, msgspec.DecodeError) as error:
                    reason = f"{urlsplit(url).netloc}: {error or type(error).__name__}"
                else:
                    if status in fine:
                        return found
                    reason = f"{urlsplit(url).netloc}: {status} {_reason(found)}"
                    if status < 429 or status == 501:
                        raise External(f"the cluster refuses: {reason}")
                self._first += 1
            if time.monotonic() > until:
                raise External(f"the cluster does not answer: {reason}", hint="the next run goes on from here")
            time.sleep(0.5)

    def _asked(self, url: str, method: str, path: str, body: Any) -> tuple[int, Any]:
        at = urlsplit(url)
        data = body if isinstance(body, bytes | None) else msgspec.json.encode(body)
        kind = "application/x-ndjson" if isinstance(body, bytes) else "application/json"
        with closing(
            http.client.HTTPSConnection(at.hostname or "", at.port or 9200, timeout=TIMEOUT_S, context=self._context)
        ) as link:
            link.request(method, path, data, {"Content-Type": kind})
            answer = link.getresponse()
            said = answer.read(MOST_ANSWER)
        return answer.status, msgspec.json.decode(said) if said else None


def _reason(found: Any) -> str:
    error = found.get("error", found) if isinstance(found, dict) else found
    return str(error.get("reason", error) if isinstance(error, dict) else error)[:300]
