"""Milvus, by its own client.

Tested against milvus-lite alone, which shows that the calls are right, and nothing of Milvus itself: neither its speed,
nor its recall, nor what it does where a node fails.

Nothing that anybody wrote is in a filter: labels are there as digests, documents as numbers, both in hex.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Annotated, Any

import msgspec

from dualtrack.core import https
from dualtrack.core.errors import BadInput, External
from dualtrack.core.files import read_secret
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

PORT = 19530
#: Seconds until what was sent is in segments on its disks, and until a collection is in memory.
SETTLE_S = 600.0
#: Neighbours that are looked at for an answer; as many as are wanted, at least.
SEARCHED = 200
#: Bytes of a token's file; of a sealed chunk in base64 and entries of an array, which are the most that Milvus allows.
MOST_TOKEN, MOST_SEALED, MOST_LABELS = 4096, 65535, 4096
#: The property of a collection that says what made its vectors.
MODEL = "dualtrack.model"
#: Hex digits of a document's number, and of a label's digest.
DIGITS = 32
TOKEN = re.compile(rb"[ -~]+")
HEX, ID = re.compile(f"[0-9a-f]{{{DIGITS}}}"), re.compile(f"([0-9a-f]{{{DIGITS}}})-[0-9]{{1,9}}")


class Milvus(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="milvus"):
    """Where it is: the ``url`` of its proxies (https), and the authority that they are known by.

    It knows us by a certificate, by a token, or by both: ``token_file`` has a token, or USER:PASSWORD. ``index`` is the
    name of the collection there; ``shards`` and ``replicas`` (more copies in memory) are what it is made with.
    """

    url: str
    ca_file: Named
    certificate: str = ""
    certificate_key: str = ""
    token_file: str = ""
    index: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,60}\Z")] = "knowledge"
    shards: Annotated[int, msgspec.Meta(ge=1, le=16)] = 1
    replicas: Annotated[int, msgspec.Meta(ge=0, le=10)] = 0

    def check(self) -> None:
        """Raise ValueError for what is not a node, and where it knows us by nothing."""
        https.address(self.url, PORT)
        if bool(self.certificate) != bool(self.certificate_key):
            raise ValueError("certificate and certificate_key are named together")
        if not self.certificate and not self.token_file:
            raise ValueError("token_file, or certificate and certificate_key, say who we are")


class Collection:
    """A collection (an `adapter.Adapter`); it connects when it is asked first."""

    def __init__(self, cluster: Milvus) -> None:
        self._cluster, self._lock = cluster, Lock()
        self._at = https.address(cluster.url, PORT).at
        trusted(cluster.ca_file, cluster.certificate, cluster.certificate_key)  # gRPC would not say which is wrong
        self._token = _token(Path(cluster.token_file)) if cluster.token_file else ""

    def make(self, card: Made) -> None:
        """Make the collection where it is not there; BadInput where it is of another model."""
        mark = f"model {card.model}"
        if not self._there():
            self._call("create_collection", schema=self._schema(card, mark), properties={MODEL: mark},
                       num_shards=self._cluster.shards, consistency_level="Strong")  # fmt: skip
        else:
            said = self._call("describe_collection")
            # Milvus keeps descriptions; milvus-lite forgets them, and keeps properties.
            if mark not in (said.get("description"), said.get("properties", {}).get(MODEL)):
                raise BadInput(
                    f"the cluster's index {self._cluster.index} is of another model",
                    hint="name another index, fill it, and remove that one",
                )
        if not self._call("list_indexes", field_name="vector"):
            self._call("create_index", timeout=SETTLE_S, index_params=self._indexes())
        self._load()

    def documents(self) -> Iterator[tuple[str, int]]:
        """Yield the documents that are there, and how many chunks of each.

        External for a row that was not sent from here: the client puts ids into filters as they are.
        """
        if not self._there():
            return
        self._load()
        rows = self._call("query_iterator", batch_size=PAGE, output_fields=["document"], consistency_level="Strong")
        found: Counter[str] = Counter()
        while page := self._asked(rows.next):
            for it in page:
                if not ID.fullmatch(it["id"]) or not HEX.fullmatch(it["document"]):
                    raise External(
                        f"a row of the cluster's index was not sent from here: {it['id']!r}",
                        hint="remove the collection, and find out who writes there",
                    )
            found.update(it["document"] for it in page)
        self._asked(rows.close)
        yield from found.items()

    def add(self, rows: Sequence[ClusterRow]) -> None:
        """Have rows there, in place of those with the same ids."""
        data = [
            {"id": it.id, "document": it.document, "labels": sorted(map(_digest, it.labels)), "vector": it.vector,
             "sealed": it.sealed}
            for it in rows
        ]  # fmt: skip
        self._call("upsert", data=data)

    def remove(self, documents: Sequence[str]) -> None:
        """Remove documents."""
        self._call("delete", filter=f"document in {_list(documents)}", consistency_level="Strong")

    def settle(self) -> None:
        """Have what was added in segments that have indexes."""
        self._call("flush", timeout=SETTLE_S)

    def nearest(self, vector: Vectors, labels: frozenset[str], count: int) -> Iterator[Near]:
        """Yield the nearest rows with one of the labels; what was added seconds ago may be missing."""
        [found] = self._call(
            "search", data=[vector], anns_field="vector", limit=count, output_fields=["sealed"],
            filter=f"array_contains_any(labels, {_list(map(_digest, sorted(labels)))})",
            search_params={"metric_type": "COSINE", "params": {"ef": max(count, SEARCHED)}},
            consistency_level="Bounded",
        )  # fmt: skip
        for it in found:
            yield Near(float(it["distance"]), it["id"], it["entity"].get("sealed"))

    def health(self) -> Health:
        """Return whether the collection is loaded; Milvus does not count its nodes when asked for that alone."""
        state = self._call("get_load_state")["state"].name
        return Health({"NotExist": "no collection", "NotLoad": "not loaded"}.get(state, state.lower()), None)

    def _there(self) -> bool:
        return bool(self._call("has_collection"))

    def _load(self) -> None:
        self._call("load_collection", timeout=SETTLE_S, replica_number=self._cluster.replicas + 1)

    def _schema(self, card: Made, description: str) -> Any:
        kinds, client = _pymilvus().DataType, self._client
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False, description=description)
        schema.add_field("id", kinds.VARCHAR, is_primary=True, max_length=64)
        schema.add_field("document", kinds.VARCHAR, max_length=DIGITS)
        schema.add_field(
            "labels", kinds.ARRAY, element_type=kinds.VARCHAR, max_capacity=MOST_LABELS, max_length=DIGITS
        )  # fmt: skip
        schema.add_field("vector", kinds.FLOAT_VECTOR, dim=card.dimension)
        schema.add_field("sealed", kinds.VARCHAR, max_length=MOST_SEALED)
        return schema

    def _indexes(self) -> Any:
        found = self._client.prepare_index_params()
        found.add_index("document", index_type="INVERTED")
        found.add_index(
            "vector", index_type="HNSW", metric_type="COSINE", params={"M": NEIGHBOURS, "efConstruction": BUILT}
        )  # fmt: skip
        return found

    @cached_property
    def _client(self) -> Any:
        cluster = self._cluster
        known = {"ca_pem_path": cluster.ca_file, "client_pem_path": cluster.certificate,
                 "client_key_path": cluster.certificate_key}  # fmt: skip
        client = _pymilvus().MilvusClient(
            uri=f"https://{self._at}", token=self._token, timeout=TIMEOUT_S, dedicated=True,
            grpc_options={"grpc.enable_http_proxy": 0},
            **(known if cluster.certificate else {"server_pem_path": cluster.ca_file}),
        )  # fmt: skip
        weakref.finalize(self, client.close)
        return client

    def _call(self, method: str, timeout: float = TIMEOUT_S, **how: Any) -> Any:
        with self._lock:
            client = self._asked(lambda: self._client)
        return self._asked(getattr(client, method), self._cluster.index, timeout=timeout, **how)

    def _asked(self, function: Callable[..., Any], *words: Any, **how: Any) -> Any:
        """Return what the client does; External, in one line, for what it raises. Proxies that are away are waited for.

        What they send with "unavailable" says nothing of when to ask again.
        """
        return patiently(lambda: self._once(lambda: function(*words, **how)))

    def _once(self, function: Callable[[], Any]) -> Any:
        try:
            return function()
        except _failures() as error:
            away, reason = _read(error)
            if away:
                raise Away(f"{self._at}: {reason}") from None
            raise External(f"the cluster refuses: {self._at}: {reason}") from None


def _failures() -> tuple[type[Exception], ...]:
    import grpc

    return _pymilvus().MilvusException, grpc.RpcError, OSError


def _read(error: BaseException) -> tuple[bool, str]:
    """Return whether nobody answers, and the reason: gRPC's own, where the client hides it in what it raises."""
    import grpc

    first: BaseException | None = error
    while first is not None and not isinstance(first, grpc.RpcError):
        first = first.__context__  # not what it was raised from: the client raises errors from themselves
    text = first.details() if first is not None else getattr(error, "message", "") or error
    reason = " ".join(str(text or type(error).__name__).split())[:300]
    return first is not None and first.code() in (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    ), reason


