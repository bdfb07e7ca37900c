"""Retries: who decides how often and how long, and what ends them."""

from __future__ import annotations

import re

import pytest

from dualtrack.core import proc, s3
from dualtrack.core.errors import External
from dualtrack.core.retries import retried


class Passing(Exception):
    """A failure that passes."""


class Flaky:
    """A call that fails as it is told, and then returns."""

    def __init__(self, *failures: Exception) -> None:
        self.failures, self.calls = list(failures), 0

    def __call__(self) -> str:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return "there"


@pytest.fixture
def paused(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr(proc, "pause", waited.append)
    return waited


def test_a_failure_that_passes_is_tried_again_after_the_wait_that_was_asked_for(paused: list[float]) -> None:
    call = Flaky(Passing("one"), Passing("two"))
    seen: list[tuple[int, str]] = []

    def wait(tries: int, error: Passing) -> float:
        seen.append((tries, str(error)))
        return tries * 10.0

    assert retried(call, Passing, wait) == "there"
    assert (paused, seen) == ([10.0, 20.0], [(1, "one"), (2, "two")])


def test_another_failure_ends_the_tries_at_once(paused: list[float]) -> None:
    call = Flaky(Passing("one"), ValueError("a defect"), Passing("never seen"))
    with pytest.raises(ValueError, match="a defect"):
        retried(call, Passing, lambda *_: 1.0)
    assert (call.calls, paused) == (2, [1.0])


def test_the_wait_ends_the_tries_by_what_it_raises(paused: list[float]) -> None:
    def wait(tries: int, error: Passing) -> float:
        if tries == 3:
            raise error
        return 0.5

    call = Flaky(*(Passing(str(number)) for number in range(9)))
    with pytest.raises(Passing, match="2"):
        retried(call, Passing, wait)
    assert (call.calls, paused) == (3, [0.5, 0.5])


@pytest.mark.parametrize(("kind", "tries"), [(s3.Again, s3.TRIES), (s3.Tampered, 2)])
def test_s3_is_tried_as_often_as_the_failure_says(paused: list[float], kind: type[s3.Again], tries: int) -> None:
    call = Flaky(*(kind("s3://b/k: SlowDown") for _ in range(99)))
    with pytest.raises(External, match=re.escape(f"s3://b/k: SlowDown: {tries} tries (the same command continues")):
        s3.with_retries(call)
    assert call.calls == tries
    for number, seconds in enumerate(paused):
        longest = min(s3.LONGEST_S, 0.2 * 2**number)
        assert longest / 2 <= seconds <= longest
