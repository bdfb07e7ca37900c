"""Where in a text something may be: one pass over its bytes by Hyperscan, and windows around what was found.

Patterns are of bytes, broader than what is looked for, and none asks where a match begins (that and large classes of
characters make a pattern too large for Hyperscan). What is in a window is decided by `numbers` and `words`.
"""

from __future__ import annotations

import contextlib
import hashlib
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path

import hyperscan
import numpy as np
import numpy.typing as npt

from dualtrack.errors import DualtrackError
from dualtrack.files import write_atomically
from dualtrack.knowledge.pii import characters, words
from dualtrack.knowledge.pii.characters import EDGE, SEPARATORS
from dualtrack.paths import cache_dir

#: Digits in a row, with separators, that may be a number; fewer are looked for after words only.
FEWEST_DIGITS = 10
NUMBER, OTHER_DIGITS = 0, 1
#: Bytes of a window before the end of its first match and after that of its last one: 19 digits, each of a byte or of
#: four, with separators; for words, a word and what it names, or a name in a mail address.
REACH = {NUMBER: (128, 48), OTHER_DIGITS: (384, 64)}
REACH_OF_WORDS = (160, 288)
#: As far as a number goes on whose digits have much between them; and the last character, which may be an X.
LONGEST, ONE = 4096, 4


def union(sequences: Iterable[bytes]) -> bytes:
    """Return a pattern for any of some sequences of bytes: those that differ in the last byte alone become a class."""
    tails: dict[bytes, list[int]] = defaultdict(list)
    for it in sorted(set(sequences)):
        tails[it[:-1]].append(it[-1])
    heads: dict[bytes, list[bytes]] = defaultdict(list)
    for head, lasts in tails.items():
        heads[_class(lasts)].append(head)
    return b"(?:" + b"|".join(_any(found) + last for last, found in heads.items()) + b")"


def _any(heads: list[bytes]) -> bytes:
    if heads == [b""]:
        return b""
    return b"(?:" + b"|".join(b"".join(b"\\x%02x" % it for it in head) for head in heads) + b")"


def _class(found: list[int]) -> bytes:
    """Return a class of bytes, which are in order, by their ranges."""
    parts, first = [], 0
    for place in range(1, len(found) + 1):
        if place == len(found) or found[place] != found[place - 1] + 1:
            low, high = found[first], found[place - 1]
            parts.append(b"\\x%02x" % low if low == high else b"\\x%02x-\\x%02x" % (low, high))
            first = place
    return b"[" + b"".join(parts) + b"]"


@cache
def patterns() -> tuple[tuple[int, bytes], ...]:
    """Return patterns and their numbers: digits, and one for each family of words."""
    separators = (*SEPARATORS, *(chr(it) for it, to in characters.table().items() if to in "-./ ,()\n\x01"))
    gap = union(it.encode() for it in separators) + b"*"
    other = union(it.encode() for it in characters.digits())
    any_digit = union([*(it.encode() for it in characters.digits()), *(b"%d" % it for it in range(10))])
    mixed = [
        gap.join(other if place == number else any_digit for number in range(3)) for place in range(3)
    ]  # fmt: skip
    return (
        (NUMBER, b"[0-9](?:%b[0-9]){%d,}" % (gap, FEWEST_DIGITS - 1)),
        *((OTHER_DIGITS, it) for it in mixed),
        *((number, family.hint(any_digit)) for number, family in enumerate(words.FAMILIES, OTHER_DIGITS + 1)),
    )


@cache
def _database() -> hyperscan.Database:
    """Return the compiled patterns, from the cache where they are there: compiling takes most of a second."""
    numbers, expressions = zip(*patterns(), strict=True)
    key = hashlib.sha256(repr((version("hyperscan"), numbers, expressions)).encode()).hexdigest()[:16]
    try:
        found = hyperscan.loadb(_cached(key).read_bytes(), hyperscan.HS_MODE_BLOCK)
        found.scratch = hyperscan.Scratch(found)
    except (OSError, hyperscan.error):  # none yet, another processor's, damaged, or no place for a cache
        found = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        flags = [hyperscan.HS_FLAG_DOTALL | (hyperscan.HS_FLAG_CASELESS if it > OTHER_DIGITS else 0) for it in numbers]
        found.compile(expressions=expressions, ids=numbers, elements=len(numbers), flags=flags)
        with contextlib.suppress(OSError, DualtrackError):
            write_atomically(_cached(key), hyperscan.dumpb(found))
    return found


