"""Events from a pipe into a trail: in groups, each acknowledged when it is on the disk; heartbeats in between."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable

from dualtrack.security.audit.verify import HEARTBEAT_NS
from dualtrack.security.audit.writer import Writer

#: Bytes that are read at once, and what a line may hold in memory before it is taken as it is.
BLOCK, LONGEST = 1 << 20, 16 << 20
#: Seconds between two looks at the clock when nothing comes.
TICK_S = 1.0


def follow(
    source: int, writer: Writer, label: Callable[[bytes], tuple[str, str]], *,
    safe: Callable[[int], None] = lambda _: None, stopped: Callable[[], bool] = lambda: False,
    heartbeat_ns: int = HEARTBEAT_NS,
) -> int:  # fmt: skip
    """Take each line of the file descriptor ``source`` as an event until its end; return how many there were.

    ``label`` says what kind of event a line is, and where it comes from. ``safe`` is told the number of the last record
    after each group is on the disk: who sends can forget what it sent before. What is read while the disk is busy waits
    in the pipe, so memory is bounded and the sender is slowed.
    """
    rest, count, beat = b"", 0, time.monotonic()
    while not stopped():
        ready, _, _ = select.select([source], [], [], TICK_S)
        data = os.read(source, BLOCK) if ready else b""
        ended = bool(ready) and not data
        *whole, rest = (rest + data).split(b"\n")
        if rest and (ended or len(rest) > LONGEST):
            whole, rest = [*whole, rest], b""
        for line in whole:
            writer.append(*label(line), line)
        count += len(whole)
        if whole:
            beat = time.monotonic()
        elif (time.monotonic() - beat) * 1e9 >= heartbeat_ns:
            writer.append("heartbeat", "audit")
            beat = time.monotonic()
        writer.commit()
        if whole:
            safe(writer.last)
        if ended:
            break
    return count
