"""A track whose hosts witness for each other, and whose store gets another authority while events come."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from dualtrack.inventory import facts as facts_file
from dualtrack.security.pki import authority
from tests.conftest import Cli, wait

pytestmark = [
    pytest.mark.skipif("DUALTRACK_WHOLE" not in os.environ, reason="takes eight minutes and 2 GB: make drill-audit"),
]
UP_S = 1200
HOST = "gateway-1"


class Track:
    """A gateway and the host of the search store."""

    def __init__(self, cli: Cli) -> None:
        self.cli, self.pki, self.keys = cli, cli.state / "pki", cli.state / "audit-keys"
        facts = yaml.safe_load(facts_file.DEFAULT.read_text())
        facts["hosts"] = [it for it in facts["hosts"] if it["name"] in (HOST, "log-1")]
        for it in facts["hosts"]:  # each co-signs the other's heads
            it["vars"] = {**it.get("vars", {}), "audit_witness": True, "audit_witness_every": 5}
        self.facts = cli.folder / "facts.yml"
        self.facts.write_text(yaml.safe_dump(facts, sort_keys=False))

    def up(self) -> dict[str, object]:
        words = ("local", "up", "--facts", str(self.facts), "--full", "--json")
        [track] = json.loads(self.cli(*words, timeout=UP_S).stdout)["tracks"]
        return dict(track)


@pytest.fixture(scope="module")
def track(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Track]:
    cli = Cli(tmp_path_factory.mktemp("rotated"))
    try:
        cli("lab", "up")
        found = Track(cli)
        found.up()
        yield found
    finally:
        cli("lab", "down")


def test_each_host_witnesses_for_the_other(track: Track, tmp_path: Path) -> None:
    said = tmp_path / "statements"
    path = "/var/lib/dualtrack/audit-witness/witness/statements.log"
    said.write_text(track.cli("lab", "exec", "log-1", "--", "cat", path).stdout)
    track.cli("audit", "fetch", HOST, str(tmp_path / "trail"), "--as", "bo")
    words = ("--witness", str(track.keys / "witnesses/log-1.pem"), "--anchors", str(said), "--max-head-age", "5")
    done = track.cli.json("audit", "verify", str(tmp_path / "trail"), "--key", str(track.keys / f"{HOST}.pem"), *words)
    assert done["cosigned"] >= 1


def test_another_authority_comes_in_while_the_track_is_up(track: Track) -> None:
    """The playbook, with events coming all the time: none is lost, and certificates are others afterwards."""
    old = Path(authority.issue(track.pki, "shipper", HOST).certificate).read_bytes()
    sent, ended, begin = 0, threading.Event(), time.monotonic()

    def happen() -> None:
        nonlocal sent
        while not ended.wait(1.0):
            words = ("logger", "--priority", "authpriv.info", "--tag", "sudo", f"rotating {sent}")
            sent += track.cli("lab", "exec", HOST, "--", *words, check=False).returncode == 0

    thread = threading.Thread(target=happen)
    thread.start()
    try:
        track.cli("play", "audit-rotate", timeout=UP_S)
    finally:
        ended.set()
        thread.join()
    print(f"another authority in {time.monotonic() - begin:.0f} s, {sent} events meanwhile")
    assert Path(authority.issue(track.pki, "shipper", HOST).certificate).read_bytes() != old
    assert track.cli.json("pki", "rotate", "--pki", str(track.pki))["authorities"] == ["dualtrack-2"]

    def found() -> set[str]:
        words = ("--as", "bo", "--text", "rotating", "--kind", "sudo", "--last", "10000")
        return {json.loads(it["body"])["MESSAGE"] for it in track.cli.json("audit", "search", *words)["records"]}

    wait(lambda: found() >= {f"rotating {number}" for number in range(sent)}, 60, "every event in the store")


def test_again_changes_nothing(track: Track) -> None:
    assert track.up()["changes"] == {}
