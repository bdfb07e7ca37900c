"""The drill's jobs: their mix, their results, and what is called lost."""

from __future__ import annotations

import itertools

import pytest

from dualtrack.lab.scenarios import jobs
from dualtrack.lab.scenarios.jobs import Job, Outcome, Verdict, expected, judge, mix

STEPS = 10
JOBS = [Job(number, 1, id=str(100 + number)) for number in range(1, 5)]
RIGHT = {job.number: str(expected(job.number, STEPS)) for job in JOBS}


def outcome(results: dict[int, str], queued: tuple[int, ...] = (), twice: tuple[int, ...] = ()) -> Outcome:
    return judge(JOBS, STEPS, results, queued=queued, twice=twice, starts=len(JOBS), states={"COMPLETED": 4})


def test_expected_is_the_sum_that_the_script_makes() -> None:
    assert expected(3, 4) == 3 * (1 + 2 + 3 + 4)
    assert expected(7, 0) == 0


@pytest.mark.parametrize(("count", "wide"), [(20, 4), (5, 5), (3, 0), (1, 1), (10, 3)])
def test_mix_has_as_many_wide_jobs_as_asked_for_evenly(count: int, wide: int) -> None:
    found = mix(count, wide)
    assert [job.number for job in found] == list(range(1, count + 1))
    assert [job.gpus for job in found].count(4) == wide
    places = [job.number for job in found if job.gpus == 4]
    assert len({b - a for a, b in itertools.pairwise(places)}) <= 1


def test_all_right() -> None:
    found = outcome(RIGHT)
    assert (found.right, found.lost, found.unfinished, found.verdict) == (4, (), (), "right")


@pytest.mark.parametrize(
    ("results", "queued", "twice", "lost", "unfinished", "verdict"),
    [
        # Still in the queue or at work when the timeout ended: nothing is lost.
        ({1: RIGHT[1], 2: RIGHT[2]}, (3, 4), (), (), (3, 4), "unfinished"),
        # Neither a result nor in the queue.
        ({1: RIGHT[1], 2: RIGHT[2], 3: RIGHT[3]}, (), (), (4,), (), "lost"),
        # Another result, whether it is in the queue again or not.
        (RIGHT | {2: "17"}, (2,), (), (2,), (), "lost"),
        (RIGHT | {3: ""}, (), (), (3,), (), "lost"),
        # Some of each: what is lost decides.
        ({1: RIGHT[1], 2: "17"}, (3,), (1,), (2, 4), (3,), "lost"),
        (RIGHT, (), (4, 4, 2), (), (), "twice"),
        ({}, (1, 2, 3, 4), (), (), (1, 2, 3, 4), "unfinished"),
        # Ended, with its node's epilogue still running.
        (RIGHT, (1,), (), (), (), "right"),
    ],
)
def test_judge(
    results: dict[int, str], queued: tuple[int, ...], twice: tuple[int, ...], lost: tuple[int, ...],
    unfinished: tuple[int, ...], verdict: Verdict,
) -> None:  # fmt: skip
    found = outcome(results, queued, twice)
    assert (found.lost, found.unfinished, found.verdict) == (lost, unfinished, verdict)
    assert found.twice == tuple(sorted(set(twice)))
    assert found.right + len(found.lost) + len(found.unfinished) == len(JOBS)


class Slurm(jobs.Cluster):
    """A cluster whose commands answer with what is written here."""

    def __init__(self, **answers: str) -> None:
        super().__init__(["control-1"], "now")
        self.answers = answers

    def ask(self, *command: str, timeout: float = 60) -> str:  # noqa: ARG002 - as it is called
        text = " ".join(command)
        return next(answer for part, answer in self.answers.items() if part in text)


def test_running_by_node_with_the_queue_under_no_name() -> None:
    cluster = Slurm(
        squeue="drill-1|RUNNING|spot-a\ndrill-2|PENDING|\nother|RUNNING|spot-a\ndrill-3|COMPLETING|spot-b\n"
    )
    assert cluster.running() == {"spot-a": ["1"], "": ["2", "3"]}


def test_outcome_knows_its_own_jobs_in_the_queue_only() -> None:
    """A job of an earlier drill with the same number is in the queue; ours has vanished."""
    cluster = Slurm(
        squeue="103\n999\n", results=f"1:{RIGHT[1]}\n2:{RIGHT[2]}\n", twice="2\n", starts="a\nb\nc\nd\ne\n",
        sacct="COMPLETED\nCOMPLETED\nRUNNING\nCANCELLED by 0\n",
    )  # fmt: skip
    found = cluster.outcome(JOBS, STEPS)
    assert (found.right, found.unfinished, found.vanished, found.twice, found.starts) == (2, (3,), (4,), (2,), 5)
    assert found.states == {"COMPLETED": 2, "RUNNING": 1, "CANCELLED": 1}
