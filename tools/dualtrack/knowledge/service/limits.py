"""How much one person may ask: questions in a minute, evenly, and answers that are made at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

#: Seconds' worth of questions that may come at once.
BURST_S = 10.0


class Limit:
    """One bucket for each person; people are few, and named by the operator."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = per_minute / 60, clock
        self._most = max(1.0, self._rate * BURST_S)
        self._left: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, name: str) -> float:
        """Count a question; return 0, or the seconds after which one is allowed again (it is not counted then)."""
        with self._lock:
            now = self._clock()
            left, seen = self._left.get(name, (self._most, now))
            left = min(self._most, left + (now - seen) * self._rate)
            if left < 1:
                self._left[name] = (left, now)
                return (1 - left) / self._rate
            self._left[name] = (left - 1, now)
            return 0.0


class Places:
    """Places for what is made at once: some in all, and fewer for one person. Used by one thread, the event loop's."""

    def __init__(self, most: int, each: int) -> None:
        self._most, self._each = most, each
        self._taken: dict[str, int] = {}

    def take(self, name: str) -> str:
        """Take a place, which `free` gives back; return why there is none: `each`, `most`, or nothing where it is."""
        if self._taken.get(name, 0) >= self._each:
            return "each"
        if sum(self._taken.values()) >= self._most:
            return "most"
        self._taken[name] = self._taken.get(name, 0) + 1
        return ""

    def free(self, name: str) -> None:
        """Give a place back."""
        self._taken[name] -= 1
        if not self._taken[name]:
            del self._taken[name]
