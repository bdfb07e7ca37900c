"""Which hosts of a track are configured again, and what is tried when that does not turn it green."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dualtrack.core.errors import Findings
from dualtrack.tracks import provision
from dualtrack.tracks.ansible_runner import Result
from dualtrack.tracks.unchanged import Hosts
from dualtrack.verify import CheckReport, HostReport

NAMES = ("gpu-1", "gateway-1", "log-1")


class Track:
    """Plays the hosts of a track: what is on record there, which of them are red, and what turns them green."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **facts: Any) -> None:
        groups = {"all": list(NAMES), "role_infiniband": ["gpu-1", "gateway-1"]}
        self.hosts = Hosts({name: dict(facts) for name in NAMES}, groups)
        self.records = dict.fromkeys(NAMES, "today")
        self.red: set[str] = set()
        #: Configuring a host turns these green.
        self.mends = {name: {name} for name in NAMES}
        self.configured: list[tuple[str, ...]] = []
        monkeypatch.setattr(provision.deployment, "inventories", lambda _: [Path("inventory")])
        monkeypatch.setattr(provision, "STATE", Path("/state"))
        monkeypatch.setattr(provision, "read_inventory", lambda _: {})
        monkeypatch.setattr(provision.verify, "verify", self.verify)
        monkeypatch.setattr(provision.lanes, "configure", self.configure)
        for name, value in {
            "hosts_of": lambda *_: self.hosts, "inputs": lambda _: {},
            "digests": lambda hosts: dict.fromkeys(hosts.variables, "today"),
            "recorded": lambda _: dict(self.records), "moved": lambda *_: [],
            "forget": lambda hosts: self.records.update(dict.fromkeys(hosts.variables, "")),
            "record": lambda _, values: self.records.update(values),
        }.items():  # fmt: skip
            monkeypatch.setattr(provision.unchanged, name, value)

    def configure(self, _: object, hosts: Hosts, **__: object) -> Result:
        self.configured.append(tuple(hosts.variables))
        for name in hosts.variables:
            self.red -= self.mends[name]
        return Result(changed=dict.fromkeys(hosts.variables, 1), failures=(), seconds=1, log="log")

    def verify(self, *_: object, **__: object) -> CheckReport:
        states = {name: "failed" if name in self.red else "passed" for name in NAMES}
        hosts = tuple(HostReport(name=it, state=state, roles=(), passed=1) for it, state in states.items())
        return CheckReport(
            ok=not self.red, headline=f"{len(self.red)} red", passed=3, failed=len(self.red), unreachable=0, seconds=1,
            verified_at="now", hosts=hosts,
        )  # fmt: skip

    def up(self, **more: Any) -> provision.Settled:
        return provision.configured("local", "lab", lambda _: None, changed=False, **more)


@pytest.fixture
def track(monkeypatch: pytest.MonkeyPatch) -> Track:
    return Track(monkeypatch)


def test_green_hosts_with_todays_record_are_left_alone(track: Track) -> None:
    assert track.up().unchanged
    assert track.configured == []


def test_red_host_is_configured_and_no_other(track: Track) -> None:
    track.red = {"log-1"}
    settled = track.up()
    assert (settled.unchanged, settled.changes) == (False, {"log-1": 1})
    assert track.records == dict.fromkeys(NAMES, "today")


def test_host_without_its_record_is_configured_and_no_other(track: Track) -> None:
    track.records["log-1"] = ""
    assert track.up().changes == {"log-1": 1}


def test_hosts_of_a_fabric_are_configured_together(track: Track) -> None:
    track.records["gpu-1"] = "yesterday"
    track.up()
    assert track.configured == [("gpu-1", "gateway-1")]


def test_witness_is_told_all_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    track = Track(monkeypatch, audit_witness=True)
    track.red = {"log-1"}
    track.up()
    assert track.configured == [NAMES]


def test_what_another_host_has_caused_is_mended_there(track: Track) -> None:
    """The red host is not the one that has changed: then all are configured."""
    track.red, track.mends["log-1"], track.mends["gpu-1"] = {"log-1"}, set(), {"log-1"}
    assert track.up().changes == {"gpu-1": 1, "gateway-1": 1, "log-1": 2}
    assert track.configured == [("log-1",), NAMES]


def test_what_stays_red_is_told_and_leaves_no_record_on_what_was_configured(track: Track) -> None:
    track.red, track.mends = {"log-1"}, {name: set() for name in NAMES}
    with pytest.raises(Findings, match="the local track does not verify: 1 red"):
        track.up()
    assert track.configured == [("log-1",), NAMES]
    assert set(track.records.values()) == {""}


def test_full_configures_all_and_once(track: Track) -> None:
    track.red = {"log-1"}
    assert set(track.up(full=True).changes) == set(NAMES)
    assert track.configured == [NAMES]


def test_what_the_other_track_has_put_behind_is_configured_in_the_same_up(track: Track) -> None:
    """A firewall was made before the gateways of the other track were known: the engines answered nobody."""
    settled = track.up()
    assert provision.caught_up(settled, "lab", lambda _: None) is settled
    assert track.configured == []
    track.records["gateway-1"] = "before the other track came"
    after = provision.caught_up(settled, "lab", lambda _: None)
    assert track.configured == [("gpu-1", "gateway-1")]  # of one fabric
    assert (after.unchanged, after.changes) == (False, {"gpu-1": 1, "gateway-1": 1})
    assert provision.behind("local", "lab") == []
