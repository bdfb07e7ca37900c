"""Timeouts, for checks of what comes up on its own: daemons that were just started, volumes that a boot still opens."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TypeVar

from dualtrack.core import waiting

T = TypeVar("T")

#: How many times as long a check may take whose answer keeps changing: a check that is red shall say so soon.
CHANGING = 4


def settled(look: Callable[[], T], right: Callable[[T], bool], seconds: float = 30) -> T:
    """Return what ``look`` finds as soon as it is right; else what it found last, ``seconds`` after that changed."""
    found: list[T] = []

    def is_right() -> bool:
        found[:] = [look()]
        return right(found[0])

    with contextlib.suppress(waiting.GaveUp):
        waiting.until(
            is_right, "it", stall=seconds, limit=CHANGING * seconds * waiting.slowness(),
            progress=lambda: repr(found), interval=1, pause=time.sleep,
        )  # fmt: skip
    return found[0]
