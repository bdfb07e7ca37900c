"""The operator's short way to write many ends: `leaf1/[1-20] -- node[01-20]` (pure)."""

from __future__ import annotations

import itertools
import re

from dualtrack.core.errors import BadInput

BRACKET = re.compile(r"\[([^\]]*)\]")
#: More than any fabric has: a slip of the finger must not fill the memory.
MOST = 100_000


def expand(text: str) -> list[str]:
    """Return every text that ``text`` stands for; several brackets give all combinations, the last one fastest."""
    parts = BRACKET.split(text)
    if any(mark in part for part in parts[::2] for mark in "[]"):
        raise BadInput(f"{text!r} has a bracket too many", hint="a range is written [1-20] or [1,3,5]")
    choices = [[part] if number % 2 == 0 else _numbers(part, text) for number, part in enumerate(parts)]
    if (size := _size(choices)) > MOST:
        raise BadInput(f"{text!r} stands for {size} ends", hint=f"at most {MOST}")
    return ["".join(words) for words in itertools.product(*choices)]


def _numbers(inside: str, text: str) -> list[str]:
    """Return the numbers of one bracket; `01-20` keeps its zeros."""
    found: list[str] = []
    for part in inside.split(","):
        match = re.fullmatch(r"\s*(\d{1,6})(?:-(\d{1,6}))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not match or last < first or last - first >= MOST:
            raise BadInput(f"[{inside}] in {text!r} is not a range", hint="a range is written [1-20] or [1,3,5]")
        width = len(match[1]) if match[1].startswith("0") else 0
        found += [f"{number:0{width}d}" for number in range(first, last + 1)]
    return found


def _size(choices: list[list[str]]) -> int:
    size = 1
    for words in choices:
        size *= len(words)
    return size


def pairs(line: str) -> list[tuple[str, str]]:
    """Return the cables that a line `A -- B` stands for: both sides expanded, first to first, second to second."""
    sides = [side.strip() for side in line.split(" -- ")]
    if len(sides) != 2 or not all(sides):
        raise BadInput(f"{line!r} is not a cable", hint="write both ends: leaf1/7 -- spine1/1")
    left, right = (expand(side) for side in sides)
    if len(left) != len(right):
        raise BadInput(
            f"{line!r} has {len(left)} ends on the left and {len(right)} on the right",
            hint="both sides must be as many",
        )
    return list(zip(left, right, strict=True))
