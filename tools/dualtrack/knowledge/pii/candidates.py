"""Where in a text something may be: one pass over its bytes by Hyperscan, and windows around what was found.

Patterns are of bytes, broader than what is looked for, and none asks where a match begins (that and large classes of
characters make a pattern too large for Hyperscan). What is in a window is decided by `numbers` and `words`.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

import hyperscan
import numpy as np
import numpy.typing as npt

from dualtrack.errors import DualtrackError
from dualtrack.files import write_atomically
from dualtrack.knowledge.pii import characters, words
from dualtrack.knowledge.pii.characters import EDGE, SEPARATORS, Places
from dualtrack.paths import cache_dir

#: Digits in a row, with separators, that may be a number; fewer are looked for after words only.
FEWEST_DIGITS = 10
NUMBER, OTHER_DIGITS = 0, 1
#: A match is kept as one number: where it ends, and below that the number of its pattern.
_BITS = 6
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
        # Said once for each group of digits, not for each digit.
        (NUMBER, b"[0-9](?:%b[0-9]){%d,}(?:[^0-9]|\\z)" % (gap, FEWEST_DIGITS - 1)),
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
    """Windows of a text, put together between edges and made plain.

    ``plain`` and ``codes`` are their characters, ``hits`` where in them Hyperscan's matches for each family of words
    end. ``lines`` and ``places`` are where each window begins: among the bytes of all of them, and in the text;
    ``begins`` and ``ends`` where each character does, among the bytes of all windows.
    """

    plain: str
    codes: characters.Codes
    hits: dict[int, Places]
    lines: Places
    places: Places
    begins: Places
    ends: Places

    def bytes(self, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return where parts of ``plain``, which are not empty, are in the text, in bytes."""
        first, last = np.array(spans, np.int64).reshape(-1, 2).T
        begin, end = self.begins[first], self.ends[last - 1]
        number = np.searchsorted(self.lines, begin, "right") - 1
        moved = self.places[number] - self.lines[number]
        return list(zip((begin + moved).tolist(), (end + moved).tolist(), strict=True))


def find(data: bytes) -> Windows | None:
    """Return the windows around all that may be something, or None where there is nothing."""
    matches: list[int] = []

    def found(number: int, _from: int, to: int, _flags: int, _context: object) -> None:
        matches.append(to << _BITS | number)

    _database().scan(data, match_event_handler=found)
    if not matches:
        return None
    packed = np.array(matches, np.int64)
    numbers, ends = packed & (1 << _BITS) - 1, packed >> _BITS
    whole = _alone(np.frombuffer(data, np.uint8), numbers, ends)
    numbers, ends = numbers[whole], ends[whole]
    return _windows(data, numbers, ends) if len(ends) else None


def _alone(data: npt.NDArray[np.uint8], numbers: Places, ends: Places) -> npt.NDArray[np.bool_]:
    """Return which matches are no part of a longer word, of those that must not be one: most of them are."""
    length = _table("length")[numbers]
    before, after = ends - length - 1, np.minimum(ends, len(data) - 1)
    inside = (before >= 0) & _letters()[data[np.maximum(before, 0)]] | (ends < len(data)) & _letters()[data[after]]
    found: npt.NDArray[np.bool_] = (length == 0) | ~inside
    return found


@cache
def _letters() -> npt.NDArray[np.bool_]:
    """Return which bytes are letters or digits."""
    return np.array([chr(it).isascii() and chr(it).isalnum() for it in range(256)])


@cache
def _table(name: str) -> Places:
    """Return a number of each pattern: how far its windows reach before and after, or the length of what it finds."""
    of_words = [getattr(it, name) for it in words.FAMILIES]
    of_digits = {"before": [128, 384], "after": [48, 64], "length": [0, 0]}[name]
    return np.array([*of_digits, *of_words])


