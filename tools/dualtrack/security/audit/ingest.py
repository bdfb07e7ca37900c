"""Events from a pipe into a trail: in groups, each acknowledged when it is on the disk; heartbeats in between."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from dualtrack.security.audit.verify import HEARTBEAT_NS
from dualtrack.security.audit.writer import Writer

#: Bytes that are read at once, and what a line may hold in memory before it is taken as it is.
BLOCK, LONGEST = 1 << 20, 16 << 20
#: Seconds between two looks at the clock when nothing comes.
TICK_S = 1.0

#: What is recorded: the kind of an event, where it comes from, and what happened.
Event = tuple[str, str, bytes]


class Source(Protocol):
    """Makes events out of blocks of bytes."""

    def events(self, data: bytes, *, ended: bool) -> Sequence[Event]:
        """Return the events that are complete with the next block; ``ended``: no other one follows."""
        ...

    def position(self) -> bytes:
        """Return what a heartbeat says of how far the source was read."""
        ...


class Lines:
    """Each line is an event of one kind."""

    def __init__(self, kind: str, source: str) -> None:
        self._event, self._rest = (kind, source), b""

    def events(self, data: bytes, *, ended: bool) -> list[Event]:
        """Return the lines that are complete."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        if self._rest and (ended or len(self._rest) > LONGEST):
            whole, self._rest = [*whole, self._rest], b""
        return [(*self._event, line) for line in whole]

    def position(self) -> bytes:
        """Return nothing: whoever sends knows what it has sent."""
        return b""


def follow(
    handle: int, writer: Writer, source: Source, *, safe: Callable[[int], None] = lambda _: None,
    stopped: Callable[[], bool] = lambda: False, heartbeat_ns: int = HEARTBEAT_NS,
) -> int:  # fmt: skip
    """Record the events of the file descriptor ``handle`` until its end; return how many there were.

    ``safe`` is told the number of the last record after each group is on the disk: who sends can forget what it sent
    before. What is read while the disk is busy waits in the pipe, so memory is bounded and the sender is slowed.
    """
    count = 0
    while not stopped():
        ready, _, _ = select.select([handle], [], [], TICK_S)
        data = os.read(handle, BLOCK) if ready else b""
        ended = bool(ready) and not data
        events = source.events(data, ended=ended)
        for event in events:
            writer.append(*event)
        count += len(events)
        # By the writer's time: who follows a silent journal comes here anew long before a heartbeat is due.
        if not events and (time.monotonic() - writer.appended) * 1e9 >= heartbeat_ns:
            writer.append("heartbeat", "audit", source.position())
        writer.commit()
        if events:
            safe(writer.last)
        if ended:
            break
    return count