def _cached(key: str) -> Path:
    return cache_dir() / "hyperscan" / f"{key}.db"


@dataclass(frozen=True)
class Windows:
    """Windows of a text, put together and made plain, each between edges.

    ``raw`` are the windows as they are; ``starts`` is where each begins there, and ``places`` where it begins in the
    text, in bytes. ``kept`` is where each character of ``plain`` is in ``raw``; None where all are.
    """

    plain: str
    raw: str
    starts: list[int]
    places: list[int]
    kept: npt.NDArray[np.int64] | None

    @cached_property
    def _before(self) -> npt.NDArray[np.int64]:
        """How many bytes are before each character of ``raw``, and before its end."""
        codes = np.frombuffer(self.raw.encode("utf-32-le"), np.uint32)
        lengths = 1 + (codes > 0x7F) + (codes > 0x7FF) + (codes > 0xFFFF)
        return np.concatenate([[0], np.cumsum(lengths)])

    def bytes(self, start: int, end: int) -> tuple[int, int]:
        """Return where a part of ``plain``, which is not empty, is in the text, in bytes."""
        if self.kept is not None:
            start, end = int(self.kept[start]), int(self.kept[end - 1]) + 1
        number = bisect_right(self.starts, start) - 1
        first = self.places[number] - int(self._before[self.starts[number]])
        return first + int(self._before[start]), first + int(self._before[end])


def find(data: bytes) -> dict[int, Windows]:
    """Return the windows of each pattern that has any."""
    ends: dict[int, list[int]] = defaultdict(list)

    def found(number: int, _from: int, to: int, _flags: int, _context: object) -> None:
        ends[number].append(to)

    _database().scan(data, match_event_handler=found)
    return {number: _windows(data, number, places) for number, places in ends.items()}


def _windows(data: bytes, number: int, ends: list[int]) -> Windows:
    before, after = REACH.get(number, REACH_OF_WORDS)
    spans: list[list[int]] = []
    for end in ends:
        if spans and end - before <= spans[-1][1]:
            spans[-1][1] = max(spans[-1][1], end + after)
        else:
            spans.append([end - before, end + after])
    if number in REACH:
        spans = [_whole(data, *it) for it in spans]
    parts, starts, places, length = [""], [], [], 1
    for first, last in spans:
        first, last = boundary(data, max(first, 0)), boundary(data, min(last, len(data)))
        part = data[first:last].decode()
        parts.append(part)
        starts.append(length)
        places.append(first)
        length += len(part) + 1
    raw = EDGE.join([*parts, ""])
    plain, kept = characters.plain(raw, [it - 1 for it in starts])
    return Windows(plain, raw, starts, places, kept)


def _whole(data: bytes, first: int, last: int) -> list[int]:
    """Return a window with all of the digits that begin before it or go on after it, whatever is between them."""
    first, last = boundary(data, max(first, 0)), boundary(data, min(last, len(data)))
    before = data[boundary(data, max(0, first - LONGEST)) : first].decode()
    after = data[last : boundary(data, min(last + LONGEST, len(data)))].decode()
    first -= len(before[len(before.rstrip(_inside())) :].encode())
    last += len(after[: len(after) - len(after.lstrip(_inside()))].encode())
    return [first, last + ONE]


@cache
def _inside() -> str:
    """Return all characters that may be in a number: digits, separators, and what is invisible."""
    return (
        "".join(chr(it) for it, to in characters.table().items() if to in "0123456789-./ ,()\n\x01")
        + "0123456789"
        + SEPARATORS
    )


def boundary(data: bytes, place: int) -> int:
    """Return the next place at which a character begins."""
    while place < len(data) and data[place] & 0xC0 == 0x80:
        place += 1
    return place
