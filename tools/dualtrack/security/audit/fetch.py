"""A host's trail out of the search store: the files that `dualtrack audit verify` reads, as the store has them.

So the store is verified like the host is: by the registered key, and by what is anchored elsewhere.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from dualtrack.core.errors import BadInput, Refused
from dualtrack.remote.opensearch import SearchStore
from dualtrack.security.audit import index_documents
from dualtrack.security.audit import signed_head as heads
from dualtrack.security.audit.layout import Place

#: Documents in one answer.
PAGE = 5000
#: Heads in one answer to a witness.
HEADS = 2000
#: What of an event can be searched for as words.
WORDS = ["body", "source"]


def fetch(store: SearchStore, host: str, folder: Path, count: Callable[[int], object], *, last: int = 0) -> int:
    """Write what the store has of a host into a new ``folder``, as a trail; return how many records there were.

    With ``last`` no further than the segment that this record is in. Records are written as they are, forged and
    doubled ones too: judging is not this function's work.
    """
    if folder.exists() and any(folder.iterdir()):
        raise Refused(f"{folder} is not empty", hint="name a new directory: nothing there is written over")
    place = Place(folder)
    place.segments.mkdir(parents=True, exist_ok=True)
    with _new(place, folder / "host") as file:
        file.write(f"{index_documents.host(host)}\n".encode())
    ends = dict[int, int]()  # a segment to its last record
    with _new(place, place.heads) as file:
        for found in pages(store, host, "segment"):
            line = index_documents.line_of_head(found)
            file.write(line)
            with contextlib.suppress(BadInput):  # a line that is not a head is for the verifier to find
                head = heads.parse(line)[0]
                ends.setdefault(head.segment, head.last)
                if 0 < last <= head.last:
                    break
    left, total = sorted(ends.items()), 0
    limit = left[-1][1] if last and left else 0
    segment = left[0][0] if left else 1
    file = _new(place, place.segment(segment))
    try:
        for found in pages(store, host, "n"):
            n = found["n"] if type(found["n"]) is int else 0  # another one is a line that is none, for the verifier
            if limit and n > limit:
                break
            while left and n > left[0][1]:
                file.close()
                segment = left[1][0] if left[1:] else left[0][0] + 1
                left.pop(0)
                file = _new(place, place.segment(segment))
            line = index_documents.line_of(found)
            file.write(line)
            count(len(line))
            total += 1
    finally:
        file.close()
    if not total:
        raise BadInput(f"the store has nothing of {host}", hint="dualtrack audit ship; a record shows after a second")
    return total


def _new(place: Place, path: Path) -> BinaryIO:
    """Make a file of a trail; OSError where anything is in its place."""
    return os.fdopen(place.handle(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb")


def pages(store: SearchStore, host: str, number: str) -> Iterator[dict[str, Any]]:
    """Yield a host's documents that have a ``number``, in its order, a page in memory at a time."""
    wanted = {"bool": {"filter": [{"term": {"host": host}}, {"exists": {"field": number}}]}}
    # Two with one number go by their chains, so that no page leaves one out.
    order = [
        {number: {"order": "asc", "unmapped_type": "long"}},
        {"chain": {"order": "asc", "unmapped_type": "keyword"}},
    ]
    after: Sequence[Any] = ()
    while True:
        body = {"size": PAGE, "query": wanted, "sort": order, "track_total_hits": False}
        if after:
            body["search_after"] = after
        hits = _search(store, index_documents.indices(host), body)
        if not hits:
            return
        # What a document says of its host is its sender's word; the index's name is the store's.
        yield from (it["_source"] for it in hits if index_documents.host_of(it["_index"]) == host)
        after = hits[-1]["sort"]


def heads_shown(store: SearchStore) -> Callable[[str, int], list[bytes]]:
    """Return what shows a witness (`witness.Shown`) the heads that the store has of a host, a page at a time."""

    def shown(host: str, since: int) -> list[bytes]:
        wanted = [{"term": {"host": index_documents.host(host)}}, {"exists": {"field": "segment"}}]
        body = {
            "size": HEADS, "query": {"bool": {"filter": wanted}}, "track_total_hits": False,
            "sort": [{"segment": {"order": "asc", "unmapped_type": "long"}}],
            "post_filter": {"range": {"segment": {"gte": since}}},
            # Looked for among all that there ever were: who has shown two heads of one segment.
            "aggs": {"twice": {"terms": {"field": "segment", "min_doc_count": 2, "size": HEADS}}},
        }  # fmt: skip
        answer = store.ask("POST", f"/{index_documents.indices(host)}/_search?ignore_unavailable=true", body)
        hits = answer["hits"]["hits"]
        twice = (answer.get("aggregations") or {}).get("twice", {}).get("buckets", [])
        if old := [it["key"] for it in twice if it["key"] < since]:
            query = {"bool": {"filter": [*wanted, {"terms": {"segment": old}}]}}
            hits = hits + _search(store, index_documents.indices(host), {"size": HEADS, "query": query})
        return [index_documents.line_of_head(it["_source"]) for it in hits]

    return shown


def search(
    store: SearchStore, *, host: str = "", kind: str = "", text: str = "", since: str = "", until: str = "",
    last: int = 50,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return the newest events that are so, the newest last. Times as the store reads them: 2026-11-25, now-1h."""
    filters: list[dict[str, Any]] = [
        {"term": {name: value}} for name, value in (("host", host), ("kind", kind)) if value
    ]
    filters.append({"exists": {"field": "n"}})  # a head is not an event
    if since or until:
        between = {name: value for name, value in (("gte", since), ("lte", until)) if value}
        filters.append({"range": {"@timestamp": between}})
    if text:
        filters.append({"simple_query_string": {"query": text, "fields": WORDS, "default_operator": "and"}})
    body = {
        "size": last, "query": {"bool": {"filter": filters}}, "track_total_hits": False,
        "sort": [{"@timestamp": "desc"}, {"n": "desc"}],
    }  # fmt: skip
    indices = index_documents.indices(index_documents.host(host)) if host else "audit-*"
    return [it["_source"] for it in reversed(_search(store, indices, body))]


def _search(store: SearchStore, indices: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    answer = store.ask("POST", f"/{indices}/_search?ignore_unavailable=true", body)
    hits: list[dict[str, Any]] = answer["hits"]["hits"]
    return hits
