"""The watch that joins instances: what it tries when, by a played account. It runs in tests/e2e/test_pools.py."""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dualtrack.cloud import instances
from dualtrack.core.errors import BadInput, External, Interrupted
from dualtrack.tracks import cloud, join_watch


class Account:
    """Instances by name, and which of them cannot be configured; a clock that the test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.there: set[str] = set()
        self.broken: set[str] = set()
        self.joined: set[str] = set()
        self.tries: list[tuple[float, tuple[str, ...]]] = []
        self.now, self.said, self.fails = 0.0, list[str](), ""
        monkeypatch.setattr(instances, "saved_output", lambda _: object())
        monkeypatch.setattr(instances, "discover", self.discover)
        monkeypatch.setattr(join_watch.targets, "of", lambda _: SimpleNamespace(endpoint=lambda: ""))
        monkeypatch.setattr(cloud, "newcomers", lambda hosts: [it for it in hosts if it.name not in self.joined])
        monkeypatch.setattr(cloud, "join", self.join)
        self.watch = join_watch.Watch(
            "aws", accept=lambda _: None, turn=nullcontext, say=self.said.append, clock=lambda: self.now
        )

    def discover(self, *_: Any) -> list[Any]:
        if self.fails:
            raise External(self.fails)
        return [SimpleNamespace(name=name) for name in sorted(self.there)]

    def join(self, *_: Any, only: Collection[str], **__: Any) -> Any:
        self.tries.append((self.now, tuple(only)))
        if wrong := self.broken & set(only):
            raise External(f"{min(wrong)} does not answer")
        self.joined |= set(only) & self.there
        return SimpleNamespace(passed=7)

    def round(self) -> bool:
        return self.watch.round()


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Account:
    monkeypatch.setattr(join_watch, "STATE", tmp_path)
    return Account(monkeypatch)


def test_what_is_new_joins_together_and_once(account: Account) -> None:
    account.there = {"a", "b"}
    assert account.round()
    assert account.round()
    account.there.add("c")
    assert account.round()
    assert [names for _, names in account.tries] == [("a", "b"), ("c",)]
    assert account.said[-1] == "joined: c, 7 checks passed"


@pytest.mark.parametrize("seed", range(40))
def test_a_broken_instance_keeps_no_other_waiting(account: Account, seed: int) -> None:
    """Instances come, go, break and heal; one that works has joined two rounds after it came at the latest."""
    chance = random.Random(seed)
    names, since = [f"i-{number}" for number in range(8)], dict[str, int]()
    for at in range(60):
        account.now += 10
        for name in names:
            if chance.random() < 0.1:
                account.there ^= {name}
                account.joined.discard(name)
                since.pop(name, None)
            if chance.random() < 0.05:
                account.broken ^= {name}
                since.pop(name, None)
        account.round()
        working = account.there - account.broken - account.watch.failures.keys()
        for name in working - account.joined:
            since.setdefault(name, at)
            assert at - since[name] < 2, f"{name} waits"
    # Each that is broken was tried less and less often.
    for name in account.there & account.broken:
        times = [at for at, tried in account.tries if tried == (name,)]
        assert len(times) < 30


def test_after_a_failure_it_is_tried_less_and_less_often_until_it_works(account: Account) -> None:
    account.there = account.broken = {"a"}
    for second in range(4 * 3600):
        account.now = float(second)
        account.round()
    times = [at for at, _ in account.tries]
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert pauses[:6] == [60, 120, 240, 480, 960, 1800]
    assert set(pauses[5:]) == {1800}
    account.broken = set()
    account.now += 1800
    assert account.round()
    assert account.joined == {"a"}


def test_an_instance_that_is_gone_is_forgotten(account: Account) -> None:
    account.there = account.broken = {"a"}
    assert not account.round()
    account.there = set()
    assert account.round()


def test_an_account_that_does_not_answer_is_said_once_and_asked_again(account: Account) -> None:
    account.there, account.fails = {"a"}, "AWS does not answer"
    assert [account.round() for _ in range(3)] == [False] * 3
    assert account.said == ["AWS does not answer"]
    account.fails = ""
    assert account.round()
    account.fails = "AWS does not answer"
    assert not account.round()
    assert account.said.count("AWS does not answer") == 2


def test_an_interruption_ends_the_watch(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise Interrupted("interrupted")

    account.there = {"a"}
    monkeypatch.setattr(cloud, "join", interrupted)
    with pytest.raises(Interrupted):
        account.round()


def test_the_unit_is_told_which_deployment_it_is_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = {"user": "ops", "root": Path("/r"), "state": Path("/s")}
    for name in ("DUALTRACK_STATE_KEY", "DUALTRACK_VARIABLES"):
        monkeypatch.delenv(name, raising=False)
    assert "STATE_KEY" not in join_watch.unit(Path("/p"), "aws", 30, **words)  # type: ignore[arg-type]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DUALTRACK_STATE_KEY", "second.tfstate")
    monkeypatch.setenv("DUALTRACK_VARIABLES", "a.json:/b.json")
    text = join_watch.unit(Path("/p"), "aws", 30, **words)  # type: ignore[arg-type]
    assert "\nEnvironment=DUALTRACK_STATE_KEY=second.tfstate\n" in text
    assert f"\nEnvironment=DUALTRACK_VARIABLES={tmp_path}/a.json:/b.json\n" in text.replace('"', "")


def test_the_unit_holds_what_was_asked_for() -> None:
    text = join_watch.unit(
        Path("/srv/d t/bin/dualtrack"), "aws", 45, user="ops", root=Path("/srv/d"), state=Path("/srv/100%/state")
    )
    assert 'ExecStart="/srv/d t/bin/dualtrack" cloud watch --stack aws --interval 45' in text
    assert "User=ops\nEnvironment=DUALTRACK_STATE_DIR=/srv/100%%/state" in text
    assert "ProtectSystem=strict" in text
    with pytest.raises(BadInput, match="user 'a b'"):
        join_watch.unit(Path("/p"), "aws", 30, user="a b", root=Path("/r"), state=Path("/s"))