def _windows(data: bytes, numbers: Places, ends: Places) -> Windows:
    firsts, lasts = _spans(data, numbers, ends)
    parts = [data[first:last] for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True)]
    joined = EDGE.encode() + EDGE.encode().join(parts) + EDGE.encode()
    lines = 1 + np.concatenate([[0], np.cumsum(lasts - firsts + 1)])
    begins = np.flatnonzero(np.frombuffer(joined, np.uint8) & 0xC0 != 0x80)
    overs = np.append(begins[1:], len(joined))
    codes, kept = characters.plain_codes(joined.decode(), np.searchsorted(begins, lines - 1))
    if kept is not None:
        begins, overs = begins[kept], overs[kept]
    lines = lines[:-1]
    inside = np.searchsorted(firsts, ends, "right") - 1
    hits = np.searchsorted(begins, ends - firsts[inside] + lines[inside])
    by_family = {family: hits[numbers == family + OTHER_DIGITS + 1] for family in range(len(words.FAMILIES))}
    for family, it in enumerate(words.FAMILIES):
        if it.digits:
            by_family[family] = np.sort(np.append(by_family[family], hits[numbers == OTHER_DIGITS]))
    return Windows(codes.tobytes().decode("utf-32-le"), codes, by_family, lines, firsts, begins, overs)


def _spans(data: bytes, numbers: Places, ends: Places) -> tuple[Places, Places]:
    """Return where windows begin and end, which are apart."""
    firsts = np.maximum(ends - _table("before")[numbers], 0)
    lasts = np.minimum(ends + _table("after")[numbers], len(data))
    order = np.argsort(firsts, kind="stable")
    firsts, lasts, of_digits = firsts[order], np.maximum.accumulate(lasts[order]), (numbers <= OTHER_DIGITS)[order]
    new = np.flatnonzero(np.append(True, firsts[1:] > lasts[:-1]))
    of_digits = np.logical_or.reduceat(of_digits, new)
    firsts, lasts = firsts[new], lasts[np.append(new[1:], len(lasts)) - 1]
    codes = np.frombuffer(data, np.uint8)
    for places in (firsts, lasts):
        for _ in range(3):
            places += (places < len(data)) & (codes[np.minimum(places, len(data) - 1)] & 0xC0 == 0x80)
    # No number goes over the end of a window; those that are looked for without a word begin in one, too.
    after, before = _goes_on(codes, lasts), of_digits & _goes_on(codes, firsts)
    lasts[after] = [_over(data, it) for it in lasts[after].tolist()]
    firsts[before] = [_begin(data, it) for it in firsts[before].tolist()]
    if after.any() or before.any():
        # Those that met became one: a window begins where none before it goes on.
        lasts = np.maximum.accumulate(lasts)
        firsts = np.minimum.accumulate(firsts[::-1])[::-1]
        new = np.flatnonzero(np.append(True, firsts[1:] > lasts[:-1]))
        firsts, lasts = firsts[new], lasts[np.append(new[1:], len(lasts)) - 1]
    return firsts, lasts


def _goes_on(codes: npt.NDArray[np.uint8], places: Places) -> npt.NDArray[np.bool_]:
    """Return at which places may be a character that can be in a number; by its first three bytes at most."""
    first, second, third = (codes[np.minimum(places + it, len(codes) - 1)].astype(np.int64) for it in range(3))
    key = np.where(first < 0x80, first, np.where(first < 0xE0, first << 8 | second, first << 16 | second << 8 | third))
    return (places < len(codes)) & np.isin(key, _keys())


@cache
def _keys() -> Places:
    last = "Xx" + "".join(chr(it) for it, to in characters.table().items() if to in "Xx")
    return np.array(sorted({int.from_bytes(it.encode()[:3], "big") for it in _inside() + last}))


def _over(data: bytes, place: int) -> int:
    """Return where a number ends that goes on at a place, whatever is between its digits."""
    found = _numeral().match(data, place, place + LONGEST)
    return boundary(data, min((found.end() if found else place) + ONE, len(data)))


@cache
def _numeral() -> re.Pattern[bytes]:
    return re.compile(union(it.encode() for it in _inside()) + b"*+")


def _begin(data: bytes, place: int) -> int:
    """Return where a number begins that goes on at a place."""
    before = data[boundary(data, max(0, place - LONGEST)) : place].decode()
    return place - len(before[len(before.rstrip(_inside())) :].encode())


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
