"""How much one person may ask: so many questions a minute, evenly, and as many at once as in ten seconds."""

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
