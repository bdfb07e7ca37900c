"""Estimates: the longest way through the tasks, from medians; and no error when nothing is known."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from dualtrack.core import estimates, task_graph
from dualtrack.core.task_graph import Task

NEEDS = {"a": (), "b": ("a",), "c": ("a",), "d": ()}
USUAL = {"a": 10.0, "b": 20.0, "c": 5.0, "d": 25.0}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DUALTRACK_CACHE", str(tmp_path))
    return tmp_path / "durations.json"


@pytest.mark.parametrize(
    ("done", "elapsed", "expected"),
    [
        ((), {}, 30.0),
        ((), {"a": 4.0, "d": 4.0}, 26.0),
        (("a",), {"b": 15.0, "c": 1.0, "d": 15.0}, 10.0),
        (("a", "b", "c"), {"d": 99.0}, 0.0),
        (("a", "b", "c", "d"), {}, 0.0),
    ],
)
def test_the_longest_way_counts(done: tuple[str, ...], elapsed: dict[str, float], expected: float) -> None:
    needs = {name: it for name, it in NEEDS.items() if name not in done}
    assert estimates.left(needs, USUAL, elapsed) == expected


def test_nothing_is_said_of_what_is_not_known() -> None:
    assert estimates.left(NEEDS, {"a": 1.0}, {}) is None
    assert estimates.line(3, 11, None) == "step 4 of 11"
    assert estimates.line(3, 11, 118) == "step 4 of 11, about 2 min left"
    assert estimates.line(3, 11, 31) == "step 4 of 11, about 30 s left"
    assert estimates.line(3, 11, 0) == "step 4 of 11, about 5 s left"
    assert estimates.line(11, 11, 0) == "step 11 of 11"


def test_medians_are_of_the_newest_runs(cache: Path) -> None:
    for seconds in (100.0, *range(1, 10)):
        estimates.remember("up", {"a": seconds})
    assert estimates.medians("up") == {"a": 5.0}
    assert estimates.medians("down") == {}
    assert len(json.loads(cache.read_text())["up"]["a"]) == estimates.KEPT


@pytest.mark.parametrize("text", ["{", "[]", '{"up": {"a": "x"}}'])
def test_a_damaged_file_begins_anew(cache: Path, text: str) -> None:
    cache.write_text(text)
    assert estimates.medians("up") == {}
    estimates.remember("up", {"a": 2.0})
    assert estimates.medians("up") == {"a": 2.0}


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DUALTRACK_CACHE", str(tmp_path / "file"))
    estimates.remember("up", {"a": 2.0})
    assert estimates.medians("up") == {}


@pytest.mark.usefixtures("cache")
def test_a_second_run_says_how_long_it_will_take(capsys: pytest.CaptureFixture[str]) -> None:
    tasks = [Task("a", lambda _: None), Task("b", lambda _: time.sleep(0.1), needs=("a",))]
    task_graph.run(tasks, kind="test")
    first = capsys.readouterr().err
    task_graph.run(tasks, kind="test")
    second = capsys.readouterr().err
    assert ("step 2 of 2\n" in first, "left" in first) == (True, False)
    assert "step 2 of 2, about 5 s left" in second
    task_graph.run(tasks)
    assert "step" not in capsys.readouterr().err


@pytest.mark.usefixtures("cache")
def test_a_failed_run_is_not_counted() -> None:
    def fail(_: object) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        task_graph.run([Task("a", fail)], kind="test", quiet=True)
    assert estimates.medians("test") == {}
