"""Every request that OpenSearch's own client knows, by everybody who has rights, at an index of audit records.

The list of attacks (test_attacks.py) is what somebody thought of; this is what the store can do.
"""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dualtrack.remote.opensearch import SearchStore, Store
from dualtrack.security.audit import ship
from dualtrack.security.audit.writer import begin
from dualtrack.security.opensearch.security_config import ROLES
from dualtrack.security.pki import authority
from tests.support import store_rights
from tests.support.attack_helpers import Clock, fill
from tests.support.opensearch_testbed import Bed
from tests.support.store_attacks import layout
from tests.support.tried import Tried

pytestmark = pytest.mark.attack
HOST = "victim"
INDEX = f"audit-{HOST}-2026.01.01"
#: What a record says.
SECRET = "ls -l /root"
#: The callers; the index is another host's. Records are read by auditors, and heads among them by witnesses.
WHO: tuple[tuple[str, authority.Kind, str], ...] = (
    ("the store's administrator", "person", "administrator"),
    ("an auditor", "person", "auditor"),
    ("a person without a right", "person", "chen"),
    ("a host's shipper", "shipper", "another"),
    ("a host's sender of logs", "logger", "another"),
    ("a witness", "witness", "another"),
)
READERS = {"an auditor"}
#: What each role may do to audit indices, and nothing else; all by name, from the store's list of actions.
TO_AUDIT = {
    "audit_shipper": set[str](),
    "log_sender": set[str](),
    "witness": {"indices:data/read/search"},
    "keeper": {"indices:admin/create", "indices:monitor/stats"},
}


@pytest.fixture(scope="module")
def shipped(bed: Bed, tmp_path_factory: pytest.TempPathFactory) -> Bed:
    """A store with the trail of a host; it stays as it is."""
    folder = tmp_path_factory.mktemp("shipped") / "trail"
    begin(folder, HOST)
    fill(folder, 33, Clock())
    found = bed.certificate(HOST)
    store = SearchStore([bed.url], ca=Path(found.authority), cert=Path(found.certificate), key=Path(found.key))
    shipper = ship.Shipper(folder, store, folder / "shipped.json", alarm=1 << 30, tell=lambda _: None)
    ship.follow(shipper, once=True, stopped=lambda: False)
    bed.admit("another")
    return bed


def state(admin: Store) -> dict[str, Any]:
    """Return what nobody may change: indices, their documents, rights, templates, settings, snapshots' places."""
    admin.call("POST", f"/{INDEX}/_refresh")
    hits = admin.call("POST", f"/{INDEX}/_search", {"size": 1000, "sort": ["_id"]}).body["hits"]["hits"]
    paths = ("/_cluster/settings", "/_index_template", "/_template", "/_component_template", "/_snapshot", "/_alias",
             "/_ingest/pipeline", "/_search/pipeline", "/_plugins/_security/api/rolesmapping",
             "/_plugins/_security/api/roles", "/_plugins/_security/api/internalusers")  # fmt: skip
    return {path: admin.call("GET", path).body for path in paths} | {
        "documents": [(it["_id"], it["_source"]) for it in hits], "indices": layout(admin),
        "red": admin.call("GET", "/_cluster/health").body["status"] == "red",
    }  # fmt: skip


@pytest.mark.parametrize(("who", "kind", "name"), WHO, ids=[it[0] for it in WHO])
def test_no_request_changes_records_or_rights(
    shipped: Bed, tried: Tried, who: str, kind: authority.Kind, name: str
) -> None:
    answers: Counter[str] = Counter()
    wrong = []
    with shipped.open("admin", "admin") as admin, shipped.open(kind, name) as store:
        before = state(admin)
        with tried.attack(who, "makes each request that there is at an audit index", "prevented", "rights"):
            for api, method, path, body in store_rights.requests():
                data = body.replace("{index}", INDEX).encode()
                kinds = {} if body.endswith("\n") else {"Content-Type": "application/json"}
                answer = store.call(method, path.replace("{index}", INDEX), data or None, kinds)
                answers[f"{answer.status // 100}xx" if answer.status != 403 else "403"] += 1
                if who not in READERS and SECRET in str(answer.body):
                    wrong.append(f"{api}: {method} {path} shows records")
                if answer.status < 300 and method not in ("GET", "HEAD") and (now := state(admin)) != before:
                    changed = [key for key in before if before[key] != now[key]]
                    wrong.append(f"{api}: {method} {path} changed {changed}")
                    before = now
            if state(admin) != before:
                wrong.append("something that was refused, or that only reads, changed the store")
            assert wrong == []
    print(who, dict(answers))
    assert answers["403"] > 100, "most of what is asked reaches the rights"


def test_each_role_does_to_audit_indices_what_is_listed(shipped: Bed) -> None:
    """The store compares patterns with its own names of actions: none is allowed because a pattern is too wide."""
    with shipped.open("admin", "admin") as admin:
        groups = store_rights.groups(admin)
    known = store_rights.actions()
    assert len(known) > 150, known
    found = {
        role: store_rights.allowed(groups, [it for pattern, rights in indices if covers(pattern) for it in rights])
        for role, (_, indices) in ROLES.items()
    }
    reads = {it for it in known if it.startswith(("indices:data/read", "indices:monitor", "indices:admin/mappings"))}
    assert found.pop("auditor") <= reads | {"indices:admin/get", "indices:admin/resolve/index"}
    assert found.pop("administrator") <= {it for it in known if it.startswith("indices:monitor")}
    assert found == TO_AUDIT
    print(f"{len(known)} actions, {len(ROLES)} roles")


def covers(pattern: str) -> bool:
    """Tell whether a role's pattern of indices has the index of another host."""
    if pattern.startswith("/"):
        return re.fullmatch(pattern.strip("/"), INDEX) is not None
    return fnmatch.fnmatchcase(INDEX, pattern)
