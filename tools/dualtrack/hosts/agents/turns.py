"""Shares a model's time out fairly: by caller, then by request, a bounded piece of work at a time.

A part of the service `triton_engine` on hosts with the role serving, with nothing but Python. Work is counted in units,
here estimated tokens. At most ``room`` units are with the model at once, so whoever comes next waits for that much work
and for one piece of each caller before it, however much one request brings.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

#: Pieces of one request that are with the model, or ready to be: one runs while the next is prepared.
AT_ONCE = 2
#: Of a text: bytes of a token (English has four and more, Chinese three), and its two ends. Punctuation alone has
#: one byte: a piece is at most three times as long as it should be then.
BYTES_OF_A_TOKEN, ENDS = 3, 2
T = TypeVar("T")
R = TypeVar("R")


class Gone(Exception):
    """Nobody waits for the answer any more."""


def tokens(text: str, most: int) -> int:
    """Return how many tokens a text has about, at most ``most``: a longer one is refused by the model."""
    return min(most, len(text.encode()) // BYTES_OF_A_TOKEN + ENDS)


def pieces(sizes: Sequence[int], count: int, room: int) -> list[slice]:
    """Return texts of these sizes in pieces of at most ``count`` texts, and of ``room`` units where more than one."""
    found: list[slice] = []
    begin = used = 0
    for number, size in enumerate(sizes):
        if number > begin and (number - begin == count or used + size > room):
            found.append(slice(begin, number))
            begin, used = number, 0
        used += size
    return [*found, slice(begin, len(sizes))] if sizes else found


class _Waiting:
    """A piece that waits for its turn."""

    def __init__(self, units: int) -> None:
        self.units = units
        self.turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Turns:
    """Who is next. Of one event loop alone."""

    def __init__(self, room: int) -> None:
        """Have room for so many units at once."""
        self.room, self.used = max(1, room), 0
        #: By caller, and by request: the first of each is next, and goes to the end then.
        self.waiting: OrderedDict[str, OrderedDict[object, deque[_Waiting]]] = OrderedDict()

    @contextlib.asynccontextmanager
    async def turn(self, caller: str, request: object, units: int) -> AsyncIterator[None]:
        """Wait for a turn of so many units, and have it until the block ends."""
        it = _Waiting(min(units, self.room))
        self.waiting.setdefault(caller, OrderedDict()).setdefault(request, deque()).append(it)
        self._hand_out()
        try:
            await it.turn
            yield
        finally:
            if it.turn.done() and not it.turn.cancelled():
                self.used -= it.units
            else:
                self._forget(caller, request, it)
            self._hand_out()

    def _forget(self, caller: str, request: object, it: _Waiting) -> None:
        with contextlib.suppress(KeyError, ValueError):  # it was passed over already
            self.waiting[caller][request].remove(it)
            self._tidy(caller, request)

    def _tidy(self, caller: str, request: object) -> None:
        if not self.waiting[caller][request]:
            del self.waiting[caller][request]
        if not self.waiting[caller]:
            del self.waiting[caller]

    def _hand_out(self) -> None:
        while self.waiting:
            caller, requests = next(iter(self.waiting.items()))
            request, mine = next(iter(requests.items()))
            if mine[0].turn.cancelled():
                mine.popleft()
                self._tidy(caller, request)
                continue
            # Nobody is passed over for being large: that one would wait for ever.
            if self.used and self.used + mine[0].units > self.room:
                return
            it = mine.popleft()
            requests.move_to_end(request)
            self.waiting.move_to_end(caller)
            self._tidy(caller, request)
            self.used += it.units
            it.turn.set_result(None)


async def shared(
    turns: Turns, caller: str, work: Sequence[tuple[int, T]], do: Callable[[T], Awaitable[R]], gone: Callable[[], bool]
) -> list[R]:
    """Do all pieces of a request, each with its units, in turns; return what came of them, in order.

    Gone once nobody waits for it any more: what has not begun is not begun then, and so it is when a piece fails.
    """
    request = object()
    found: dict[int, R] = {}
    left = iter(enumerate(work))

    async def some() -> None:
        for number, (units, piece) in left:
            async with turns.turn(caller, request, units):
                if gone():
                    raise Gone
                found[number] = await do(piece)

    tasks = [asyncio.ensure_future(some()) for _ in range(min(AT_ONCE, len(work)))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for it in tasks:
            it.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return [found[number] for number in range(len(work))]
