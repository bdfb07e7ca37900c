"""What Elasticsearch is told about rights, where it takes the place of OpenSearch (pure): requests from the same ROLES.

It differs in three things. Its patterns of indices cannot hold the user's name, so each host has roles of its own. Its
expressions have no look-ahead. And no index of it is immutable: who is `superuser` there can delete one, which is found
through the chain, not prevented.

Sources: https://www.elastic.co/guide/en/elasticsearch/reference/8.17/security-privileges.html for privileges,
https://www.elastic.co/guide/en/elasticsearch/reference/8.17/security-api.html for the requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote

import msgspec

from dualtrack.security.opensearch import security_config
from dualtrack.security.pki import authority

#: The realm of certificates, as templates/elasticsearch.yml.j2 has it.
REALM = "dualtrack"
#: What a role of documents.ROLES may do in a cluster, in this store's words. None: here it is part of what an index's
#: privileges allow. A name with colons is an action, and allows that one alone.
CLUSTER = {
    "cluster_monitor": "monitor",
    "cluster_composite_ops_ro": None,
    "cluster:monitor/main": "cluster:monitor/main",
    "cluster:admin/repository/get": "create_snapshot",
    "cluster:admin/repository/verify": "cluster:admin/repository/verify",
    "cluster:admin/snapshot/create": "create_snapshot",
    "cluster:admin/snapshot/get": "create_snapshot",
    "cluster:admin/snapshot/status": "create_snapshot",
    "indices:admin/index_template/get": "indices:admin/index_template/get",
    "indices:data/write/bulk": None,
    "indices:data/write/reindex": None,
}
#: The same for indices. Whoever sends creates documents and overwrites none.
# The administrator's by the names of the actions, which Elasticsearch takes as they are.
INDICES = {it: it for it in security_config.ADMINISTRATION} | {
    "indices:data/write/index": "create_doc",
    "indices:data/write/bulk*": "create_doc",
    "indices:data/write/bulk[s]": "indices:data/write/bulk[s]",
    "indices:admin/create": "create_index",
    "indices:monitor/stats": "indices:monitor/stats",
    "indices:data/write/delete": "indices:data/write/delete",
    "indices:data/read/search": "indices:data/read/search",
    "read": "read",
    "indices_monitor": "monitor",
    "indices:admin/get": "view_index_metadata",
    "indices:admin/mappings/*get*": "view_index_metadata",
    "indices:admin/resolve/index": "view_index_metadata",
}
#: What people see of Kibana; which indices they see in it follows from their other rights.
KIBANA = {"auditor": "read", "administrator": "all"}
#: The role with which Logstash writes what devices sent, each under the name in its certificate.
GATE = "log_gate"


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What the store has now, as its API says it; ``fits`` are the people whose password is as it should be."""

    roles: Mapping[str, Any]
    mappings: Mapping[str, Any]
    users: Mapping[str, Any]
    templates: Mapping[str, Mapping[str, Any]] = {}
    repository: Mapping[str, Any] = {}
    license: str = ""
    fits: frozenset[str] = frozenset()


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request that brings the store nearer to what it should be; ``name`` is what people call that part of it."""

    name: str
    method: Literal["PUT", "DELETE"]
    path: str
    body: Any = None


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What the store should have; ``users`` are people with a password, by name, without it."""

    roles: Mapping[str, Any]
    mappings: Mapping[str, Any]
    users: Mapping[str, Any]
    templates: Mapping[str, Mapping[str, Any]]
    repository: Mapping[str, Any] = {}
    license: Mapping[str, Any] = {}


def wanted(
    members: Sequence[security_config.Member], passwords: Mapping[str, str], *, nodes: Sequence[str],
    hosts: Sequence[str], snapshots: str = "", license: Mapping[str, Any] | None = None,
) -> Wanted:  # fmt: skip
    """Return what the store should have. ``hosts`` may ship trails and send logs, ``nodes`` are the store's own.

    Temporary grants (kind `glass`) have no certificate, and tokens do not count here: they get nothing.
    """
    roles: dict[str, Any] = {GATE: _role(["monitor"], [(_named("*"), ["create_doc", "auto_configure"])])}
    mappings = {GATE: _mapping([authority.distinguished("node", it) for it in nodes], [GATE, "kibana_system"])}
    for name, (cluster, indices) in security_config.ROLES.items():
        words = _told(CLUSTER, cluster)
        if any("${user.name}" in pattern for pattern, _ in indices):
            (kind,) = security_config.MACHINES[name]
            for host in hosts:
                own = [(pattern.replace("${user.name}", host), _told(INDICES, it)) for pattern, it in indices]
                roles[f"{name}-{host}"] = _role(words, own)
                dn = authority.distinguished(msgspec.convert(kind, authority.Kind), host)
                mappings[f"{name}-{host}"] = _mapping([dn], [f"{name}-{host}"])
            continue
        translated = [
            (ordinary() if pattern == security_config.ORDINARY else pattern, _told(INDICES, it))
            for pattern, it in indices
        ]
        roles[name] = _role(words, translated, only=security_config.SEEN.get(name), kibana=KIBANA.get(name))
        if name in security_config.MACHINES:
            units = [f"*,OU={kind},O={authority.ORGANISATION}" for kind in security_config.MACHINES[name]]
            mappings[name] = _mapping(units, [name])
        elif people := sorted(it.name for it in members if it.kind == "person" and name in it.rights):
            mappings[name] = _mapping([authority.distinguished("person", it) for it in people], [name])
    users = {
        it.name: {"roles": sorted(it.rights), "enabled": True}
        for it in members
        if it.kind == "person" and passwords.get(it.name)
    }
    repository = {"type": "fs", "settings": {"location": snapshots}} if snapshots else {}
    replicas = min(1, len(nodes) - 1)
    templates = {"audit": security_config.audit_template(replicas), "logs": security_config.logs_template(replicas)}
    return Wanted(
        roles=roles, mappings=mappings, users=users, templates=templates, repository=repository, license=license or {}
    )


