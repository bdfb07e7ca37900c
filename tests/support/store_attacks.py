"""Requests by which the search store's administrator tries to reach audit records."""

from __future__ import annotations

from typing import Any

from dualtrack.remote.opensearch import Store

#: An audit index that is not there yet.
TOMORROW = "audit-shipped-2099.01.01"
#: What the store's administrator does to a host's index; {index} is its name.
DOCUMENT = {"n": 1, "body": "innocent"}
STORE_ATTACKS: tuple[tuple[str, str, str, Any], ...] = (
    ("updates a record", "POST", "/{index}/_update/1", {"doc": DOCUMENT}),
    ("writes over a record", "PUT", "/{index}/_doc/1", DOCUMENT),
    ("deletes a record", "DELETE", "/{index}/_doc/1", None),
    ("deletes the index", "DELETE", "/{index}", None),
    ("deletes by wildcard", "DELETE", "/audit-*", None),
    ("deletes by alias", "POST", "/_aliases", {"actions": [{"remove_index": {"index": "{index}"}}]}),
    ("re-creates the index", "PUT", "/{index}", {}),
    ("closes it", "POST", "/{index}/_close", None),
    ("changes the mapping", "PUT", "/{index}/_mapping", {"properties": {"other": {"type": "keyword"}}}),
    ("changes its settings", "PUT", "/{index}/_settings", {"index.blocks.read": True}),
    ("changes the template", "PUT", "/_index_template/audit", {"index_patterns": ["audit-*"]}),
    ("gives himself rights", "PUT", "/_plugins/_security/api/rolesmapping/auditor", {"users": ["administrator"]}),
    # By a name that is not an index's own: the store compares rights with indices, not with aliases.
    ("makes an index with tomorrow's name as alias", "PUT", "/trap", {"aliases": {TOMORROW: {"is_write_index": True}}}),
    ("gives an index that name", "PUT", f"/books/_alias/{TOMORROW}", None),
    ("gives it by a list", "POST", "/_aliases", {"actions": [{"add": {"index": "books", "alias": TOMORROW}}]}),
    (
        "gives the audit index another name",
        "POST",
        "/_aliases",
        {"actions": [{"add": {"index": "{index}", "alias": "trap"}}]},
    ),
    ("makes a data stream", "PUT", f"/_data_stream/{TOMORROW}", None),
    ("makes a template", "PUT", "/_index_template/trap", {"index_patterns": ["audit-shipped-*"], "priority": 900}),
    ("makes an old template", "PUT", "/_template/trap", {"index_patterns": ["audit-*"], "aliases": {"trap": {}}}),
    ("makes a part of templates", "PUT", "/_component_template/trap", {"template": {"aliases": {"trap": {}}}}),
    ("rolls it over", "POST", "/{index}/_rollover/trap", None),
    ("clones it", "PUT", "/{index}/_clone/trap", None),
    ("splits it", "PUT", "/{index}/_split/trap", {"settings": {"index.number_of_shards": 2}}),
    ("shrinks it", "PUT", "/{index}/_shrink/trap", None),
    ("blocks it", "PUT", "/{index}/_block/read", None),
    ("copies it", "POST", "/_reindex", {"source": {"index": "{index}"}, "dest": {"index": "trap"}}),
    ("updates by a query", "POST", "/{index}/_update_by_query", {"script": "ctx._source.body = 'innocent'"}),
    ("deletes by a query", "POST", "/{index}/_delete_by_query", {"query": {"match_all": {}}}),
    ("reads it", "POST", "/{index}/_search", {}),
    ("reads it in a list", "POST", "/_mget", {"docs": [{"_index": "{index}", "_id": "1"}]}),
    ("stores a script", "PUT", "/_scripts/trap", {"script": {"lang": "painless", "source": "1"}}),
    ("makes a pipeline", "PUT", "/_ingest/pipeline/trap", {"processors": []}),
    (
        "restores it under another name",
        "POST",
        "/_snapshot/disk/older/_restore",
        {"rename_pattern": "audit-(.+)", "rename_replacement": "trap-$1"},
    ),
    ("deletes snapshots", "DELETE", "/_snapshot/disk/older", None),
    ("takes the repository away", "DELETE", "/_snapshot/disk", None),
    ("makes a repository", "PUT", "/_snapshot/trap", {"type": "fs", "settings": {"location": "trap"}}),
    (
        "connects another cluster",
        "PUT",
        "/_cluster/settings",
        {"persistent": {"cluster.remote.x.seeds": ["[::1]:9300"]}},
    ),
    # The number of shards is bounded: without one that is free, the index of a host's next day is refused.
    (
        "uses up the shards by an index that no node takes",
        "PUT",
        "/many?wait_for_active_shards=0&timeout=1s",
        {"settings": {"index": {"number_of_shards": 980, "routing.allocation.require._name": "nope"}}},
    ),
    (
        "uses up the shards by small indices",
        "PUT",
        "/more?wait_for_active_shards=0&timeout=1s",
        {"settings": {"index": {"number_of_shards": 1, "number_of_replicas": 0}}},
    ),
    ("uses up the shards by replicas", "PUT", "/books/_settings", {"index.number_of_replicas": 900}),
    ("uses up the shards by opening", "POST", "/books/_open", None),
    (
        "uses up the shards by a snapshot of ordinary indices",
        "POST",
        "/_snapshot/disk/older/_restore",
        {"indices": "b*"},
    ),
    ("stops new indices", "PUT", "/_cluster/settings", {"transient": {"action.auto_create_index": "false"}}),
    ("moves shards", "POST", "/_cluster/reroute", {"commands": []}),
    ("writes rights by hand", "PUT", "/.opendistro_security/_doc/rolesmapping", {"rolesmapping": ""}),
)

