"""An engine that leaves is in HAProxy's map and in its file, and not any more when it is back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dualtrack.hosts.agents import engine_leave
from dualtrack.hosts.agents.gateway import read_map
from tests.support.fake_haproxy import Haproxy


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[Haproxy]:
    it = Haproxy(tmp_path, ("leaving",))
    yield it
    it.end()


def change(folder: Path, name: str, *, leaving: bool) -> bool:
    return engine_leave.change(name, leaving=leaving, folder=folder, path=folder / "admin.sock")


def test_it_leaves_and_comes_back(tmp_path: Path, haproxy: Haproxy) -> None:
    for name, leaving, left in (
        ("a", True, {"a": "1"}), ("b", True, {"a": "1", "b": "1"}), ("a", True, {"a": "1", "b": "1"}),
        ("a", False, {"b": "1"}), ("a", False, {"b": "1"}), ("b", False, {}),
    ):  # fmt: skip
        assert change(tmp_path, name, leaving=leaving)
        assert haproxy.maps()["leaving"] == read_map(tmp_path / "leaving.map") == left


def test_without_haproxy_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_leave.change, "__kwdefaults__", {"folder": tmp_path, "path": tmp_path / "none"})
    waited: list[float] = []
    assert engine_leave.main(["leave", "a", "30"], waited.append) == 0
    assert (waited, read_map(tmp_path / "leaving.map")) == ([], {"a": "1"})  # the next HAProxy reads it


def test_who_leaves_waits_until_gateways_have_asked(
    tmp_path: Path, haproxy: Haproxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_leave.change, "__kwdefaults__", {"folder": tmp_path, "path": haproxy.path})
    waited: list[float] = []
    assert engine_leave.main(["leave", "a", "30"], waited.append) == 0
    assert waited == [30.0]
    haproxy.says = lambda _: "Permission denied\n\n"
    assert engine_leave.main(["back", "a"], waited.append) == 1


@pytest.mark.parametrize(
    "words", [[], ["leave", "a"], ["leave", "a b", "3"], ["leave", "a", "-3"], ["back", "A"], ["stay", "a"]]
)
def test_wrong_words(words: list[str]) -> None:
    assert engine_leave.main(words) == 2
