"""What one form of a mail's text has beside another one: compared line by line, a label together with its value."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence

from dualtrack.knowledge.parsing import labels
from dualtrack.knowledge.parsing.blocks import Block

#: Places of one line that are compared; a text beyond them counts as one that was not said.
MOST_PLACES = 64
#: Characters at the end of a line that may say what is in the next one.
LONGEST_BEFORE = 60
#: What programs put before a line that they write as plain text, and around words in it.
_ITEM = re.compile(r"\s*(?:[-*•·–>#]+\s+|[0-9]{1,3}[.)]\s+)+")
_MARKS = re.compile(r"[\s*_|]+")


class Said:
    """The lines that were said, each of which stands for one line of another form."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._free: list[bool] = []
        self._places: defaultdict[str, deque[int]] = defaultdict(deque)

    def add(self, blocks: Sequence[Block]) -> None:
        """Note what was said."""
        for block in blocks:
            for line in block.text.split("\n"):
                if said := _bare(line):
                    self._places[said].append(len(self._lines))
                    self._lines.append(said)
                    self._free.append(True)

    def new(self, blocks: Sequence[Block]) -> list[Block]:
        """Return the blocks that were not said: whole lines, at the same place as the label before them.

        A line that was said is there again where the next one was not, and may belong to it: `手机：139`, `12345678`.
        """
        lengths = sorted({len(it) for it in self._places}, reverse=True)
        found: list[Block] = []
        before: list[Block] = []
        for unit in _units(blocks):
            if self._has("".join(map(_of, unit)), lengths):
                before = unit if labels.has_word(unit[-1].text[-LONGEST_BEFORE:]) else []
            else:
                found += [*before, *unit]
                before = []
        return found

    def _has(self, said: str, lengths: list[int]) -> bool:
        """Tell whether lines that are free have a text from the begin of one to the end of one, and take these."""
        for length in lengths:
            if 0 < length <= len(said):
                places = self._places.get(said[:length]) or deque()
                while places and not self._free[places[0]]:
                    places.popleft()
                for at in itertools.islice(places, MOST_PLACES):
                    if end := self._end(said, at):
                        self._free[at:end] = [False] * (end - at)
                        return True
        return False

    def _end(self, said: str, at: int) -> int:
        """Return behind which line a text ends that begins with one; 0 where it does not."""
        while at < len(self._lines) and self._free[at] and said.startswith(self._lines[at]):
            said = said[len(self._lines[at]) :]
            at += 1
            if not said:
                return at
        return 0


def _units(blocks: Sequence[Block]) -> Iterator[list[Block]]:
    """Yield blocks, labels with what is behind them."""
    held: list[Block] = []
    for it in blocks:
        held.append(it)
        if not (it.text.rstrip().endswith((":", "：")) or labels.names_value(it.text)):
            yield held
            held = []
    if held:
        yield held


def _of(block: Block) -> str:
    return "".join(_bare(it) for it in block.text.split("\n"))


def _bare(line: str) -> str:
    """Return a line without what differs between its forms: blanks, case, marks of items and of bold text."""
    return _MARKS.sub("", _ITEM.sub("", unicodedata.normalize("NFKC", line), count=1)).casefold()
