"""The loop of the watch: what is written down before what is done, and what a failing API changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualtrack.cloud.pools.controller import Watch
from dualtrack.cloud.pools.model import Action, Group, Observation, PoolState, Resize, State
from dualtrack.cloud.pools.state import Entry, PersistedState, Store
from dualtrack.core.errors import External, Refused
from dualtrack.inventory import contract
from tests.support.simulated_pools import OUTPUT, POLICY, group, node


class Fake:
    """An AWS that answers what it is told to, and refuses when it is told to."""

    def __init__(self, *groups: Group) -> None:
        self.groups = {it.pool: it for it in groups}
        self.fails = self.refuses = False
        self.now = 1e9
        self.did: list[Action] = []

    def observe(self, output: contract.Output, memory: State) -> Observation:  # noqa: ARG002
        self.now += 60
        if self.fails:
            raise External("AWS does not answer: timed out")
        return Observation(self.now, self.groups)

    def act(self, action: Action) -> None:
        if self.refuses:
            raise External("AWS refused SetDesiredCapacity: Throttling")
        self.did.append(action)


def new_watch(cloud: Fake, folder: Path, said: list[Entry], *, apply: bool = True) -> Watch:
    watch = Watch(cloud, OUTPUT, POLICY, Store(folder, dry=not apply), apply=apply, say=said.append)
    watch.kept, _ = watch.store.load()
    return watch


def short(at: float) -> Group:
    from tests.support.simulated_pools import failure

    return group("spot", nodes=(node("i-1"),), failures=(failure(at),))


def test_a_failing_api_is_said_once_and_changes_nothing(tmp_path: Path) -> None:
    cloud, said = Fake(group("spot"), group("ondemand")), []
    watch = new_watch(cloud, tmp_path, said)
    watch.round()
    before = watch.kept.memory
    cloud.fails = True
    for _ in range(5):
        watch.round()
    assert watch.kept.memory == before
    assert [it.kind for it in said] == ["blind"]
    assert said[0].reason == "no action: AWS does not answer: timed out"


def test_what_is_decided_is_written_down_before_it_is_done(tmp_path: Path) -> None:
    cloud, said = Fake(group("spot"), group("ondemand")), []
    watch = new_watch(cloud, tmp_path, said)
    kept: list[PersistedState] = []
    journal: list[Entry] = []

    def act(action: Action) -> None:
        assert isinstance(action, Resize)
        kept.append(watch.store.load()[0])
        journal.extend(watch.store.entries()[0])

    cloud.act = act
    for _ in range(8):
        cloud.groups["spot"] = short(cloud.now + 60)
        watch.round()
        if kept:
            break
    asked = kept[0].memory.pools["ondemand"].asked
    assert asked is not None
    assert (asked.was, asked.to) == (2, 3)
    assert "raise" in {it.kind for it in journal}


def test_a_zone_is_remembered_as_avoided_before_it_is_taken_out(tmp_path: Path) -> None:
    from tests.support.simulated_pools import failure

    cloud, said = Fake(group("spot"), group("ondemand")), []
    watch = new_watch(cloud, tmp_path, said)
    watch.round()
    at = cloud.now
    cloud.groups["spot"] = group("spot", failures=(failure(at), failure(at)))
    kept: list[PersistedState] = []
    cloud.act = lambda _: kept.append(watch.store.load()[0])
    watch.round()
    assert list(kept[0].memory.pools["spot"].avoided) == ["a"]


def test_a_refused_action_is_journalled_and_the_rest_goes_on(tmp_path: Path) -> None:
    cloud, said = Fake(group("spot"), group("ondemand")), []
    watch = new_watch(cloud, tmp_path, said)
    cloud.refuses = True
    for _ in range(8):
        cloud.groups["spot"] = short(cloud.now + 60)
        watch.round()
    assert "failed" in {it.kind for it in said}
    assert "raise: AWS refused SetDesiredCapacity: Throttling" in {it.reason for it in said}


def test_a_dry_run_does_nothing_and_counts_nothing_as_done(tmp_path: Path) -> None:
    cloud, said = Fake(group("spot"), group("ondemand")), []
    watch = new_watch(cloud, tmp_path, said, apply=False)
    for _ in range(30):
        cloud.groups["spot"] = short(cloud.now + 60)
        watch.round()
    assert cloud.did == []
    assert {it.applied for it in said} == {False}
    assert "raise" in {it.kind for it in said}
    assert watch.kept.memory.fallback == {}
    assert not (tmp_path / "memory.json").exists()


def test_a_damaged_memory_is_put_aside(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save(PersistedState(memory=State(5.0, {"spot": PoolState(at=5.0)})))
    assert store.load()[0].memory.at == 5.0
    store.file.write_bytes(store.file.read_bytes()[:20])
    assert "damaged" in store.peek()[1]
    assert store.file.exists(), "a look must not move it"
    kept, said = store.load()
    assert (kept, "put aside as damaged-" in said) == (PersistedState(), True)
    assert store.load() == (PersistedState(), "")
    assert list(tmp_path.glob("damaged-*.json"))


def test_a_torn_journal_line_costs_only_itself(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append(Entry(at=1.0, kind="note", reason="one"), Entry(at=2.0, kind="note", reason="two"))
    whole = store.journal.read_bytes()
    for cut in range(len(whole)):
        store.journal.write_bytes(whole[:cut])
        store.append(Entry(at=3.0, kind="note", reason="three"))
        entries, lost = store.entries()
        assert entries[-1].reason == "three"
        assert len(entries) + lost >= 1
        assert [it.reason for it in entries[:-1]] == ["one", "two"][: len(entries) - 1]


def test_only_one_watch_at_a_time(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert not store.busy()
    with store.alone():
        assert store.busy()
        with pytest.raises(Refused, match="another watch"), Store(tmp_path).alone():
            pass
    with store.alone():
        pass
