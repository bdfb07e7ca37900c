"""The spot drill's verdict, its timeout, and what it says and exits with."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from dualtrack.cli.drill import app
from dualtrack.cloud.pools.report import PoolsReport
from dualtrack.core.errors import External
from dualtrack.core.waiting import GaveUp
from dualtrack.lab.scenarios import spot
from dualtrack.lab.scenarios.jobs import Cluster, Job, Outcome, expected, judge

MONEY = PoolsReport(
    since=0,
    until=1,
    seen_hours=1,
    unseen_hours=0,
    rows=(),
    usd=None,
    usd_on_demand=None,
    saved=None,
    fallback_hours=0,
    fallback_extra=None,
    events=(),
    unreadable=0,
    prices=(),
)
JOBS = [Job(number, 1) for number in (1, 2, 3)]
RIGHT = {job.number: str(expected(job.number, 5)) for job in JOBS}


def outcome(results: dict[int, str], queued: tuple[int, ...] = (), twice: tuple[int, ...] = ()) -> Outcome:
    return judge(JOBS, 5, results, queued=queued, twice=twice, starts=3, states={})


def report(jobs: Outcome, gave_up: str = "") -> spot.SpotReport:
    return spot.SpotReport(
        jobs=jobs, verdict=jobs.verdict, gave_up=gave_up, seconds=498.0, reclaimed=(), timeline=(), money=MONEY
    )


@pytest.mark.parametrize(
    ("jobs", "gave_up", "code", "said"),
    [
        (outcome(RIGHT), "", 0, "3 of 3 jobs ended with the right result; none was lost"),
        # Observed: 18 of 20, and an error that read as if two had been lost; joining had taken 300 s.
        (outcome({1: RIGHT[1]}, (2, 3)), "waited 900 s for the end of all jobs", 4,
         "2 not lost, but not finished (in the queue or at work): 2, 3; none was lost"),
        (outcome(RIGHT), "waited 900 s for spot nodes that return", 4, "none was lost"),
        (outcome({1: RIGHT[1], 2: "17"}), "", 1,
         "1 lost: ended with a wrong result: 2; 1 lost: neither a result nor in the queue: 3"),
        (outcome({1: RIGHT[1]}, (3,)), "waited 900 s for the end of all jobs", 1, "1 lost: neither"),
        (outcome(RIGHT, twice=(2,)), "", 1, "1 ended twice: 2"),
    ],
)  # fmt: skip
def test_output_and_exit_code_say_which_it_is(
    monkeypatch: pytest.MonkeyPatch, jobs: Outcome, gave_up: str, code: int, said: str
) -> None:
    found = report(jobs, gave_up)
    assert said in found.headline
    assert ("none was lost" in found.headline) == (code != 1)
    monkeypatch.setattr(spot, "spot", lambda *_, **__: found)
    done = CliRunner().invoke(app, ["spot", "--json"])
    if isinstance(done.exception, External):
        assert "no work was lost" in str(done.exception)
        assert gave_up in str(done.exception)
    assert (int(done.exception.code) if isinstance(done.exception, External) else done.exit_code) == code


def test_what_a_guard_did_is_read_from_its_record() -> None:
    events = {"drained": {"after_s": 1}, "requeued": {"after_s": 2.5}, "jobs": {"value": ["7", "8"]}}
    assert spot.saved("spot-a", events) == spot.Saved(node="spot-a", drained_s=1.0, requeued_s=2.5, jobs=("7", "8"))
    assert spot.saved("spot-a", {}) == spot.Saved(node="spot-a", drained_s=None, requeued_s=None, jobs=())


class Steps(Cluster):
    """A cluster whose jobs make a step at each look, until they stop."""

    def __init__(self, stop: int) -> None:
        super().__init__((), "now")
        self.looks, self.stop = 0, stop

    def progress(self) -> str:
        self.looks += 1
        return str(min(self.looks, self.stop))

    def running(self) -> dict[str, list[str]]:
        return {"spot-a": ["1"]}


@pytest.fixture
def drill(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], spot.Drill]:
    """A drill on a cluster, with nobody to join, and a timeout of a second."""
    monkeypatch.setenv("DUALTRACK_PATIENCE", str(1 / spot.STALL_S))
    monkeypatch.setattr(spot.Drill, "join", lambda _: None)
    monkeypatch.setattr(spot.status, "status", lambda: spot.status.TracksStatus((), "emulator", "", "", ()))
    return lambda stop: spot.Drill(spot.SHORT, lambda _: None, Steps(stop))


def test_drill_waits_as_long_as_jobs_make_steps(drill: Callable[[int], spot.Drill]) -> None:
    it = drill(10_000)
    it.until(lambda: it.cluster.looks >= 4, "the end of all jobs")  # type: ignore[attr-defined]


def test_drill_that_stands_still_ends_with_what_it_saw(drill: Callable[[int], spot.Drill]) -> None:
    with pytest.raises(GaveUp, match=r"for the end of all jobs, with no progress for 1 s; last seen: jobs by node"):
        drill(2).until(lambda: False, "the end of all jobs")


def test_controllers_that_do_not_answer_for_a_while_do_not_end_the_drill(drill: Callable[[int], spot.Drill]) -> None:
    answers = iter([External("no controller"), None])

    def there() -> bool:
        if error := next(answers):
            raise error
        return True

    drill(10_000).until(there, "an answer")
