"""What the watch does about records that are no node's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dualtrack.errors import External
from dualtrack.pools.store import Entry, Store
from dualtrack.pools.watch import Watch
from tests.support.simulated_pools import OUTPUT, POLICY, group
from tests.unit.pools.test_watch import Fake

WHY = "i-1 has 10.20.0.4, not 203.0.113.9"


class Zone:
    """A zone with one foreign record, which comes back as often as it is taken out."""

    def __init__(self) -> None:
        self.fails, self.swept = False, 0

    def __call__(self, tell: Callable[[str], None]) -> None:
        self.swept += 1
        if self.fails:
            raise External("the records of nodes.example cannot be swept: throttled")
        tell(WHY)


def watched(folder: Path, zone: Zone, *, apply: bool) -> tuple[Fake, Watch, list[Entry]]:
    cloud, said = Fake(group("spot"), group("ondemand")), list[Entry]()
    watch = Watch(cloud, OUTPUT, POLICY, Store(folder, dry=not apply), apply=apply, say=said.append, sweep=zone)
    watch.kept, _ = watch.store.load()
    return cloud, watch, said


def rounds(cloud: Fake, watch: Watch) -> None:
    """Look at times that are 0 to 70 s after the first look."""
    begin = cloud.now
    for after in (0, 10, 29, 31, 45, 60, 62, 70):
        cloud.now = begin + after - 60  # each look takes it a minute on
        watch.round()


def test_records_are_swept_every_half_minute_and_each_is_told(tmp_path: Path) -> None:
    zone = Zone()
    cloud, watch, said = watched(tmp_path, zone, apply=True)
    rounds(cloud, watch)
    assert [it.reason for it in said if it.kind == "note"] == [WHY] * 3


def test_a_zone_that_does_not_answer_is_told_once_and_ends_nothing(tmp_path: Path) -> None:
    zone = Zone()
    zone.fails = True
    cloud, watch, said = watched(tmp_path, zone, apply=True)
    rounds(cloud, watch)
    assert zone.swept == 3
    assert len([it for it in said if "throttled" in it.reason]) == 1


def test_a_dry_run_takes_nothing_out(tmp_path: Path) -> None:
    zone = Zone()
    _, watch, _ = watched(tmp_path, zone, apply=False)
    watch.round()
    assert zone.swept == 0
