"""What a host logs can be searched in the store, by those who run the system."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import pytest

from dualtrack.security.opensearch.connections import Node
from dualtrack.verify import certificates
from dualtrack.verify.eventually import settled

UNIT = "dualtrack-logs"
#: Seconds that a line gets to come into the store: a batch, and the second after which it shows.
SOON_S = 40


def node(host: Any, hostvars: dict[str, Any]) -> Node:
    """Return a node of the store, as the controller reaches it; skips where none is among the hosts checked."""
    config = Path(host.backend.ssh_config)
    found = [it for it in hostvars.get("opensearch_nodes", ()) if f"Host {it['name']}\n" in config.read_text()]
    if not found:
        pytest.skip("no node of the store is among the hosts that are checked")
    port = int(hostvars.get("opensearch_port", 9200))
    return Node(
        name=found[0]["name"],
        address=found[0]["address"],
        port=port,
        pki=Path(hostvars["opensearch_ca_dir"]),
        config=config,
    )


def test_service(host: Any) -> None:
    """It runs without rights, as a user of its own, and again after a boot."""
    text = host.check_output("systemctl show --property ActiveState,UnitFileState,User,CapabilityBoundingSet %s", UNIT)
    assert dict(line.split("=", 1) for line in text.splitlines()) == {
        "ActiveState": "active", "UnitFileState": "enabled", "User": "dualtrack-logs", "CapabilityBoundingSet": "",
    }  # fmt: skip


def test_keys(host: Any) -> None:
    """Nobody else reads the key."""
    assert host.run("runuser -u nobody -- cat /etc/dualtrack/logs/host.key").rc != 0


def test_a_line_is_found(host: Any, hostvars: dict[str, Any]) -> None:
    """A line is in the store seconds later, in this host's index of the day."""
    people = [it["name"] for it in hostvars.get("opensearch_people", ()) if "administrator" in it["rights"]]
    if not people:
        pytest.skip("nobody runs the store, so nobody can look")
    mark = f"verify{secrets.token_hex(8)}"
    with node(host, hostvars).open("person", people[0]) as store:
        host.check_output("logger --tag dualtrack-verify %s", f"line {mark}")
        query = {"query": {"match": {"message": mark}}}
        found = settled(
            lambda: store.call("POST", "/logs-*/_search", query).body["hits"]["hits"], lambda hits: bool(hits), SOON_S
        )
    assert found, f"the journal has it, the store does not: see journalctl -u {UNIT}"
    name = hostvars["log_forwarding_host"] or hostvars["inventory_hostname"].lower()
    assert found[0]["_index"].startswith(f"logs-{name}-"), found[0]["_index"]


def test_certificate_is_good_and_in_use(host: Any) -> None:
    """It is good for another week, and the service has started since it came."""
    path = "/etc/dualtrack/logs/host.pem"
    assert certificates.ending(host, path) == ""
    since = host.check_output("systemctl show --property ActiveEnterTimestamp --value %s", UNIT)
    started = host.check_output("date --date %s +%%s", since)
    assert int(host.check_output("stat --format %%Y %s", path)) <= int(started), f"systemctl restart {UNIT}"
