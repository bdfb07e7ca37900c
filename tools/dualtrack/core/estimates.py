"""How long parallel tasks take: medians of former runs on this machine."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from dualtrack.core.errors import DualtrackError
from dualtrack.core.files import locked, read, write_atomically
from dualtrack.core.paths import cache_dir

#: So many runs of each kind of work are kept.
KEPT = 9

#: Kind of work, such as `up`, to task, to the seconds that its former runs took, the newest last.
History = dict[str, dict[str, list[float]]]


def _file() -> Path:
    return cache_dir() / "durations.json"


def _history(path: Path) -> History:
    """Return what a file says; nothing where it is damaged: it begins anew."""
    try:
        return read(path, History) or {}
    except DualtrackError:
        return {}


def medians(kind: str) -> dict[str, float]:
    """Return the median seconds of each task of a kind of work; empty where nothing is known, or can be read."""
    try:
        found = _history(_file())
    except (DualtrackError, OSError):
        return {}
    return {task: statistics.median(seconds) for task, seconds in found.get(kind, {}).items() if seconds}


def remember(kind: str, seconds: Mapping[str, float]) -> None:
    """Keep how long the tasks of a run took; an estimate is not worth an error."""
    import msgspec

    with contextlib.suppress(DualtrackError, OSError), locked(path := _file()):
        found = _history(path)
        known = found.setdefault(kind, {})
        for task, it in seconds.items():
            known[task] = [*known.get(task, []), round(it, 1)][-KEPT:]
        write_atomically(path, msgspec.json.encode(found))


def left(needs: Mapping[str, Sequence[str]], usual: Mapping[str, float], elapsed: Mapping[str, float]) -> float | None:
    """Return the seconds until the last task is done; None where a task's usual time is not known.

    ``needs`` has the tasks that are not done, and those that come before each; ``elapsed`` the seconds of those that
    run. One that takes longer than usual is expected to end now.
    """
    if not needs.keys() <= usual.keys():
        return None
    ends: dict[str, float] = {}

    def end(task: str) -> float:
        if task not in ends:
            begin = max((end(it) for it in needs[task] if it in needs), default=0.0)
            ends[task] = begin + max(0.0, usual[task] - elapsed.get(task, 0.0))
        return ends[task]

    return max(map(end, needs), default=0.0)


def line(done: int, total: int, seconds: float | None) -> str:
    """Return how far work is, such as `step 4 of 11, about 2 min left`; the step is the one that comes next."""
    step = f"step {min(done + 1, total)} of {total}"
    if seconds is None or done == total:
        return step
    amount = f"{max(5, 5 * round(seconds / 5))} s" if seconds < 90 else f"{round(seconds / 60)} min"
    return f"{step}, about {amount} left"
