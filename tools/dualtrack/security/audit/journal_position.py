"""How far the journal was read, and whether it has lost entries before they were: from the numbers of entries (pure).

journald numbers its entries with one counter, whichever file they go to: that of the system, or one for each user. Each
file has an id of its own in its entries' cursors. So the numbers of all entries together have no holes as long as
nothing is lost. Two things begin another count: after a power cut the system's file is put aside and the counter begins
anew; a user's file that survived then continues with its own numbers.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class JournalCursor:
    """A cursor's parts: file (`s`), number (`i`), boot (`b`) and microseconds since the boot (`m`)."""

    file: str
    number: int
    boot: str
    at: int


def parse(text: str) -> JournalCursor:
    """Return a cursor's parts; of a text that is not a cursor, empty ones."""
    parts = dict(part.partition("=")[::2] for part in text.split(";"))
    try:
        return JournalCursor(parts["s"], int(parts["i"], 16), parts["b"], int(parts["m"], 16))
    except (KeyError, ValueError):
        return JournalCursor("", 0, "", 0)


@dataclass(frozen=True)
class Step:
    """What an entry means: `seen`, `next`, a `jump` over ``missing`` numbers, or `restarted` (another count)."""

    kind: str
    missing: int = 0


class JournalPosition:
    """The last entry of each file, and the last one of all."""

    def __init__(self, cursor: str = "") -> None:
        self.cursor = cursor
        self._at = parse(cursor)
        self._last = {self._at.file: self._at.number} if cursor else dict[str, int]()

    def step(self, cursor: str) -> Step:
        """Return what an entry would mean, without taking it."""
        now = parse(cursor)
        if now.number <= self._last.get(now.file, -1):
            return Step("seen")
        if not self.cursor or now.number == self._at.number + 1:
            return Step("next")
        if now.number <= self._at.number:
            # An entry of a file that this process has not read yet, from before the position.
            before = now.boot == self._at.boot and now.at <= self._at.at and now.file not in self._last
            return Step("seen" if before else "restarted")
        if now.file not in self._last or now.number == self._last[now.file] + 1:
            return Step("restarted")
        return Step("jump", now.number - self._at.number - 1)

    def take(self, cursor: str) -> None:
        """Make an entry the last one that was read."""
        self.cursor, self._at = cursor, parse(cursor)
        self._last[self._at.file] = self._at.number