def plan(found: Found, wanted: Wanted, passwords: Mapping[str, str]) -> list[Request]:
    """Return the requests that make of what is found what is wanted: none where it is so already.

    What the store brings itself stays; any other role, user or mapping that is not wanted goes, before anything comes.
    """
    made: list[Request] = []
    if wanted.license and _inner(wanted.license).get("uid") != found.license:
        made.append(Request(name="license", method="PUT", path="/_license?acknowledge=true", body=wanted.license))
    parts: tuple[tuple[str, Mapping[str, Any], Mapping[str, Any]], ...] = (
        ("role_mapping", found.mappings, wanted.mappings),
        ("user", found.users, wanted.users),
        ("role", found.roles, wanted.roles),
    )
    for part, there, right in parts:
        made += [
            Request(name=f"{part} {name}", method="DELETE", path=f"/_security/{part}/{quote(name, safe='')}")
            for name in sorted(set(there) - set(right))
            if not (there[name].get("metadata") or {}).get("_reserved")
        ]
    for part, there, right in reversed(parts):
        for name, body in right.items():
            if _shape(there.get(name, {})) == _shape(body) and (part != "user" or name in found.fits):
                continue
            secret = {"password": passwords[name]} if part == "user" else {}
            path = f"/_security/{part}/{quote(name, safe='')}"
            made.append(Request(name=f"{part} {name}", method="PUT", path=path, body={**body, **secret}))
    for name, template in wanted.templates.items():
        if any(found.templates.get(name, {}).get(key) != value for key, value in template.items()):
            made.append(Request(name=f"template {name}", method="PUT", path=f"/_index_template/{name}", body=template))
    if any(found.repository.get(key) != value for key, value in wanted.repository.items()):
        made.append(Request(name="repository", method="PUT", path="/_snapshot/disk", body=wanted.repository))
    return made


def ordinary() -> str:
    """Return documents.ORDINARY for an engine that has no look-ahead: neither `audit-…` nor the store's own `.…`."""
    prefix = security_config.AUDIT.rstrip("*")
    return "/" + "|".join(_other_than(prefix)) + "/"


def _other_than(prefix: str) -> Iterator[str]:
    """Yield expressions of names that leave a prefix at its first, second, … letter, or end before it does."""
    yield f"[^.{prefix[0]}].*"
    for length in range(1, len(prefix)):
        yield f"{prefix[:length]}([^{prefix[length]}].*)?"


def _told(words: Mapping[str, str | None], actions: Sequence[str]) -> list[str]:
    return sorted({word for action in actions if (word := words[action])})


def _named(host: str) -> str:
    return security_config.LOGS_INDEX.replace("${user.name}", host)


def _role(
    cluster: Sequence[str], indices: Sequence[tuple[str, Sequence[str]]], *, only: str | None = None,
    kibana: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    shown = [{"application": "kibana-.kibana", "privileges": [kibana], "resources": ["*"]}] if kibana else []
    return {
        "cluster": list(cluster),
        "indices": [
            {"names": [pattern], "privileges": list(privileges)} | ({"query": only} if only else {})
            for pattern, privileges in indices
        ],
        "applications": shown,
    }


def _mapping(names: Sequence[str], roles: Sequence[str]) -> dict[str, Any]:
    """Return who has roles: certificates of our realm by their subject, with `*,` any in a part of the directory."""
    dn = names[0] if len(names) == 1 else list(names)
    return {
        "enabled": True,
        "roles": list(roles),
        "rules": {"all": [{"field": {"realm.name": REALM}}, {"field": {"dn": dn}}]},
    }


def _inner(license: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the license itself, out of either form of the file."""
    found: Mapping[str, Any] = license.get("license") or (license.get("licenses") or [{}])[0]
    return found


def _shape(part: Any) -> Any:
    """Return a part in one form: without what says nothing, lists in one order."""
    if isinstance(part, Mapping):
        told = {key: _shape(value) for key, value in part.items() if key not in UNSAID}
        return {key: value for key, value in told.items() if value}
    if isinstance(part, list):
        return sorted((_shape(it) for it in part), key=lambda it: msgspec.json.encode(it, order="deterministic"))
    return part


#: What the store adds to its answers, and what decides nothing.
UNSAID = ("transient_metadata", "description", "username", "full_name", "email", "profile_uid")
