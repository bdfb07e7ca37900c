"""A knowledge base whose vectors are searched by several machines: OpenSearch with its k-NN plugin.

    cluster.json    where it is: `Cluster`

The cluster has, for each chunk, its vector, the labels of who may see it, and the chunk itself, sealed under its
document's key. It is asked for the nearest chunks that have one of a person's labels; what comes back is opened here,
and its labels are looked at again. A document counts while it is in the version that answers here: whatever the cluster
still has, what was deleted or replaced is nothing from that moment on.

The engine is Lucene's: with the plugin's other ones a single document can end a node where their library is missing.
"""

from __future__ import annotations

import base64
import http.client
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
import numpy as np

from dualtrack.errors import BadInput, External
from dualtrack.files import read_whole
from dualtrack.knowledge import versions
from dualtrack.knowledge.embedding import Model
from dualtrack.knowledge.keys import Keys
from dualtrack.knowledge.ledger import Ledger
from dualtrack.knowledge.retrieval import Fitted
from dualtrack.knowledge.search import MOST, Hit, hits, key_of
from dualtrack.knowledge.versions import Entry

Say = Callable[[str], None]
#: Seconds for one answer, and until a cluster that has lost a node, or has none that answers, is given up.
TIMEOUT_S, PATIENCE_S = 20.0, 60.0
#: Chunks that are sent, and documents that are removed, in one request.
SENT, REMOVED, PAGE = 200, 500, 5000
MOST_ANSWER, MOST_FILE = 256 << 20, 1 << 20
#: Lucene's graph: neighbours of a vector, and how many are looked at when one is added (OpenSearch's own defaults).
GRAPH = {"m": 16, "ef_construction": 100}


class Cluster(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
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


def load(path: Path) -> Cluster:
    """Return where a cluster is; BadInput for a file that does not say it."""
    try:
        found = msgspec.json.decode(read_whole(path, MOST_FILE), type=Cluster)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} does not say where a cluster is: {error}", hint="JSON: urls, ca_file, …") from None
    for it in found.urls:
        at = urlsplit(it)
        if at.scheme != "https" or not at.hostname or at.path not in ("", "/"):
            raise BadInput(f"{path}: {it!r} is no node of a cluster", hint="https://HOST:PORT")
    return found


class Filled(msgspec.Struct, frozen=True, kw_only=True):
    """What a fill did, in documents and chunks."""

    version: str
    added: int
    removed: int
    unchanged: int
    chunks: int


class _Nodes:
    """The nodes of a cluster: one that does not answer is passed over."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        try:
            self._context = ssl.create_default_context(cafile=cluster.ca_file)
            self._context.load_cert_chain(cluster.certificate, cluster.certificate_key)
        except (OSError, ssl.SSLError) as error:
            raise BadInput(f"the certificates for the cluster cannot be read: {error}") from None
        self._first = 0

    def call(self, method: str, path: str, body: Any = None, *, fine: Sequence[int] = (200, 201)) -> Any:
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


def fill(base: Path, cluster: Cluster, key_file: Path | None = None, *, say: Say) -> Filled:
    """Have in the cluster the documents of the version that answers, and no others.

    What is there is not sent again, so an interrupted run goes on. BadInput for an index of another model; External
    where the cluster does not answer, or the version is damaged.
    """
    nodes, directory = _Nodes(cluster), versions.current(base)
    with versions.reported(directory), Keys(base, key_file) as keys:
        card, deleted = versions.read_card(directory, keys), Ledger(base, keys)
        _make(nodes, cluster, card)
        there = dict(_there(nodes, cluster))
        wanted = {it.hex() for it in versions.live(directory, deleted)}
        added = chunks = 0
        lines: list[bytes] = []
        for number, block in versions.blocks(directory, card, keys, deleted):
            if there.get(number.hex()) == len(block.entries):
                continue
            for line in _lines(cluster, keys, number, block, card.dimension):
                lines.append(line)
                if len(lines) >= SENT:
                    _send(nodes, lines)
                    lines = []
            added, chunks = added + 1, chunks + len(block.entries)
            say(f"{added} documents sent")
        _send(nodes, lines)
        gone = sorted(there.keys() - wanted)
        for start in range(0, len(gone), REMOVED):
            _remove(nodes, cluster, gone[start : start + REMOVED])
        nodes.call("POST", f"/{cluster.index}/_refresh")
    return Filled(
        version=directory.name, added=added, removed=len(gone), unchanged=len(wanted) - added, chunks=chunks
    )  # fmt: skip


def _make(nodes: _Nodes, cluster: Cluster, card: versions.Made) -> None:
    """Make the index where it is not there; BadInput where it is another model's."""
    found = nodes.call("GET", f"/{cluster.index}/_mapping", fine=(200, 404))
    if cluster.index in found:
        if found[cluster.index]["mappings"].get("_meta", {}).get("model") != card.model:
            raise BadInput(
                f"the cluster's index {cluster.index} is of another model",
                hint="name another index, fill it, and remove that one",
            )
        return
    vector = {
        "type": "knn_vector", "dimension": card.dimension,
        "method": {"name": "hnsw", "engine": "lucene", "space_type": "cosinesimil", "parameters": GRAPH},
    }  # fmt: skip
    fields = {
        "vector": vector, "labels": {"type": "keyword"}, "document": {"type": "keyword"}, "sealed": {"type": "binary"},
    }  # fmt: skip
    settings = {"knn": True, "number_of_shards": cluster.shards, "number_of_replicas": cluster.replicas}
    mappings = {"dynamic": "strict", "_meta": {"model": card.model}, "properties": fields}
    nodes.call("PUT", f"/{cluster.index}", {"settings": {"index": settings}, "mappings": mappings})


