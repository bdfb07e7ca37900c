"""The labelled sets of personal data: texts of many areas, and how well what was found in them is what is there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

#: The rules were changed after what the first set showed, and not after what the second one did.
SETS = ("labelled", "held-out")
PLACE = Path(__file__).parents[1] / "fixtures/pii"
#: Kinds that nobody promises: they are neither wanted nor wrong.
NEUTRAL = {"name", "address"}
#: Share of a value's letters and digits that must be found.
WHOLE = 0.8
_MARK = re.compile(r"⟦(\w+)\|(.*?)⟧")
Span = tuple[int, int]


@dataclass(frozen=True)
class Labelled:
    """A text of an area, and the personal data in it: kinds, starts and ends in characters."""

    area: str
    text: str
    spans: tuple[tuple[str, int, int], ...]


@dataclass
class Score:
    """How many values there are, are found, and were said to be some that are none."""

    wanted: int = 0
    found: int = 0
    said: int = 0
    wrong: int = 0

    def __str__(self) -> str:
        """Return the score as a row of a table has it."""
        right = self.said - self.wrong
        return f"{self.found} of {self.wanted} ({self.found / self.wanted:.0%}), {self.wrong} wrong" + (
            f" (precision {right / self.said:.0%})" if self.said else ""
        )


def labelled(name: str) -> list[Labelled]:
    """Return a set. A line is an area, a tab and a text, in which `⟦kind|value⟧` is a value."""
    found = []
    for line in (PLACE / f"{name}.tsv").read_text().splitlines():
        area, _, marked = line.partition("\t")
        text, spans, place = "", [], 0
        for it in _MARK.finditer(marked):
            text += marked[place : it.start()]
            spans.append((it[1], len(text), len(text) + len(it[2])))
            text += it[2]
            place = it.end()
        found.append(Labelled(area, text + marked[place:], tuple(spans)))
    return found


def places(text: str, values: Iterable[str]) -> list[Span]:
    """Return where values are in a text."""
    return [it.span() for value in set(values) if value for it in re.finditer(re.escape(value), text)]


def add(score: Score, it: Labelled, found: list[Span]) -> None:
    """Add to a score what was found in a text."""
    for kind, start, end in it.spans:
        if kind not in NEUTRAL:
            shown = [place for place in range(start, end) if it.text[place].isalnum()]
            covered = sum(any(first <= place < last for first, last in found) for place in shown)
            score.wanted += 1
            score.found += covered >= WHOLE * len(shown)
    for first, last in found:
        touched = {kind for kind, start, end in it.spans if first < end and last > start}
        if not touched or touched - NEUTRAL:
            score.said += 1
            score.wrong += not touched
