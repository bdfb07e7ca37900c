"""Bring the store's rights and templates to what they should be: read, compare, write what differs."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from dualtrack.core import waiting
from dualtrack.core.errors import External
from dualtrack.remote.opensearch import Answer, Store, basic
from dualtrack.security.audit import index_documents as naming
from dualtrack.security.opensearch import elastic, security_config

#: Where the security plugin keeps its documents, base64 in JSON: the place and the form that its own tool writes.
INDEX = ".opendistro_security"
HEALTH = "/_plugins/_security/health?mode=strict"
TEMPLATE = "/_index_template/audit"
LOGS_TEMPLATE = "/_index_template/logs"
SHARDS = "cluster.max_shards_per_node"
REPOSITORY = "/_snapshot/disk"


def settle(
    store: Store, members: Sequence[security_config.Member], passwords: Mapping[str, str], *, nodes: int,
    token_key: str = "", snapshots: str = "", hosts: Sequence[str] = (), days: int = 400, write: bool = True,
    patience: float = 60,
) -> list[str]:  # fmt: skip
    """Return what was not as it should be, by name, after putting it right (with ``write``); the node knows it then.

    ``store`` must be spoken to with the administrator's certificate of the authority (kind `admin`). ``snapshots`` is
    the directory of its repository for snapshots, '' where it has none. ``hosts`` are admitted; there is room for
    so many ``days`` of each.
    """
    # Straight after a start nothing can be read yet, which is not the same as that nothing is there.
    _await(store, "/_cluster/health?wait_for_status=yellow&timeout=1s", patience, "has no state that it can be read in")
    there = {kind: _read(store, kind) for kind in security_config.security((), {}, {})}
    wanted = security_config.security(members, passwords, there["internalusers"], token_key)
    changed = [kind for kind, document in wanted.items() if there[kind] != document]
    if write and changed:
        if _expect(store.call("HEAD", f"/{INDEX}"), 200, 404).status == 404:
            settings = {"index": {"number_of_shards": 1, "auto_expand_replicas": "0-all"}}
            _expect(store.call("PUT", f"/{INDEX}", {"settings": settings}), 200)
        for kind in changed:
            text = base64.b64encode(msgspec.json.encode(wanted[kind], order="deterministic")).decode()
            _expect(store.call("PUT", f"/{INDEX}/_doc/{kind}?refresh=true", {kind: text}), 200, 201)
    # Straight after a start the plugin looks for its rights ten seconds apart; when it is told, at once.
    if write and (changed or store.call("GET", HEALTH).status != 200):
        kinds = ",".join(wanted)
        found = _expect(store.call("PUT", f"/_plugins/_security/configupdate?config_types={kinds}", {}), 200).body
        if (found.get("_nodes") or {}).get("failed"):
            raise External(f"a node of the store did not take its rights: {found}")
    if write:
        _await(store, HEALTH, patience, "did not take its rights")
    replicas = min(1, nodes - 1)
    for path, template in (
        (TEMPLATE, security_config.audit_template(replicas)), (LOGS_TEMPLATE, security_config.logs_template(replicas)),
    ):  # fmt: skip
        if not _same_template(_expect(store.call("GET", path), 200, 404), template):
            changed.append(f"template {path.rpartition('/')[2]}")
            if write:
                _expect(store.call("PUT", path, template), 200)
    changed += _hold(store, security_config.shards(len(hosts), days, nodes), write=write)
    changed += [f"host {it}" for it in hosts if admit(store, it, write=write)]
    repository = {"type": "fs", "settings": {"location": snapshots}}
    if snapshots and not _same_repository(_expect(store.call("GET", REPOSITORY), 200, 404), repository):
        changed.append("repository")
        if write:
            _expect(store.call("PUT", REPOSITORY, repository), 200)
    return changed


def await_whole(store: Store, nodes: int, *, elastic: bool = False, patience: float = 180) -> None:
    """Wait until the node answers, all nodes are in its cluster, and another one may stop; External where they are not.

    With more than one node each shard has its copy then; with one there is none. And the node has read its rights.
    """
    status = "green" if nodes > 1 else "yellow"
    store.await_up(patience)
    asked = f"/_cluster/health?wait_for_nodes={nodes}&wait_for_status={status}&timeout=1s"
    _await(store, asked, patience, f"is not whole: {nodes} nodes, status {status}")
    if not elastic:
        _await(store, HEALTH, patience, "did not read its rights")


def admit(store: Store, host: str, *, logs: bool = False, write: bool = True) -> bool:
    """Give a host the index in which it asks for others, and with ``logs`` those of its first two days of logs.

    Returns whether it was not admitted yet. ``store`` is as for `settle`.
    """
    replicas = int(_expect(store.call("GET", "/_cluster/health"), 200).body["number_of_data_nodes"] > 1)
    first = datetime.now(UTC).date()
    bodies: dict[str, Any] = {naming.ASKED + host: security_config.asked_index(replicas)}
    bodies |= {naming.logs_index(host, it): {} for it in (first, first + timedelta(days=1)) if logs}
    missing = [it for it in bodies if _expect(store.call("HEAD", f"/{it}"), 200, 404).status == 404]
    for it in missing if write else ():
        answer = store.call("PUT", f"/{it}", bodies[it])
        if "already exists" not in answer.reason:
            _expect(answer, 200)
    return naming.ASKED + host in missing


def _hold(store: Store, shards: int, *, write: bool) -> list[str]:
    """Have the store hold so many shards a node; it is never told to hold less than it may already."""
    found = _expect(store.call("GET", "/_cluster/settings?flat_settings=true"), 200).body["persistent"]
    if int(found.get(SHARDS, 1000)) >= shards:
        return []
    if write:
        _expect(store.call("PUT", "/_cluster/settings", {"persistent": {SHARDS: shards}}), 200)
    return ["shards"]


def settle_elastic(
    store: Store, members: Sequence[security_config.Member], passwords: Mapping[str, str], *, nodes: Sequence[str],
    hosts: Sequence[str], snapshots: str = "", license: Mapping[str, Any] | None = None, write: bool = True,
    patience: float = 60,
) -> list[str]:  # fmt: skip
    """Return what was not as it should be in an Elasticsearch, after putting it right (with ``write``).

    ``nodes`` and ``hosts`` are names; the rest is as in `settle`. Tried against no Elasticsearch yet.
    """
    _await(store, "/_cluster/health?wait_for_status=yellow&timeout=1s", patience, "has no state that it can be read in")
    repository = _expect(store.call("GET", REPOSITORY), 200, 404)
    templates = {
        it.rpartition("/")[2]: _expect(store.call("GET", it), 200, 404) for it in (TEMPLATE, LOGS_TEMPLATE)
    }  # fmt: skip
    roles, mappings, users = (
        _expect(store.call("GET", f"/_security/{it}"), 200).body for it in ("role", "role_mapping", "user")
    )
    found = elastic.Found(
        roles=roles, mappings=mappings, users=users,
        templates={
            name: it.body["index_templates"][0]["index_template"] for name, it in templates.items() if it.status == 200
        },
        repository=repository.body[REPOSITORY.rsplit("/", 1)[1]] if repository.status == 200 else {},
        license=_expect(store.call("GET", "/_license"), 200).body["license"]["uid"] if license else "",
        fits=frozenset(name for name, secret in passwords.items() if _signs_in(store, name, secret)),
    )  # fmt: skip
    wanted = elastic.wanted(members, passwords, nodes=nodes, hosts=hosts, snapshots=snapshots, license=license)
    requests = elastic.plan(found, wanted, passwords)
    for it in requests if write else ():
        said = _expect(store.call(it.method, it.path, it.body), 200, 201).body
        if it.name == "license" and said.get("license_status") != "valid":
            raise External(f"the search store takes no such license: {said.get('license_status')}")
    return [it.name for it in requests] + [f"host {it}" for it in hosts if admit(store, it, write=write)]


def _signs_in(store: Store, name: str, secret: str) -> bool:
    """Tell whether somebody's password is this one. A password goes before the certificate of the connection."""
    answer = store.call("GET", "/_security/_authenticate", headers=basic(name, secret))
    return _expect(answer, 200, 401).status == 200


