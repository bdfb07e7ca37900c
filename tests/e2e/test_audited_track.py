"""A track with a search store: what happens on a host is found by an auditor, and the trail is the host's own."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from dualtrack.inventory import facts as facts_file
from tests.conftest import CLI, Cli, wait

pytestmark = [
    pytest.mark.lab,
    pytest.mark.slow,
    pytest.mark.skipif("DUALTRACK_WHOLE" not in os.environ, reason="takes four minutes and 2 GB: make drill-audit"),
]
UP_S = 1200
PASSWORD = "only-for-this-test-1"


class Track:
    """A gateway and the host of the search store, and an auditor who is neither."""

    def __init__(self, cli: Cli) -> None:
        self.cli = cli
        self.secret = cli.folder / "password"
        self.secret.write_text(f"{PASSWORD}\n")
        facts = yaml.safe_load(facts_file.DEFAULT.read_text())
        facts["hosts"] = [it for it in facts["hosts"] if it["roles"] == ["gateway"]]
        self.host = facts["hosts"][0]["name"]
        facts["hosts"].append({
            "name": "log-1", "address": "10.30.0.21", "roles": ["log"], "vars": {"elk_auditor_password": PASSWORD},
        })  # fmt: skip
        self.facts = cli.folder / "facts.yml"
        self.facts.write_text(yaml.safe_dump(facts, sort_keys=False))

    def up(self) -> dict[str, object]:
        [track] = json.loads(self.cli("local", "up", "--facts", str(self.facts), "--json", timeout=UP_S).stdout)[
            "tracks"
        ]
        return dict(track)

    def auditor(self, *words: str) -> str:
        """Run a command in the lab's network, as the auditor."""
        namespace = self.cli.json("lab", "status")["namespace"]
        known = ("--store", "https://10.30.0.21:9200", "--ca", str(self.cli.folder / "pki/ca.pem"), "--user", "auditor")
        done = subprocess.run(
            ["nsenter", f"--net=/run/netns/{namespace}", "--", CLI, "audit", *words, *known,
             "--password-file", self.secret],
            env=self.cli.env, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def track(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Track]:
    cli = Cli(tmp_path_factory.mktemp("audited"))
    try:
        cli("lab", "up")
        yield Track(cli)
    finally:
        cli("lab", "down")


def test_store_and_shippers_come_up(track: Track) -> None:
    begin = time.monotonic()
    assert track.up()["changed"]
    print(f"up in {time.monotonic() - begin:.0f} s")
    memory = track.cli("lab", "exec", "log-1", "--", "sh", "-c", "ps -C java -o rss=").stdout
    print(f"the store takes {int(memory.split()[0]) // 1024} MiB")


def test_what_happens_on_a_host_is_found_by_the_auditor(track: Track) -> None:
    begin = time.monotonic()
    track.cli(
        "lab",
        "exec",
        track.host,
        "--",
        "logger",
        "--priority",
        "authpriv.info",
        "--tag",
        "sudo",
        "mallory : COMMAND=/bin/sh",
    )

    def found() -> list[dict[str, object]]:
        text = track.auditor("search", "--text", "mallory", "--kind", "sudo", "--json")
        return list(json.loads(text)["records"])

    [event] = wait(found, 60, "the event in the store")
    print(f"in the store after {time.monotonic() - begin:.1f} s")
    assert event["host"] == track.host


def test_the_stores_copy_holds_before_the_registered_key(track: Track, tmp_path: Path) -> None:
    track.auditor("fetch", track.host, str(tmp_path / "trail"))
    key = track.cli.folder / f"audit-keys/{track.host}.pem"
    # What came last may not be signed yet; all else is.
    track.cli("audit", "verify", str(tmp_path / "trail"), "--key", str(key))


def test_again_changes_nothing(track: Track) -> None:
    assert track.up()["changes"] == {}
