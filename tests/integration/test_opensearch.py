"""The search store itself, with the role's settings: outages lose nothing, rights hold, passwords change."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest

from dualtrack.core.errors import External
from dualtrack.remote.opensearch import Store, basic
from dualtrack.security.audit import index_documents
from dualtrack.security.opensearch import security_config
from dualtrack.security.pki import authority
from tests.conftest import wait
from tests.support import opensearch_testbed as opensearch_bed
from tests.support.opensearch_testbed import PASSWORDS, PEOPLE, Bed


def record(n: int, host: str = "gpu-1") -> dict[str, object]:
    return {
        "@timestamp": f"2026-11-25T00:00:{n % 60:02}Z", "host": host, "kind": "sudo", "source": "ops", "n": n,
        "body": f"command {n}", "chain": f"{n:064x}", "line": "{}",
    }  # fmt: skip


def ship(store: Store, index: str, numbers: range, host: str = "gpu-1") -> list[int]:
    """Create records by `_bulk` under their number, and return what each became; the index is asked for if need be."""
    lines: list[dict[str, object]] = []
    for n in numbers:
        lines += [{"create": {"_index": index, "_id": str(n)}}, record(n, host)]

    def sent() -> list[int]:
        answer = store.call("POST", "/_bulk", "".join(json.dumps(it) + "\n" for it in lines).encode())
        assert answer.status == 200, answer.reason
        return [it["create"]["status"] for it in answer.body["items"]]

    found = sent()
    if 404 not in found:
        return found
    assert not store.call("POST", "/_bulk", index_documents.of_asks(index_documents.host_of(index), [index])).body[
        "errors"
    ]
    answered: list[int] = wait(lambda: 404 not in (now := sent()) and now, 60, f"the keeper, for {index}")
    return answered


def test_what_was_acknowledged_outlives_a_power_cut(bed: Bed) -> None:
    index = "audit-gpu-1-2026.11.25"
    with bed.open("shipper", "gpu-1") as shipper:
        assert set(ship(shipper, index, range(1, 501))) == {201}
        bed.kill()
        with pytest.raises(External, match="does not answer"):
            ship(shipper, index, range(501, 601))
        bed.start()
        # Whoever does not know what arrived sends it again: nothing is there twice.
        assert ship(shipper, index, range(401, 601)) == [409] * 100 + [201] * 100
    assert [it["n"] for it in bed.documents(index)] == list(range(1, 601))


def test_rights_are_settled_once(bed: Bed) -> None:
    with bed.open("admin", "admin") as admin:
        assert bed.settle(admin, PASSWORDS) == []


def test_a_host_whose_name_begins_alike_is_another_host(bed: Bed) -> None:
    index = "audit-gpu-1-b-2026.11.25"
    with bed.open("shipper", "gpu-1-b") as other, bed.open("shipper", "gpu-1") as host:
        assert ship(other, index, range(1, 2)) == [201]
        assert ship(host, index, range(2, 3)) == [403]


@pytest.mark.parametrize("name", ["auditor", "administrator", "admin"])
def test_a_host_that_is_called_like_a_user_is_a_host(bed: Bed, name: str) -> None:
    with bed.open("shipper", name) as host:
        assert ship(host, f"audit-{name}-2026.11.25", range(1, 2), name)[0] in (201, 409)
        assert host.call("GET", "/audit-*/_search").status == 403
        assert host.call("DELETE", "/audit-gpu-1-2026.11.25").status == 403


def test_a_node_s_certificate_is_no_user(bed: Bed) -> None:
    with bed.open("node", "log-9") as node:
        assert node.call("GET", "/_cluster/health").status == 403
        assert node.call("PUT", "/audit-log-9-2026.11.25/_create/1", record(1)).status == 403


def test_only_the_controller_s_certificate_goes_past_immutability(bed: Bed) -> None:
    """What the decision rests on: this is why that certificate must not be on a node."""
    index = "audit-doomed-2026.11.25"
    with bed.open("shipper", "doomed") as shipper, bed.open("admin", "admin") as admin, bed.open() as anybody:
        assert ship(shipper, index, range(1, 2), "doomed") == [201]
        for user, secret in PASSWORDS.items():
            assert anybody.call("DELETE", f"/{index}", headers=basic(user, secret)).status == 403
        assert admin.call("DELETE", f"/{index}").status == 200


def test_an_administrator_works_with_ordinary_indices_and_creates_none(bed: Bed) -> None:
    me = basic("administrator", PASSWORDS["administrator"])
    with bed.open("admin", "admin") as admin, bed.open() as store:
        assert admin.call("PUT", "/logs-2026", {}).status == 200
        assert store.call("PUT", "/logs-2026/_doc/1", {"a": 1}, me).status == 201
        assert store.call("PUT", "/logs-2026/_settings", {"index.number_of_replicas": 900}, me).status == 403
        assert store.call("DELETE", "/logs-2026", headers=me).status == 200
        for path, body in (("/logs-2027", {}), ("/logs-2027", {"aliases": {"audit-gpu-2-2026.11.26": {}}}),
                           ("/audit-mine", {}), ("/logs-2027/_doc/1", {"a": 1})):  # fmt: skip
            assert store.call("PUT", path, body, me).status in (403, 404)
        assert admin.call("GET", "/logs-2027").status == 404


def test_an_administrator_takes_snapshots_and_restores_none(bed: Bed) -> None:
    me, index = basic("administrator", PASSWORDS["administrator"]), "audit-gpu-7-2026.11.25"
    with bed.open() as store, bed.open("shipper", "gpu-7") as shipper:
        assert ship(shipper, index, range(1, 2), "gpu-7") == [201]
        taken = store.call("PUT", "/_snapshot/disk/before?wait_for_completion=true", {"indices": "audit-*"}, me)
        assert (taken.status, taken.body["snapshot"]["state"]) == (200, "SUCCESS")
        assert ship(shipper, index, range(2, 3), "gpu-7") == [201]
        for more in ({}, {"rename_pattern": "audit-(.+)", "rename_replacement": "copy-$1"}):
            answer = store.call("POST", "/_snapshot/disk/before/_restore", {"indices": index, **more}, me)
            assert answer.status == 403, answer
        for path in ("/_snapshot/disk/before", "/_snapshot/disk"):
            assert store.call("DELETE", path, headers=me).status == 403
    assert [it["n"] for it in bed.documents(index)] == [1, 2]


def test_records_that_are_not_as_the_format_says_are_refused(bed: Bed) -> None:
    with bed.open("shipper", "gpu-1") as shipper:
        for wrong in ({"n": "many"}, {"@timestamp": "yesterday"}, {"other": 1}):
            answer = shipper.call("PUT", "/audit-gpu-1-2026.11.25/_create/x", {**record(1), **wrong})
            assert answer.status == 400, (wrong, answer)


def test_passwords_change_and_users_go(bed: Bed) -> None:
    new = {"auditor": "another-one-for-tests"}
    with bed.open("admin", "admin") as admin, bed.open() as store:
        assert bed.settle(admin, new) == ["internalusers"]
        assert bed.settle(admin, new) == []
        assert store.call("GET", "/_cluster/health", headers=basic("auditor", new["auditor"])).status == 200
        for user, secret in PASSWORDS.items():
            assert store.call("GET", "/_cluster/health", headers=basic(user, secret)).status == 401
        assert bed.settle(admin, PASSWORDS) == ["internalusers"]


def test_guessing_is_slowed_down(bed: Bed) -> None:
    right = basic("administrator", PASSWORDS["administrator"])
    with bed.open() as store, bed.open("admin", "admin") as admin, bed.open("shipper", "gpu-1") as shipper:
        assert store.call("GET", "/_cluster/health", headers=right).status == 200
        for _ in range(11):
            assert store.call("GET", "/_cluster/health", headers=basic("administrator", "guess")).status == 401
        assert store.call("GET", "/_cluster/health", headers=right).status == 401
        # Nobody else is kept out.
        assert store.call("GET", "/_cluster/health", headers=basic("auditor", PASSWORDS["auditor"])).status == 200
        assert ship(shipper, "audit-gpu-1-2026.11.25", range(700, 701))[0] in (201, 409)
        assert bed.settle(admin, PASSWORDS) == []


@pytest.mark.skipif("DUALTRACK_WHOLE" not in os.environ, reason="three nodes take 2.5 GB: make drill-audit")
def test_a_cluster_outlives_a_node_and_lets_no_stranger_in() -> None:
    index = "audit-gpu-1-2026.11.25"
    with opensearch_bed.cluster("log-1", "log-2", "log-3") as beds:
        with beds[0].open("admin", "admin") as admin:
            health = admin.call("GET", "/_cluster/health?wait_for_nodes=3&wait_for_status=green&timeout=240s").body
            assert (health["status"], health["number_of_nodes"]) == ("green", 3)
        with beds[1].open("shipper", "gpu-1") as shipper:
            assert set(ship(shipper, index, range(1, 101))) == {201}
            # Until a new index has its copy, one node alone has what was taken; whoever sent it still has it, too.
            with beds[0].open("admin", "admin") as admin:
                health = admin.call("GET", f"/_cluster/health/{index}?wait_for_status=green&timeout=240s").body
                assert health["status"] == "green"
            beds[2].kill()

            def taken() -> bool:
                """Until the others agree on who leads they take nothing, or do not answer; a shipper tries on."""
                with contextlib.suppress(External):
                    return set(ship(shipper, index, range(101, 201))) <= {201, 409}
                return False

            wait(taken, 120, "the others' agreement")  # whoever sends again has each record there once
        assert [it["n"] for it in beds[0].documents(index)] == list(range(1, 201))
        # The right authority and kind, and a name that is none of the nodes': the others do not take it in.
        stranger = authority.issue(beds[2].pki, "node", "log-9", ["log-9", beds[2].address])
        config = beds[2].home / "config"
        (config / "node.pem").write_bytes(Path(stranger.certificate).read_bytes())
        (config / "node.key").write_bytes(Path(stranger.key).read_bytes())
        beds[2].begin()
        with beds[2].open() as store:
            store.await_up(300)
        with beds[0].open("admin", "admin") as admin:
            health = admin.call("GET", "/_cluster/health?wait_for_nodes=3&timeout=5s").body
            assert health["number_of_nodes"] == 2


def test_hashes_are_the_passwords_() -> None:
    """A hash of ours stays as long as it fits; another password is another hash."""
    first = security_config.security(PEOPLE, PASSWORDS, {})["internalusers"]
    assert security_config.security(PEOPLE, PASSWORDS, first)["internalusers"] == first
    again = security_config.security(PEOPLE, {**PASSWORDS, "auditor": "x" * 12}, first)["internalusers"]
    assert again["administrator"] == first["administrator"]
    assert again["auditor"] != first["auditor"]
    assert all(secret not in str(first) for secret in PASSWORDS.values())
