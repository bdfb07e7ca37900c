"""What came of the attacks that a test tries: rows of `dualtrack drill audit` (dualtrack/lab/scenarios/collect.py)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ROOT, ADMIN, THIEF = "root on the host", "the store's administrator", "a thief"
CONTROLLER = "whoever has the controller's certificate"


class Tried:
    """The attacks of one test, told to its report."""

    def __init__(self, tell: Callable[[str, object], None]) -> None:
        self.tell = tell

    @contextmanager
    def attack(self, who: str, what: str, came: str, by: str) -> Iterator[None]:
        """Time the block, which holds what prevents or finds the attack, and asserts that it did."""
        begin = time.monotonic()
        outcome = "missed"
        try:
            yield
            outcome = came
        finally:
            seconds = time.monotonic() - begin
            row = {"who": who, "what": what, "outcome": outcome, "by": by, "seconds": seconds}
            self.tell("attack", row)
