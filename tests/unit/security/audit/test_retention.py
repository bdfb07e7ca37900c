"""Retention: what is verified is asked about, and removed, without another look; a no keeps everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dualtrack.core.errors import Refused
from dualtrack.security.audit import retention, retention_policy
from dualtrack.security.audit.retention import Keeper, Result
from dualtrack.security.audit.retention_policy import Verdict

INDEX = "audit-gpu-1-2026.01.01"


class Store:
    """A search store that takes down what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def ask(self, method: str, path: str, *_: object) -> dict[str, Any]:
        self.asked.append(f"{method} {path}")
        return {}

    @property
    def blocked(self) -> bool:
        return [it.rpartition("/")[2] for it in self.asked if INDEX in it][-1] == "write"


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let one day of one host go, and return the hosts that were verified."""
    bucket = {"key": INDEX, "doc_count": 1, "first": {"value": 1}, "last": {"value": 1}, "head": {"value": 1},
              "heads": {"value": 1}}  # fmt: skip
    index = retention_policy.parse(bucket)
    assert index is not None
    found: list[str] = []

    def judged(_: Keeper, host: str, *__: object) -> tuple[str, None]:
        found.append(host)
        return "", None

    class Taken:
        indices = (INDEX,)

    monkeypatch.setattr(retention, "survey", lambda *_: [index])
    monkeypatch.setattr(retention, "_judged", judged)
    monkeypatch.setattr(retention.snapshots, "listed", lambda *_: [])
    monkeypatch.setattr(retention.snapshots, "take", lambda *_: Taken)
    monkeypatch.setattr(
        retention_policy, "plan", lambda *_, **__: [Verdict(index=INDEX, host="gpu-1", goes=True, why="old")]
    )
    return found


def keeper(store: Store, folder: Path) -> Keeper:
    return Keeper(store=store, pki=folder, keys=folder, repository="disk")  # type: ignore[arg-type]


def test_all_is_verified_once_and_takes_nothing_while_it_is_asked_about(
    store: Store, verified: list[str], tmp_path: Path
) -> None:
    said: list[str] = []

    def agree(planned: Result) -> bool:
        assert [it.goes for it in planned.indices] == [True]
        assert store.blocked
        return True

    found = retention.retain(keeper(store, tmp_path), 2, apply=True, say=said.append, agree=agree)
    assert ([it.goes for it in found.indices], verified, said) == ([True], ["gpu-1"], ["gpu-1: checking 1 days"])
    assert store.asked[-1] == f"DELETE /{INDEX}"


def test_a_no_and_no_answer_remove_nothing(store: Store, verified: list[str], tmp_path: Path) -> None:
    def nobody(_: Result) -> bool:
        raise Refused("nobody answered")

    retention.retain(keeper(store, tmp_path), 2, apply=True, agree=lambda _: False)
    with pytest.raises(Refused):
        retention.retain(keeper(store, tmp_path), 2, apply=True, agree=nobody)
    assert not [it for it in store.asked if it.startswith("DELETE")]
    assert store.asked[-1] == f"PUT /{INDEX}/_settings"  # it takes documents again
    retention.retain(keeper(store, tmp_path), 2, apply=False)
    assert len(verified) == 3


def test_what_is_only_shown_is_not_blocked(store: Store, verified: list[str], tmp_path: Path) -> None:
    retention.retain(keeper(store, tmp_path), 2, apply=False)
    assert (store.asked, verified) == ([], ["gpu-1"])
