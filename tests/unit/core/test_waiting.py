"""Waits: they last as long as there is progress, and say what they waited for."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from dualtrack.core import proc, waiting
from dualtrack.core.errors import BadInput, Exit, External, Interrupted


class Time:
    """A clock that only `pause` moves, and what happens meanwhile."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds

    def wait(
        self, condition: Callable[[], object], *, progress: Callable[[], object] | None = None,
        last: Callable[[], object] | None = None, stall: float = 10, limit: float | None = None, slow: float = 1,
    ) -> object:  # fmt: skip
        return waiting.until(
            condition, "the kettle", stall=stall, limit=limit, progress=progress, last=last, hint="look at it",
            interval=1, clock=self, pause=self.pause, slow=lambda: slow,
        )  # fmt: skip


def test_value_of_the_condition_is_returned_at_once() -> None:
    time = Time()
    assert time.wait(lambda: "hot") == "hot"
    assert time.now == 1000


def test_without_progress_it_gives_up_after_the_stall() -> None:
    time = Time()
    with pytest.raises(waiting.GaveUp, match=r"^waited 11 s for the kettle \(look at it\)$") as error:
        time.wait(lambda: False)
    assert (error.value.seconds, error.value.code) == (11, Exit.EXTERNAL)
    assert isinstance(error.value, External)


def test_progress_begins_the_stall_anew() -> None:
    time = Time()
    # Something moves every 8 s: slower than that, 10 s without it would have ended the wait.
    assert time.wait(lambda: time.now >= 1100, progress=lambda: time.now // 8)


def test_progress_that_ends_is_told_with_the_last_observation() -> None:
    time = Time()
    with pytest.raises(waiting.GaveUp, match=r"waited 6[0-4] s .*, with no progress for 10 s; last seen: 50 degrees"):
        time.wait(lambda: False, progress=lambda: min(time.now, 1050), last=lambda: "50 degrees")


def test_progress_without_end_meets_the_limit() -> None:
    time = Time()
    with pytest.raises(waiting.GaveUp, match=r"waited 10[0-3] s for the kettle, which still made progress"):
        time.wait(lambda: False, progress=time, limit=100)


def test_a_machine_that_is_five_times_slower_gets_five_times_the_time() -> None:
    time = Time()
    with pytest.raises(waiting.GaveUp) as error:
        time.wait(lambda: False, slow=5)
    assert 50 < error.value.seconds < 54


def test_what_came_while_the_waiting_process_was_stopped_counts() -> None:
    time = Time()
    waiting.until(
        lambda: time.now > 4000, "the kettle", stall=10, limit=20, clock=time, pause=lambda _: time.pause(3600)
    )


def test_long_wait_looks_less_and_less_often() -> None:
    time, looks = Time(), []

    def ready() -> bool:
        looks.append(time.now)
        return time.now >= 1150

    time.wait(ready, progress=time)
    pauses = [after - before for before, after in itertools.pairwise(looks)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (1, waiting.PAUSE_S)
    assert all(
        pause < 0.001 + max(1, waiting.PAUSE_SHARE * (at - 1000)) for at, pause in zip(looks, pauses, strict=False)
    )


def test_stop_ends_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc, "_stopping", type(proc._stopping)())
    proc._stopping.set()
    with pytest.raises(Interrupted):
        waiting.until(lambda: False, "nothing", stall=60)


def test_exception_of_the_condition_ends_the_wait() -> None:
    def broken() -> bool:
        raise External("the host does not stay up")

    with pytest.raises(External, match="does not stay up"):
        Time().wait(broken)


def test_slowness_is_never_below_one_nor_without_bound() -> None:
    assert 1 <= waiting.slowness() <= waiting.SLOWEST


def test_setting_multiplies_every_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALTRACK_PATIENCE", "2.5")
    with pytest.raises(waiting.GaveUp) as error:
        Time().wait(lambda: False)
    assert 25 < error.value.seconds < 29


@pytest.mark.parametrize("text", ["", "much", "0", "-1", "nan"])
def test_setting_that_is_no_number_is_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("DUALTRACK_PATIENCE", text)
    with pytest.raises(BadInput, match="DUALTRACK_PATIENCE"):
        Time().wait(lambda: False)
