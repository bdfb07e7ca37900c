"""In which order units run, and which no longer fit into a run with a time limit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from ci.gate.units import PARTS, Unit

from dualtrack.core.files import locked, write_atomically

#: How long a unit that was started in time may overrun the limit, in seconds, before it is stopped.
GRACE_S = 600.0
#: What a unit is expected to take, in seconds, if neither it nor any other unit of its part was ever timed.
UNKNOWN_S = 600.0
#: How many runs in succession may leave a unit out. The next one starts it, and fails if it is left out again.
ALLOWED = 2


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A run's time limit.

    ``deadline`` is the time, as time.monotonic() counts it, by which all units should have ended. ``first`` names the
    units that earlier runs left out: they run first. ``overdue`` names those of them that `ALLOWED` runs in succession
    left out: they start whatever their usual time is. ``rotation`` decides which story is the first of its part.
    """

    deadline: float
    first: frozenset[str] = frozenset()
    overdue: frozenset[str] = frozenset()
    rotation: int = 0


class Schedule:
    """The queue of one run.

    ``timed`` maps units to the seconds that they took on this machine; ``listed`` to the seconds that are committed,
    which another machine measured: they are scaled by how long the units that have ended took here.
    """

    def __init__(
        self, units: Sequence[Unit], *, listed: Mapping[str, float], timed: Mapping[str, float],
        limit: Limit | None = None, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._listed, self._timed, self._limit, self._clock = listed, timed, limit, clock
        self._spent = self._planned = 0.0
        self.waiting = ordered(units, {**listed, **timed}, limit)

    def next(self) -> Unit | None:
        """Take the first unit that is overdue or whose usual time still fits; None if there is none, or no time."""
        for place, unit in enumerate(self.waiting):
            if self._limit is None or self._fits(unit, self._limit):
                return self.waiting.pop(place)
        return None

    def _fits(self, unit: Unit, limit: Limit) -> bool:
        return self._clock() + (0.0 if unit.id in limit.overdue else self.usual(unit)) <= limit.deadline

    def usual(self, unit: Unit) -> float:
        """Return how many seconds a unit usually takes."""
        if unit.id in self._timed:
            return self._timed[unit.id]
        peers = [seconds for name, seconds in self._listed.items() if name.startswith(f"{unit.part}:")]
        return self._listed.get(unit.id, max(peers, default=UNKNOWN_S)) * self.pace

    @property
    def pace(self) -> float:
        """How many times as long as listed the units of this run took; 1 before any has ended."""
        return self._spent / self._planned if self._planned else 1.0

    def ended(self, unit: Unit, seconds: float) -> None:
        """Learn how long a unit took."""
        if unit.id in self._listed:
            self._spent += seconds
            self._planned += self._listed[unit.id]

    @property
    def overrun(self) -> bool:
        """Whether the units that still run have had their time, and are to be stopped."""
        return self._limit is not None and self._clock() > self._limit.deadline + GRACE_S


def ordered(units: Sequence[Unit], seconds: Mapping[str, float], limit: Limit | None) -> list[Unit]:
    """Return units in the order in which they start.

    Without a limit, the longest is first, so that none is left over alone at the end; one that was never timed may be
    the longest. With a limit, what earlier runs left out is first, then the parts follow in their order, so that what
    is cheapest and finds most has run when time is up; in which order the stories come changes with the commit.
    """

    def length(unit: Unit) -> float:
        return -seconds.get(unit.id, math.inf)

    if limit is None:
        return sorted(units, key=length)
    stories = sorted(unit.id for unit in units if unit.part == "e2e")
    turn = {name: (place - limit.rotation) % len(stories) for place, name in enumerate(stories)}
    return sorted(
        units,
        key=lambda unit: (
            unit.id not in limit.overdue,
            unit.id not in limit.first,
            PARTS.index(unit.part), turn.get(unit.id, 0), length(unit)
        ),
    )  # fmt: skip


def rotation(commit: str) -> int:
    """Return the number that a commit's digest is; 0 if there is no commit."""
    return int(commit or "0", 16)


class LeftOut:
    """The units that no run has made up for yet, kept in ``file``; one that cannot be read is empty.

    A run adds what it left out before it writes anything else, and takes away what passed after all else is written: a
    run that is killed in between, or meets a full disk, forgets no unit. Runs of several checkouts share the file.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def load(self) -> dict[str, int]:
        """Return how many runs in succession left out each unit."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=dict[str, int])
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return {}

    def overdue(self) -> frozenset[str]:
        """Return the units that the next run starts whatever their usual time is."""
        return frozenset(name for name, runs in self.load().items() if runs >= ALLOWED)

    def add(self, names: Iterable[str]) -> dict[str, int]:
        """Count that a run left out these units; return those that more than `ALLOWED` runs in succession left out."""
        with locked(self._file):
            now = self.load()
            added = {name: now.get(name, 0) + 1 for name in names}
            self._save({**now, **added})
        return {name: runs for name, runs in added.items() if runs > ALLOWED}

    def remove(self, names: Iterable[str]) -> None:
        """Forget units that passed."""
        with locked(self._file):
            now, gone = self.load(), set(names)
            if gone & now.keys():
                self._save({name: runs for name, runs in now.items() if name not in gone})

    def _save(self, counts: Mapping[str, int]) -> None:
        write_atomically(self._file, msgspec.json.encode(dict(sorted(counts.items()))))
