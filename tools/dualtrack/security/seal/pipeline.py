"""Work on the pieces of a stream by several threads, in order and in bounded memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_HELD = 16 << 20  # bytes of pieces in work at most


@dataclass
class Piece:
    """One chunk on its way: ``size`` bytes of ``data``, the ``index``-th of its stream."""

    index: int
    final: bool
    size: int
    data: bytearray


class Buffers:
    """Buffers that go round, so that a stream of any length takes no more memory than what is in work."""

    def __init__(self, room: int) -> None:
        self.room = room
        self._free: deque[bytearray] = deque()

    def take(self) -> bytearray:
        """Return a free buffer, a new one when there is none."""
        return self._free.popleft() if self._free else bytearray(self.room)

    def give(self, buffer: bytearray) -> None:
        """Take a buffer back."""
        self._free.append(buffer)


def workers() -> int:
    """Return how many threads are worth having: one per processor that this process may use."""
    return len(os.sched_getaffinity(0))


def window(threads: int, room: int) -> int:
    """Return how many pieces may be in work at a time: two for each thread, within 16 MiB."""
    return max(2, min(2 * threads, _HELD // room))


def ordered(items: Iterable[T], work: Callable[[T], R], *, threads: int, ahead: int) -> Generator[R]:
    """Yield ``work(item)`` for each item, in order, with at most ``ahead`` of them begun and not yet taken.

    A result is yielded as soon as it is ready, not only when the window is full: a slow source is not held back. An
    error in ``work`` is raised when its turn comes, after all results before it.
    """
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="seal") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                while waiting and (len(waiting) >= ahead or waiting[0].done()):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for one in waiting:
                one.cancel()
