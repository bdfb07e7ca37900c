"""Has llama.cpp look whether its clients are still there, where it would not look.

A part of the services on hosts with the role serving (`llamacpp_engine`), with nothing but Python. Whoever waits for a
whole answer is looked after by llama.cpp when nothing was answered to anybody for a second. While answers are streamed,
that never is so: what a client has given up is computed to its end, and keeps its slot from others. This program sees
such connections in the kernel's table (the client has closed, and the engine has not). Where one stays, it stops the
engine's process for a little more than that second: then each of them is looked at. Streams continue after it. That
is done every ten seconds at most.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

#: Seconds between two looks, between two stops, and of a stop: llama.cpp looks after a second.
LOOK_S, REST_S, STOP_S = 1.0, 10.0, 1.2
TABLE = Path("/proc/net/tcp")
#: Of a connection whose other end has closed (`TCP_CLOSE_WAIT`, include/net/tcp_states.h).
CLOSED_THERE = "08"
#: A process that has stopped cannot continue without another one: whatever ends this one, the engine continues.
STOP = 'trap "kill -CONT $1" EXIT; kill -STOP "$1"; sleep "$2"'


def parse(text: str, port: int) -> set[str]:
    """Return the connections to a port that their clients have closed, by their sockets' numbers (proc(5), net/tcp)."""
    rows = (line.split() for line in text.splitlines()[1:])
    here = f":{port:04X}"
    return {row[9] for row in rows if len(row) > 9 and row[1].endswith(here) and row[3] == CLOSED_THERE}


def nudge(process: int, seconds: float = STOP_S) -> None:
    """Stop a process for some seconds."""
    subprocess.run(["sh", "-c", STOP, "nudge", str(process), str(seconds)], check=False, timeout=seconds + 60)


class Watch:
    """Looks after an engine's connections. ``stop`` stops the engine for a moment."""

    def __init__(
        self, connections: Callable[[], set[str]], stop: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._connections, self._stop, self._clock = connections, stop, clock
        self._before: set[str] = set()
        self._last = float("-inf")

    def look(self) -> bool:
        """Look once; stop the engine where a connection is still there that was so before. Return whether it was."""
        now = self._connections()
        stays = self._before & now
        self._before = now
        if not stays or self._clock() - self._last < REST_S:
            return False
        self._stop()
        self._last, self._before = self._clock(), set()
        return True


def watch(port: int, process: int) -> None:
    """Look after an engine's connections from now on, in a thread of its own."""
    it = Watch(lambda: parse(TABLE.read_text(), port), lambda: nudge(process))

    def run() -> None:
        while True:
            time.sleep(LOOK_S)
            it.look()

    threading.Thread(target=run, daemon=True).start()
