"""A line of progress on a terminal, for what takes longer than a second; nothing anywhere else."""

from __future__ import annotations

import sys
import time

_EVERY = 0.25  # seconds between two looks


class Progress:
    """Counts bytes; ``total`` is 0 where nobody knows it. Used as a context, so that the line goes at the end."""

    def __init__(self, verb: str, total: int = 0) -> None:
        self._verb, self._total, self._done = verb, total, 0
        self._begin = time.monotonic()
        self._next = self._begin + 1
        self._on = sys.stderr.isatty()
        self._shown = False

    def __call__(self, count: int) -> None:
        """Count ``count`` bytes more."""
        self._done += count
        if self._on and (now := time.monotonic()) >= self._next:
            self._next = now + _EVERY
            self._shown = True
            print(f"\r{line(self._verb, self._done, self._total, now - self._begin)}\033[K", end="", file=sys.stderr)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def line(verb: str, done: int, total: int, seconds: float) -> str:
    """Return what the line says: how much of how much, how fast, and how long it will take."""
    speed = done / seconds if seconds > 0 else 0.0
    if not total:
        return f"{verb} {size(done)}, {size(speed)}/s"
    left = (total - done) / speed if speed else 0.0
    return f"{verb} {size(done)} of {size(total)}, {size(speed)}/s, {max(0.0, left):.0f} s left"


def size(count: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