def _there(nodes: _Nodes, cluster: Cluster) -> Iterator[tuple[str, int]]:
    """Yield the documents that the cluster has, and how many chunks of each."""
    nodes.call("POST", f"/{cluster.index}/_refresh")
    after: dict[str, Any] = {}
    while True:
        pages = {"composite": {"size": PAGE, "sources": [{"document": {"terms": {"field": "document"}}}], **after}}
        found = nodes.call(
            "POST", f"/{cluster.index}/_search?allow_partial_search_results=false", {"size": 0, "aggs": {"all": pages}}
        )["aggregations"]["all"]
        for it in found["buckets"]:
            yield it["key"]["document"], it["doc_count"]
        if "after_key" not in found:
            return
        after = {"after": found["after_key"]}


def _lines(cluster: Cluster, keys: Keys, number: bytes, block: versions.Block, dimension: int) -> Iterator[bytes]:
    """Yield the chunks of a document as `_bulk` takes them; sent again they are the same."""
    vectors = np.frombuffer(block.vectors, np.float32).reshape(-1, dimension)
    for place, (entry, vector) in enumerate(zip(block.entries, vectors, strict=True)):
        sealed = keys.seal(number, "chunk", msgspec.msgpack.encode(entry))
        row = {
            "vector": vector.tolist(), "labels": entry.labels, "document": number.hex(),
            "sealed": base64.b64encode(sealed).decode(),
        }  # fmt: skip
        name = {"index": {"_index": cluster.index, "_id": f"{number.hex()}-{place}"}}
        yield msgspec.json.encode(name) + b"\n" + msgspec.json.encode(row) + b"\n"


def _send(nodes: _Nodes, lines: Sequence[bytes]) -> None:
    if not lines:
        return
    found = nodes.call("POST", "/_bulk", b"".join(lines))
    if found["errors"]:
        wrong = next(it["index"] for it in found["items"] if "error" in it["index"])
        raise External(f"the cluster does not take a chunk: {_reason(wrong)}", hint="the next run goes on from here")


def _remove(nodes: _Nodes, cluster: Cluster, documents: Sequence[str]) -> None:
    """Remove documents. (`_delete_by_query` is of a module that not every distribution has.)"""
    asked = {"size": PAGE, "_source": False, "query": {"terms": {"document": list(documents)}}}
    while True:
        at = f"/{cluster.index}/_search?allow_partial_search_results=false"
        names = [it["_id"] for it in nodes.call("POST", at, asked)["hits"]["hits"]]
        if not names:
            return
        rows = (msgspec.json.encode({"delete": {"_index": cluster.index, "_id": it}}) + b"\n" for it in names)
        nodes.call("POST", "/_bulk?refresh=true", b"".join(rows))


class Clustered:
    """What `search.Searcher` does for a version in memory, for one in a cluster; scores are of vectors alone."""

    def __init__(self, base: Path, cluster: Cluster, model: Model, key_file: Path | None = None) -> None:
        """Read what there is of the version that answers; External for another model's, or a damaged one."""
        self.model, self._cluster, self._nodes = model, cluster, _Nodes(cluster)
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
        found = self._nearest(self.model.question(question).tolist(), labels)
        # What was fitted for words beside vectors says nothing of vectors alone.
        return hits(found, count, fitted.least if fitted and fitted.weight == 0 else None)

    def _nearest(self, vector: Sequence[float], labels: frozenset[str]) -> list[tuple[float, Entry]]:
        if not labels:
            return []
        near = {"vector": list(vector), "k": MOST, "filter": {"terms": {"labels": sorted(labels)}}}
        asked = {"size": MOST, "_source": ["sealed"], "query": {"knn": {"vector": near}}}
        answer = self._nodes.call("POST", f"/{self._cluster.index}/_search?allow_partial_search_results=false", asked)
        found = []
        for it in answer["hits"]["hits"]:
            entry = self._opened(it)
            # Asked again of each that leaves, whatever the cluster did.
            if entry and labels & set(entry.labels):
                found.append((round(2 * it["_score"] - 1, 4), entry))
        return sorted(found, key=lambda one: (-one[0], key_of(one[1])))

    def _opened(self, hit: Any) -> Entry | None:
        """Return a chunk; None for one that is not of the version that answers, or was not sealed here."""
        try:
            number = bytes.fromhex(hit["_id"].partition("-")[0])
            sealed = base64.b64decode(hit["_source"]["sealed"], validate=True)
            if number not in self._documents:
                return None
            plain = self._keys.open(number, "chunk", sealed)
            return None if plain is None else msgspec.msgpack.decode(plain, type=Entry)
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


def status(base: Path, cluster: Cluster, key_file: Path | None = None) -> dict[str, Any]:
    """Return how the cluster is, and how many of the documents that answer it has."""
    nodes, directory = _Nodes(cluster), versions.current(base)
    health = nodes.call("GET", f"/_cluster/health/{cluster.index}?timeout=1s", fine=(200, 404, 408))
    there = dict(_there(nodes, cluster)) if cluster.index in nodes.call(
        "GET", f"/{cluster.index}/_mapping", fine=(200, 404)
    ) else {}  # fmt: skip
    with versions.reported(directory), Keys(base, key_file) as keys:
        wanted = {it.hex(): count for it, count in versions.live(directory, Ledger(base, keys)).items()}
    return {
        "health": str(health.get("status", "unknown")), "nodes": int(health.get("number_of_nodes", 0)),
        "documents": len(wanted), "present": sum(there.get(it) == count for it, count in wanted.items()),
        "foreign": len(there.keys() - wanted.keys()),
    }  # fmt: skip