#: What root on a host does with the host's certificates, to everybody's store: kind of the certificate, request.
NOWHERE = {"settings": {"index.routing.allocation.require._name": "nope"}}
FEW = {"cluster.max_shards_per_node": 1}
MANY = {"settings": {"number_of_shards": 900}}
HOST_ATTACKS: tuple[tuple[str, str, str, str, Any], ...] = (
    ("creates an index of its own that lies nowhere", "shipper", "PUT", f"/{TOMORROW}", NOWHERE),
    ("creates one of as many shards as are left", "shipper", "PUT", f"/{TOMORROW}", MANY),
    ("creates tomorrow's", "shipper", "PUT", f"/{TOMORROW}", None),
    ("creates one by writing to it", "shipper", "PUT", f"/{TOMORROW}/_create/1", DOCUMENT),
    ("creates one of logs that lies nowhere", "logger", "PUT", "/logs-shipped-2099-01-01", NOWHERE),
    ("creates one of logs by writing to it", "logger", "POST", "/logs-shipped-2099-01-01/_doc", DOCUMENT),
    ("creates another in which to ask", "shipper", "PUT", "/.asked-shipped-2", None),
    ("moves its index to nowhere", "shipper", "PUT", "/{index}/_settings", NOWHERE["settings"]),
    ("changes its index's mapping", "shipper", "PUT", "/{index}/_mapping", {"properties": {"x": {"type": "keyword"}}}),
    ("changes the mapping by writing", "shipper", "PUT", "/{index}/_create/2", {**DOCUMENT, "unheard-of": 1}),
    ("makes the index in which it asks another", "shipper", "PUT", "/.asked-shipped/_settings", NOWHERE["settings"]),
    ("asks for another host", "shipper", "PUT", "/.asked-other/_doc/2026.01.01", {"day": "2026.01.01"}),
    ("makes a template of its indices", "shipper", "PUT", "/_index_template/trap", {"index_patterns": ["audit-sh*"]}),
    ("has the cluster hold less", "shipper", "PUT", "/_cluster/settings", {"transient": FEW}),
)


def layout(store: Store) -> Any:
    """Return how every index is made, as the controller sees it."""
    return store.call("GET", "/*?expand_wildcards=all").body
