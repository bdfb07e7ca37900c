"""Waiting for what happens outside this process, for as long as it makes progress.

A fixed number of seconds is too short on a busy machine and too long for what is dead. `until` therefore gives up
after a time without progress, where progress is any value that changes while work continues: the size of a console log,
the processor time of a host, the number of hosts that are done. That time is counted in seconds of an idle machine: a
machine with ten runnable processes on two cores needs five seconds for what takes one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

from dualtrack.core import proc
from dualtrack.core.errors import BadInput, External

T = TypeVar("T")

#: How much longer than on an idle machine a step may take at most, however long the queue for the processors is.
SLOWEST = 10.0
#: How long a condition is left alone between two looks, at most: as a share of the time waited so far, and in seconds.
#: To look costs processor time that what is waited for would need; a wait of a minute ends a few seconds late instead.
PAUSE_SHARE, PAUSE_S = 0.1, 3.0


class GaveUp(External):
    """The wait is over and what was waited for has not come; ``seconds`` is how long it took."""

    def __init__(self, message: str, seconds: float, *, hint: str = "") -> None:
        self.seconds = seconds
        super().__init__(message, hint=hint)


def slowness() -> float:
    """Return how many times as long as on an idle machine work takes now: runnable processes per core, 1 to SLOWEST.

    The load averages lag behind by a minute; the number of processes that are runnable now does not, but jumps. The
    larger of the two is taken, since waiting a little too long costs less than giving up on work that continues.
    """
    try:
        with open("/proc/loadavg", encoding="ascii") as file:  # noqa: PTH123 - several times a second
            minute, _, _, tasks, _ = file.read().split()
        runnable = max(float(minute), float(tasks.split("/")[0]))
    except (OSError, ValueError):
        return 1.0
    return min(SLOWEST, max(1.0, runnable / (os.cpu_count() or 1)))


def patience() -> float:
    """Return how many times as long as they would waits last, by the setting DUALTRACK_PATIENCE; 1 without it."""
    text = os.environ.get("DUALTRACK_PATIENCE", "1")
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1000:
        raise BadInput(f"DUALTRACK_PATIENCE={text!r} is not a number above 0", hint="2 doubles the time of every wait")
    return value


def until(
    condition: Callable[[], T],
    what: str,
    *,
    stall: float,
    limit: float | None = None,
    progress: Callable[[], object] | None = None,
    last: Callable[[], object] | None = None,
    hint: str = "",
    interval: float = 0.2,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], object] = proc.pause,
    slow: Callable[[], float] = slowness,
) -> T:
    """Return what ``condition`` returns as soon as that is true; Interrupted when the program is stopped meanwhile.

    GaveUp after ``stall`` seconds of an idle machine in which ``progress`` returned the same value, and after
    ``limit`` seconds of the clock in any case (20 times ``stall`` without it). Without ``progress``, the whole wait is
    one stall. The error says what was waited for (``what``, which reads on after "waited for"), for how long, and what
    ``last`` returned: the last observation. An exception of ``condition`` ends the wait. Both times are multiplied by
    the setting DUALTRACK_PATIENCE. ``interval`` is the first pause between two looks in seconds; later ones are longer.
    """
    stall, limit = stall * patience(), (limit or 20 * stall) * patience()
    begin = before = clock()
    idle, seen = 0.0, progress() if progress else None
    while not (value := condition()):
        now = clock()
        idle, before = idle + (now - before) / slow(), now
        if progress and (found := progress()) != seen:
            idle, seen = 0.0, found
        if idle > stall or now - begin > limit:
            raise GaveUp(_message(what, now - begin, idle > stall, stall, progress, last), now - begin, hint=hint)
        pause(max(interval, min(PAUSE_SHARE * (now - begin), PAUSE_S)))
    return value


def _message(
    what: str, seconds: float, stalled: bool, stall: float, progress: Callable[[], object] | None,
    last: Callable[[], object] | None,
) -> str:  # fmt: skip
    """Return the one line that says what a wait was for and how it ended."""
    text = f"waited {seconds:.0f} s for {what}"
    if progress:
        text += f", with no progress for {stall:.6g} s" if stalled else ", which still made progress"
    return text + (f"; last seen: {last()}" if last else "")
