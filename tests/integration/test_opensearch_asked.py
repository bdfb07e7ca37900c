"""Indices that hosts ask for: the keeper makes them, today's always, others in number; it outlives what goes wrong."""

from __future__ import annotations

import subprocess
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from dualtrack.remote.opensearch import Store
from dualtrack.security.audit import index_documents
from dualtrack.security.opensearch.reconcile import SHARDS, admit
from tests.conftest import CLI, Cli, wait
from tests.integration.test_audit_ship import Trail, same
from tests.integration.test_opensearch import ship
from tests.support.child import read_until
from tests.support.opensearch_testbed import DAYS, PASSWORDS, Bed


def ask(store: Store, host: str, days: list[date]) -> None:
    indices = [f"audit-{host}-{it:%Y.%m.%d}" for it in days]
    assert not store.call("POST", "/_bulk", index_documents.of_asks(host, indices)).body["errors"]


def there(admin: Store, pattern: str) -> dict[str, Any]:
    return dict(admin.call("GET", f"/{pattern}/_settings").body)


def asked(admin: Store, host: str) -> int:
    admin.call("POST", f"/.asked-{host}/_refresh")
    return int(admin.call("GET", f"/.asked-{host}/_count").body["count"])


def test_a_host_that_asks_without_end_gets_its_share_and_nobody_else_is_the_worse(bed: Bed) -> None:
    days = [date(2031, 1, 1) + timedelta(days=it) for it in range(DAYS + 60)]
    with bed.open("admin", "admin") as admin, bed.open("shipper", "greedy") as greedy:
        ask(greedy, "greedy", days)
        wait(
            lambda: asked(admin, "greedy") == 0,
            120,
            "the keeper's answers",
            lambda: len(there(admin, "audit-greedy-*")),
        )
        assert len(there(admin, "audit-greedy-*")) == DAYS
        for index in (f"audit-greedy-{datetime.now(UTC):%Y.%m.%d}", "audit-modest-2026.01.01"):
            bed.make(index)
        assert "greedy has 90 days in the store and asks for more" in (bed.folder / "keeper").read_text()
        for index in there(admin, "audit-greedy-*"):
            assert admin.call("DELETE", f"/{index}").status == 200


def test_what_is_asked_is_made_as_the_template_says_and_a_day_that_was_retired_stays_away(bed: Bed) -> None:
    index = "audit-asking-2026.11.25"
    with bed.open("admin", "admin") as admin, bed.open("shipper", "asking") as host:
        assert ship(host, index, range(1, 3), "asking") == [201, 201]
        found = admin.call("GET", f"/{index}").body[index]
        assert found["mappings"]["dynamic"] == "strict"
        assert found["settings"]["index"]["number_of_shards"] == "1"
        wait(lambda: asked(admin, "asking") == 0, 60, "the keeper's answer")
        assert admin.call("DELETE", f"/{index}").status == 200
        bed.make("audit-asking-2026.11.26")  # a round later
        assert set(there(admin, "audit-asking-*")) == {"audit-asking-2026.11.26"}


def test_a_host_that_is_not_admitted_waits_and_loses_nothing(bed: Bed, tmp_path: Path) -> None:
    trail = Trail(Cli(tmp_path), bed, "late-comer")
    trail.record("one", "two")
    bed.hosts.append(trail.host)  # who is on the list is taken for admitted
    process = subprocess.Popen([CLI, *trail.words(), "--once"], env=trail.cli.env, stderr=subprocess.PIPE, text=True)
    try:
        said = read_until(process, process.stderr, "has not admitted late-comer")
        bed.hosts.remove(trail.host)
        bed.admit(trail.host)
        said += process.communicate(timeout=300)[1]
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert "takes records again" in said
    trail.cli("audit", "sign", str(trail.folder))
    trail.ship()
    assert same(trail.fetched(), trail.folder)


def test_an_ask_that_is_none_stops_nobody(bed: Bed) -> None:
    with bed.open("admin", "admin") as admin, bed.open("shipper", "odd-asks") as host:
        for number, day in enumerate(("2026.13.01", "*", "x" * 8191, "../x", "", 7, None, {"day": 1}, "2026.1.1")):
            host.call("PUT", f"/.asked-odd-asks/_doc/{number}", {"day": day})
        bed.make("audit-odd-asks-2026.11.25")
        bed.make("audit-even-asks-2026.11.25")
        assert set(there(admin, "audit-odd-asks-*")) == {"audit-odd-asks-2026.11.25"}


def test_logs_of_tomorrow_are_there_today_for_hosts_that_send_some(bed: Bed) -> None:
    today = datetime.now(UTC).date()
    name = lambda host, day: f"logs-{host}-{today + timedelta(days=day):%Y-%m-%d}"  # noqa: E731
    with (
        bed.open("admin", "admin") as admin,
        bed.open("logger", "sending") as sending,
        bed.open("logger", "gone") as gone,
    ):
        for host in ("sending", "gone", "silent"):
            admit(admin, host, logs=True)
            for day in (0, 1):
                assert admin.call("DELETE", f"/{name(host, day)}").status == 200
        for host, day in (("sending", -3), ("gone", -9), ("silent", -3)):
            assert admin.call("PUT", f"/{name(host, day)}", {}).status == 200
        # The store was away for three days: what was queued meanwhile is of the days between.
        for store, index in ((sending, name("sending", -3)), (gone, name("gone", -9))):
            assert store.call("POST", f"/{index}/_doc", {"message": "alive", "other": 1}).status == 201
        wait(lambda: name("sending", 1) in there(admin, "logs-*"), 60, "the keeper's look at logs")
        assert set(there(admin, "logs-sending-*")) == {name("sending", it) for it in (-3, -2, -1, 0, 1)}
        assert set(there(admin, "logs-gone-*")) == {name("gone", -9)}
        assert set(there(admin, "logs-silent-*")) == {name("silent", -3)}


def test_store_holds_what_all_hosts_may_have(bed: Bed) -> None:
    """The limit goes up with the hosts, is never taken back, and counts as settled."""
    with bed.open("admin", "admin") as admin:
        hosts = [f"many-{it}" for it in range(20)]
        assert bed.settle(admin, PASSWORDS, hosts=hosts) == ["shards", *(f"host {it}" for it in hosts)]
        assert bed.settle(admin, PASSWORDS, hosts=hosts) == []
        assert bed.settle(admin, PASSWORDS) == []
        found = admin.call("GET", "/_cluster/settings?flat_settings=true").body["persistent"]
        assert int(found[SHARDS]) > 20 * 2 * DAYS
