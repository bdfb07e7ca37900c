"""Patience, for checks of what comes by itself: daemons that were just started, volumes that a boot still opens."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def settled(look: Callable[[], T], right: Callable[[T], bool], seconds: float = 30) -> T:
    """Return what ``look`` finds, as soon as it is right, else what it found last, after ``seconds`` at most."""
    deadline = time.monotonic() + seconds
    while not right(found := look()) and time.monotonic() < deadline:
        time.sleep(1)
    return found
