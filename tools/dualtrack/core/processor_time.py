"""A limit on the processor time of a step whose input may be anything.

The clock would count other programs as well: on a busy machine a limit by the clock ends what is in order.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


class TooLong(Exception):
    """A step has used more processor time than it may."""


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise TooLong inside, once this process has used so many seconds of processor time. In the main thread only.

    What is written in C is left to its end first.
    """

    def ended(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as the system calls it
        raise TooLong(f"more than {seconds:g} s of processor time")

    before = signal.signal(signal.SIGPROF, ended)
    try:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def end_after(seconds: float) -> None:
    """End this process, by the kernel, after ``seconds`` more of processor time; 0 removes the limit.

    The kernel also interrupts code in C. SIGPROF must have its default action.
    """
    signal.setitimer(signal.ITIMER_PROF, seconds)