def _pymilvus() -> Any:
    """Return the client's module; BadInput where it is not installed."""
    # Whatever `.env` is in a directory above the module would be read into our environment, and failures be logged.
    os.environ.setdefault("PYTHON_DOTENV_DISABLED", "1")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        import pymilvus
    except ImportError:
        raise BadInput("pymilvus is not installed here", hint="requirements/milvus.txt has it") from None
    for name in ("pymilvus", "pymilvus.milvus_client"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    return pymilvus


def _token(path: Path) -> str:
    """Return the token in a file; BadInput where it has none, and the errors of `read_secret`."""
    # A pipe that a file of settings names is nobody's: it would be waited for.
    found = read_secret(path, MOST_TOKEN, given=False, regular=True).strip()
    if not TOKEN.fullmatch(found):
        raise BadInput(f"{path} has no token for the cluster", hint="a token, or USER:PASSWORD, in one line of ASCII")
    return found.decode()


def _digest(label: str) -> str:
    return hashlib.sha256(label.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]


def _list(names: Iterable[str]) -> str:
    """Return a list for a filter: nothing but hex is in it."""
    found = list(names)
    if not all(map(HEX.fullmatch, found)):
        raise ValueError("only digests and numbers of documents are in filters")
    return "[" + ", ".join(f'"{it}"' for it in found) + "]"