def _await(store: Store, path: str, patience: float, complaint: str) -> None:
    """Ask until the answer is good. Another answer than before is progress: shards that come back are counted in it."""
    answer = Answer(status=0, body="")

    def good() -> bool:
        nonlocal answer
        answer = store.call("GET", path)
        return answer.status == 200

    try:
        waiting.until(good, "the store", stall=patience, progress=lambda: (answer.status, answer.reason), interval=0.3)
    except waiting.GaveUp as error:
        raise External(
            f"the search store on {store.name} {complaint} after {error.seconds:.0f} s: {answer.status} {answer.reason}"
        ) from None


def _read(store: Store, kind: str) -> dict[str, Any]:
    """Return a document of the security plugin; an empty one where there is none."""
    answer = _expect(store.call("GET", f"/{INDEX}/_doc/{kind}"), 200, 404)
    if answer.status != 200 or not answer.body.get("found"):
        return {}
    try:
        return msgspec.json.decode(base64.b64decode(answer.body["_source"][kind]), type=dict[str, Any])
    except (KeyError, ValueError):
        return {}


def _same_template(answer: Answer, wanted: dict[str, Any]) -> bool:
    if answer.status != 200:
        return False
    found = answer.body["index_templates"][0]["index_template"]
    return all(found.get(key) == value for key, value in wanted.items())


def _same_repository(answer: Answer, wanted: dict[str, Any]) -> bool:
    return answer.status == 200 and answer.body[REPOSITORY.rsplit("/", 1)[1]] == wanted


def _expect(answer: Answer, *allowed: int) -> Answer:
    if answer.status not in allowed:
        raise External(f"the search store said {answer.status}: {answer.reason}")
    return answer
