"""Calls that are made again after a failure that may pass. For a condition that is to come see `waiting.until`."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TypeVar

from dualtrack.core import proc

T = TypeVar("T")
E = TypeVar("E", bound=Exception)


def retried(
    call: Callable[[], T], failure: type[E], wait: Callable[[int, E], float],
    pause: Callable[[float], object] | None = None,
) -> T:  # fmt: skip
    """Return what ``call`` returns; after a ``failure`` it is made again.

    ``wait`` gets the number of tries so far and the failure. It returns the seconds until the next try, or raises what
    ends the tries: the failure itself, or an error that says how often and for how long it was tried. Every other
    exception of ``call`` ends them at once. Without ``pause`` Interrupted ends them when the program is stopped.
    """
    for tries in itertools.count(1):
        try:
            return call()
        except failure as error:
            seconds = wait(tries, error)
        (pause or proc.pause)(seconds)
    raise AssertionError("the tries do not end")
