"""What processes have in common that work until somebody ends them: signals, waiting, logging, one way out.

SIGTERM and Ctrl-C (SIGINT) ask a daemon to end: the round that it is in is brought to its end, and a wait is over at
once. The second of them ends the process at once: a round may take long where a service does not answer.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from dualtrack.core.errors import DualtrackError

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
#: Seconds between two rounds at least, however long one takes.
LEAST_S = 0.05
log = logging.getLogger("dualtrack")


class Daemon:
    """The asked-to-end state of this process; a context manager, for the main thread alone.

    A pipe is behind it, not a `threading.Event`: a signal's handler may interrupt the very code that holds the lock
    of such an event, and would wait for that lock for ever.
    """

    def __init__(self) -> None:
        self._stopped = False
        self._read, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Daemon:
        self._before = {it: signal.signal(it, self._asked) for it in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()
        os.close(self._read)
        os.close(self._write)

    def _asked(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as the system calls it
        self._restore()
        self.stop()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def stop(self) -> None:
        """End it, as a signal does."""
        if not self._stopped:
            self._stopped = True
            os.write(self._write, b"\n")

    def stopped(self) -> bool:
        """Tell whether it is to end."""
        return self._stopped

    def wait(self, seconds: float) -> bool:
        """Wait so many seconds, or until it is to end; return whether it is to end."""
        ended = select.poll()
        ended.register(self._read, select.POLLIN)
        ended.poll(max(0.0, seconds) * 1000)
        return self._stopped

    def rounds(self, every_s: float) -> Iterator[None]:
        """Yield once every so many seconds, the first time at once, until it is to end."""
        while not self._stopped:
            begin = time.monotonic()
            yield
            if self.wait(max(LEAST_S, every_s - (time.monotonic() - begin))):
                return


def run(work: Callable[[Daemon], object]) -> None:
    """Run a program that is nothing but a daemon: with a log on stderr. SystemExit where it ends by an error."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    with Daemon() as daemon:
        try:
            work(daemon)
        except DualtrackError as error:
            log.error("%s", error)
            raise SystemExit(int(error.code)) from None
