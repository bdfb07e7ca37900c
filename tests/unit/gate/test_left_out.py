"""What a time limit left out is not forgotten: not by a full disk, not by a kill, and not run after run."""

from __future__ import annotations

import errno
import heapq
import os
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from ci.gate import __main__ as gate_main
from ci.gate import report
from ci.gate.report import Outcome
from ci.gate.schedule import ALLOWED, GRACE_S, LeftOut, Limit, Schedule
from ci.gate.units import PARTS, Unit
from hypothesis import given

from dualtrack.core import directory_handles

UNITS = [Unit(part=part, name=name, command=("true",)) for part in PARTS for name in "abc"]
NAMES = [it.id for it in UNITS]
LIMIT_S = 4500.0


def outcome(name: str, state: str) -> Outcome:
    part, _, rest = name.partition(":")
    return Outcome(part, rest, state, 1.0, 1.0, "none", (), time.time())


def outcomes(**names: list[str]) -> list[Outcome]:
    """Return outcomes, given the units of each state."""
    return [outcome(name, state.replace("_", " ")) for state, units in names.items() for name in units]


@pytest.fixture
def kept(tmp_path: Path) -> LeftOut:
    return LeftOut(tmp_path / "deep/left-out.json")


def conclude(kept: LeftOut, found: list[Outcome], finish: Callable[[], int] = lambda: 0) -> int:
    return gate_main.conclude(found, kept, finish)


def test_units_are_counted_until_they_pass(kept: LeftOut, tmp_path: Path) -> None:
    assert kept.load() == {}
    assert conclude(kept, outcomes(passed=["unit:a"], not_run=["e2e:a", "e2e:b"])) == 0
    assert conclude(kept, outcomes(failed=["e2e:b"], not_run=["e2e:a", "e2e:c"]), lambda: 1) == 1
    assert kept.load() == {"e2e:a": 2, "e2e:b": 1, "e2e:c": 1}
    assert kept.overdue() == {"e2e:a"}
    assert conclude(kept, outcomes(passed=["e2e:a"], cached=["e2e:b"])) == 0
    assert kept.load() == {"e2e:c": 1}
    for text in (b"{", b'["e2e:a"]', b"\xff", b'{"e2e:a":"x"}'):
        (tmp_path / "deep/left-out.json").write_bytes(text)
        assert kept.load() == {}


