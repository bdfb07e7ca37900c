"""Prints every request that OpenSearch's own client can make, as JSON lines: `-m` in the environment opensearch-client.

Each line is [name, method, path, body]. `{index}` stands for an audit index wherever a name is wanted, and each request
comes a second time with a new name (`trap`) instead, since some make what they name.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator
from typing import Any

from opensearchpy import OpenSearch
from opensearchpy.serializer import JSONSerializer

TRAP = "trap"
#: Bodies that reach the rights of a request; the others are asked with {}.
INDEX, DOCUMENT, QUERY = "{index}", {"n": 1, "body": "innocent"}, {"query": {"match_all": {}}}
BODIES: dict[str, Any] = {
    "bulk": [{"delete": {"_index": INDEX, "_id": "1"}}, {"index": {"_index": INDEX, "_id": "1"}}, DOCUMENT],
    "bulk_stream": [{"delete": {"_index": INDEX, "_id": "1"}}],
    "create": DOCUMENT,
    "index": DOCUMENT,
    "update": {"doc": DOCUMENT},
    "delete_by_query": QUERY,
    "update_by_query": QUERY,
    "explain": QUERY,
    "mget": {"docs": [{"_index": INDEX, "_id": "1"}]},
    "mtermvectors": {"docs": [{"_index": INDEX, "_id": "1"}]},
    "msearch": [{"index": INDEX}, QUERY],
    "msearch_template": [{"index": INDEX}, {"source": QUERY}],
    "search_template": {"source": QUERY},
    "render_search_template": {"source": QUERY},
    "field_caps": {},
    "rank_eval": {"requests": [{"id": "1", "request": QUERY, "ratings": [{"_index": INDEX, "_id": "1", "rating": 1}]}],
                  "metric": {"precision": {}}},
    "reindex": {"source": {"index": INDEX}, "dest": {"index": TRAP}},
    "put_script": {"script": {"lang": "painless", "source": "1"}},
    "scripts_painless_execute": {"script": {"source": "1"}},
    "scroll": {"scroll_id": "x"},
    "clear_scroll": {"scroll_id": "x"},
    "delete_pit": {"pit_id": ["x"]},
    "cluster.put_settings": {"transient": {"cluster.max_shards_per_node": 1}},
    "cluster.reroute": {"commands": []},
    "cluster.put_component_template": {"template": {"aliases": {TRAP: {}}}},
    "cluster.allocation_explain": {"index": INDEX, "shard": 0, "primary": True},
    "indices.update_aliases": {"actions": [{"add": {"index": INDEX, "alias": TRAP}}]},
    "indices.put_settings": {"index.blocks.read": True},
    "indices.put_mapping": {"properties": {"other": {"type": "keyword"}}},
    "indices.put_template": {"index_patterns": ["audit-*"]},
    "indices.put_index_template": {"index_patterns": ["audit-*"], "priority": 900},
    "indices.simulate_template": {"index_patterns": ["audit-*"], "priority": 900},
    "indices.split": {"settings": {"index.number_of_shards": 2}},
    "indices.analyze": {"text": "x"},
    "ingest.put_pipeline": {"processors": []},
    "ingest.simulate": {"pipeline": {"processors": []}, "docs": [{"_source": DOCUMENT}]},
    "search_pipeline.put": {"request_processors": []},
    "snapshot.create_repository": {"type": "fs", "settings": {"location": TRAP}},
    "snapshot.restore": {"indices": "audit-*", "rename_pattern": "(.+)", "rename_replacement": "trap-$1"},
    "snapshot.clone": {"indices": "audit-*"},
    "security.patch_configuration": [{"op": "replace", "path": "/config/dynamic/do_not_fail_on_forbidden", "value": 1}],
}  # fmt: skip
#: Values of parts of a path that name something else than an index.
PARTS = {"id": "1", "block": "read", "metric": "_all", "index_metric": "_all", "fields": "*", "field": "*",
         "repository": "disk", "snapshot": "older", "target_snapshot": TRAP, "node_id": "_all", "task_id": "x:1",
         "feature": "_settings", "attribute": "zone", "index_uuid": "x", "context": "score",
         "scroll_id": "x"}  # fmt: skip


class Recorder:
    """Takes a client's requests instead of a connection."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, Any]] = []
        self.serializer = JSONSerializer()

    def perform_request(self, method: str, url: str, *_: object, body: Any = None, **__: object) -> dict[str, Any]:
        """Keep a request."""
        self.seen.append((method, url, body))
        return {}


def calls(client: OpenSearch) -> Iterator[tuple[str, Any]]:
    """Yield every API of the client, by name."""
    spaces = [("", client)] + [
        (f"{name}.", it) for name, it in vars(client).items() if type(it).__module__.startswith("opensearchpy.client")
    ]
    for prefix, space in spaces:
        for name, method in inspect.getmembers(space, inspect.ismethod):
            if not name.startswith("_") and "params" in inspect.signature(method).parameters:
                yield prefix + name, method


def requests(client: OpenSearch, recorder: Recorder) -> Iterator[tuple[str, str, str, Any]]:
    """Yield every request, each once."""
    known = set()
    for name, method in calls(client):
        parameters = inspect.signature(inspect.unwrap(method)).parameters
        parts = {
            it.name: it.default is it.empty
            for it in parameters.values()
            if it.name not in ("self", "params", "headers")
        }
        body = BODIES.get(name, {})
        for full in (False, True):
            for value in (INDEX, TRAP):
                words = {
                    key: body if key == "body" else PARTS.get(key, INDEX if key == "index" else value)
                    for key, needed in parts.items()
                    if needed or full
                }
                recorder.seen.clear()
                try:
                    method(**words)
                except (TypeError, ValueError, AttributeError) as error:
                    print(f"{name}: {error}", file=sys.stderr)
                    continue
                for verb, path, said in recorder.seen:
                    asked = (name, verb, path.replace("%7B", "{").replace("%7D", "}"), said)
                    if (key := json.dumps(asked)) not in known:
                        known.add(key)
                        yield asked


if __name__ == "__main__":
    recorder = Recorder()
    client = OpenSearch(["https://localhost"], verify_certs=False, ssl_show_warn=False)
    client.transport = recorder
    for it in requests(client, recorder):
        print(json.dumps(it))
