"""A run with a time limit: what starts in which order, what is left out, and what the next run makes up for.

The schedule is asked with a clock of the test; the gate itself runs real units.
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import hypothesis.strategies as st
import pytest
from ci.gate import report
from ci.gate.gate import Gate
from ci.gate.results import Result
from ci.gate.schedule import GRACE_S, UNKNOWN_S, Limit, Schedule, ordered, rotation
from ci.gate.units import PARTS, Unit
from hypothesis import given

from tests.conftest import ROOT
from tests.unit.gate.test_cache import Checkout


def unit(part: str, name: str = "x", command: str = "true") -> Unit:
    return Unit(part=part, name=name, command=("sh", "-c", command))


UNITS = [unit(part, name) for part in PARTS for name in "abc"]
NAMES = [it.id for it in UNITS]


@dataclass
class Clock:
    """A clock that the test moves."""

    now: float = 1000.0
    log: list[str] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now


lengths = st.dictionaries(st.sampled_from(NAMES), st.floats(1, 3000), max_size=len(NAMES))


@given(lengths, lengths, st.floats(0, 6000), st.sets(st.sampled_from(NAMES)), st.integers(0, 9), st.floats(0.3, 3))
def test_what_starts_fits_and_every_unit_is_accounted_for(
    listed: dict[str, float], timed: dict[str, float], room: float, first: set[str], turn: int, pace: float
) -> None:
    clock = Clock()
    limit = Limit(deadline=clock.now + room, first=frozenset(first), rotation=turn)
    schedule = Schedule(UNITS, listed=listed, timed=timed, limit=limit, clock=clock)
    started = []
    while it := schedule.next():
        assert clock.now + schedule.usual(it) <= limit.deadline
        started.append(it.id)
        taken = timed.get(it.id, listed.get(it.id, 50.0) * pace)
        clock.now += taken
        schedule.ended(it, taken)
    assert sorted([*started, *(it.id for it in schedule.waiting)]) == sorted(NAMES)
    assert all(clock.now + schedule.usual(it) > limit.deadline for it in schedule.waiting)


@given(st.sets(st.sampled_from(NAMES)), st.integers(0, 2**160), lengths)
def test_order_with_a_limit(first: set[str], turn: int, seconds: dict[str, float]) -> None:
    found = ordered(UNITS, seconds, Limit(deadline=0, first=frozenset(first), rotation=turn))
    assert {it.id for it in found[: len(first)]} == first
    for some in (found[: len(first)], found[len(first) :]):
        parts = [PARTS.index(it.part) for it in some]
        assert parts == sorted(parts)
        for part in PARTS[:-1]:
            known = [seconds[it.id] for it in some if it.part == part and it.id in seconds]
            assert known == sorted(known, reverse=True)


def test_each_story_is_the_first_one_at_some_commit() -> None:
    stories = [it for it in UNITS if it.part == "e2e"]
    assert {ordered(stories, {}, Limit(deadline=0, rotation=turn))[0].id for turn in range(3)} == {
        it.id for it in stories
    }
    assert rotation("ff") == 255
    assert rotation("") == 0


def test_without_a_limit_the_longest_is_first_and_all_start() -> None:
    schedule = Schedule(UNITS, listed={"unit:a": 5, "e2e:b": 900}, timed={})
    started = []
    while it := schedule.next():
        started.append(it.id)
    assert len(started) == len(UNITS)
    assert started[-2:] == ["e2e:b", "unit:a"]
    assert not schedule.overrun


def test_usual_time_follows_the_pace_of_this_machine() -> None:
    schedule = Schedule(UNITS, listed={"unit:a": 10, "unit:b": 30, "e2e:a": 100}, timed={"unit:c": 7})
    a, b, story = unit("unit", "a"), unit("unit", "b"), unit("e2e", "b")
    assert schedule.usual(b) == 30
    schedule.ended(a, 25)
    assert schedule.usual(b) == 75
    assert schedule.usual(unit("unit", "c")) == 7, "measured on this machine"
    assert schedule.usual(story) == 250, "the longest of its part"
    assert schedule.usual(unit("lint")) == UNKNOWN_S * 2.5


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def run(checkout: Checkout, units: list[Unit], limit: Limit, expected: dict[str, float]) -> tuple[Gate, list[str]]:
    said: list[str] = []
    gate = Gate(
        checkout.root, checkout.root.parent / f"run-{time.monotonic_ns()}", checkout.kept, environment="m",
        expected=expected, jobs=1, say=said.append, environ={"PATH": "/usr/bin:/bin"}, limit=limit,
    )  # fmt: skip
    gate.run(units)
    return gate, said


def states(gate: Gate) -> dict[str, str]:
    return {it.id: it.state for it in gate.outcomes}


def test_the_gate_lists_what_does_not_fit_with_the_age_of_its_last_pass(checkout: Checkout) -> None:
    checkout.kept.save("unit:old", Result(time.time() - 3 * 86400, 5000, 1, "none", "other", {}, (), "d"))
    units = [unit("unit", "short"), unit("unit", "old"), unit("e2e", "long")]
    expected = {"unit:short": 1.0, "unit:old": 1.0, "e2e:long": 1e6}
    gate, said = run(checkout, units, Limit(deadline=time.monotonic() + 600), expected)
    assert states(gate) == {"unit:short": "passed", "unit:old": report.NOT_RUN, "e2e:long": report.NOT_RUN}
    assert any("not run  unit:old" in line and "last passed 3 days ago" in line for line in said)
    assert any("not run  e2e:long" in line and "never passed here" in line for line in said)
    run_ = report.document(gate.outcomes, 1, "")
    assert report.counts(run_.units) == (1, 0)
    assert "unit:old (passed 3 days ago)" in report.left_out(run_)
    assert "e2e:long (never" in report.left_out(run_)
    assert report.table(run_).count("(not run)") == 2


@pytest.mark.parametrize(("first", "state"), [(frozenset(), report.NOT_RUN), (frozenset({"unit:hangs"}), "failed")])
def test_a_unit_that_overruns_is_stopped_and_fails_the_second_time(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, first: frozenset[str], state: str
) -> None:
    monkeypatch.setattr("ci.gate.schedule.GRACE_S", 0.0)
    # The unit starts while there is time left, and never ends.
    limit = Limit(deadline=time.monotonic() + 2, first=first)
    gate, _ = run(checkout, [unit("unit", "hangs", "while :; do :; done"), unit("unit", "next")], limit,
                  {"unit:hangs": 0.1, "unit:next": 0.0})  # fmt: skip
    assert states(gate) == {"unit:hangs": state, "unit:next": report.NOT_RUN}
    assert GRACE_S > 0


@pytest.mark.parametrize(
    "words",
    [("--limit", "0"), ("--limit", "nan"), ("--limit", "-1"), ("--limit", "inf"), ("--jobs", "0"), ("--jobs", "-3"),
     ("--limit", "5", "--since", "0")],
    ids=" ".join,
)  # fmt: skip
def test_a_run_in_which_nothing_could_run_is_refused(words: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "ci.gate", "lint:imports", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