def test_a_unit_that_is_left_out_once_more_makes_the_run_fail(
    kept: LeftOut, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = [conclude(kept, outcomes(passed=["unit:a"], not_run=["e2e:a"])) for _ in range(ALLOWED + 2)]
    assert codes == [0] * ALLOWED + [1, 1]
    said = capsys.readouterr().out
    assert f"left out of {ALLOWED + 1} runs in succession: e2e:a; run it alone: make test ONLY=e2e:a" in said


def test_a_run_in_which_nothing_ran_fails(kept: LeftOut) -> None:
    assert conclude(kept, outcomes(not_run=["unit:a"])) == 1


@dataclass
class Machine:
    """What a run does with units that take given times, on a clock of its own."""

    kept: LeftOut
    taken: dict[str, float]
    listed: dict[str, float]
    timed: dict[str, float]

    def run(self, rotation: int, late: float) -> tuple[set[str], int]:
        """Return which units were started, and the exit code."""
        now = [late]
        limit = Limit(deadline=LIMIT_S, first=frozenset(self.kept.load()), overdue=self.kept.overdue(),
                      rotation=rotation)  # fmt: skip
        schedule = Schedule(UNITS, listed=self.listed, timed=dict(self.timed), limit=limit, clock=lambda: now[0])
        running: list[tuple[float, str]] = []
        started, states = set(), {}
        while True:
            while len(running) < 3 and (unit := schedule.next()):
                started.add(unit.id)
                heapq.heappush(running, (now[0] + self.taken[unit.id], unit.id))
            if not running:
                break
            end, name = heapq.heappop(running)
            now[0] = end
            if schedule.overrun:  # as the gate does: what runs is stopped
                for it in (name, *(other for _, other in running)):
                    states[it] = "failed" if it in limit.first else report.NOT_RUN
                break
            states[name] = "passed"
            self.timed[name] = self.taken[name]
            schedule.ended(next(it for it in UNITS if it.id == name), self.taken[name])
        states |= {it.id: report.NOT_RUN for it in schedule.waiting}
        found = [outcome(name, state) for name, state in states.items()]
        assert sorted(it.id for it in found) == sorted(NAMES)
        return started, conclude(self.kept, found, lambda: int("failed" in states.values()))


lengths = st.one_of(st.floats(1, 600), st.floats(600, LIMIT_S), st.floats(LIMIT_S, 4 * LIMIT_S))
times = st.fixed_dictionaries(dict.fromkeys(NAMES, lengths))


@given(times, st.dictionaries(st.sampled_from(NAMES), lengths), st.integers(0, 2**32), st.floats(0, 1500))
def test_every_unit_is_started_within_three_runs_or_the_gate_is_red(
    taken: dict[str, float], listed: dict[str, float], seed: int, late: float
) -> None:
    turns = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(LeftOut(Path(folder) / "left-out.json"), taken, listed, {})
        idle = dict.fromkeys(NAMES, 0)
        for _ in range(7):
            started, code = machine.run(turns.randrange(9), late)
            idle = {name: 0 if name in started or code else runs + 1 for name, runs in idle.items()}
            assert max(idle.values()) <= ALLOWED, idle
            assert code in (0, 1)


@pytest.mark.parametrize("seconds", [LIMIT_S - 1, LIMIT_S + 1, LIMIT_S + GRACE_S - 1, LIMIT_S + GRACE_S + 1, 1e9])
def test_a_unit_that_fits_into_no_run_is_not_put_off_for_ever(kept: LeftOut, seconds: float) -> None:
    taken = {**dict.fromkeys(NAMES, 10.0), "e2e:a": seconds}
    machine = Machine(kept, taken, {}, {"e2e:a": seconds})
    runs = [machine.run(turn, 0.0) for turn in range(6)]
    started = ["e2e:a" in it for it, _ in runs]
    codes = [code for _, code in runs]
    assert any(started[: ALLOWED + 1])
    if seconds > LIMIT_S + GRACE_S:  # it was started, did not end, and is started again until somebody looks
        assert codes == [0] * ALLOWED + [1] * (6 - ALLOWED)
    else:
        assert codes == [0] * 6


class Killed(BaseException):
    """The end of the process."""


#: What writes: a temporary file, its mode, its content on the disk, and its name.
CALLS = [(directory_handles, "write"), (os, "fchmod"), (os, "fsync"), (os, "rename")]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), Killed()], ids=["full", "killed"])
@pytest.mark.parametrize("call", CALLS, ids=[name for _, name in CALLS])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_no_failure_of_a_write_forgets_what_was_left_out(
    kept: LeftOut, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    error: BaseException, call: tuple[Any, str], at: int,
) -> None:  # fmt: skip
    """The writes of a run, in order: what it left out, the report, what passed."""
    kept.add(["e2e:a", "e2e:b"])
    found = outcomes(passed=["e2e:a", "unit:a"], not_run=["e2e:b", "e2e:c"])
    target, name = call
    real, count = getattr(target, name), 0

    def failing(*words: Any, **named: Any) -> Any:
        nonlocal count
        count += 1
        if count == at + 1:
            raise error
        return real(*words, **named)

    monkeypatch.setattr(target, name, failing)
    run = tmp_path / "run"
    try:
        code = conclude(kept, found, lambda: gate_main.finish(found, run, 1.0, save=False))
    except Killed:
        code = None
    assert count >= at + 1
    monkeypatch.undo()
    now = kept.load()
    full = isinstance(error, OSError)
    assert now["e2e:b"] == (1 if at == 0 else 2)  # what was known stays known
    assert ("e2e:c" in now) == (at > 0)
    assert ("e2e:a" in now) == (at == 2 or not full)  # what passed is forgotten last
    if full:
        assert code == 1
        said = capsys.readouterr().out
        assert "No space left on device" in said
        assert "not run for lack of time" in said
    if (run / "run.json").exists():
        assert len(msgspec.json.decode((run / "run.json").read_bytes())["units"]) == len(found)
    assert (run / "run.json").exists() == (at == 2 or (full and at == 0))
    assert list(run.glob(".*")) == []
    # The next run leaves the same out, and nothing is in its way.
    conclude(kept, outcomes(not_run=["e2e:c"], passed=["e2e:a"]))
    assert set(kept.load()) == {"e2e:b", "e2e:c"}
