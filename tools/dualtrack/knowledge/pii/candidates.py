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

from dualtrack.core.errors import DualtrackError
from dualtrack.core.files import write_atomically
from dualtrack.core.paths import cache_dir
from dualtrack.knowledge.pii import characters, words
from dualtrack.knowledge.pii.characters import EDGE, SEPARATORS, Places

#: Digits in a row, with separators, that may be a number; fewer are looked for after words only.
FEWEST_DIGITS = 10
NUMBER, OTHER_DIGITS, LETTERS, WIDE = 0, 1, 2, 3
#: Letters that are written for digits (`forms`), beside digits: every word of eleven with a digit has one of these.
_LIKE_DIGITS = rb"[0-9][OoIl]{1,4}[0-9]|[0-9]{6}[OoIl]|[OoIl][0-9]{6}|[0-9][OoIl]{5}|[OoIl]{5}[0-9]"
#: A wide letter or digit, as Chinese and Japanese keyboards write them.
_WIDE = rb"\xef\xbc[\x90-\x99\xa1-\xba]|\xef\xbd[\x81-\x9a]"
#: A match is kept as one number: where it ends, and below that the number of its pattern.
_BITS = 6
_NUMBERS = (1 << _BITS) - 1
#: Matches that are looked at one by one.
FEW = 32
#: As far as a number continues whose digits have much between them; and the last character, which may be an X.
LONGEST, ONE = 4096, 4
#: Bytes before a number that are looked at, and of a window around a match of digits: 19 digits in a row fit in.
CONTEXT, BEFORE_DIGITS, AFTER_DIGITS = 40, 64, 48
#: Digits of a value after a word are in so many bytes after its first one.
DIGITS_REACH = 34
#: Digits of other scripts may follow a word that says what they are.
BEFORE_OTHERS = 96
#: A wide letter may be anywhere in the longest identifier, an account of 34 characters, and each takes three bytes.
BEFORE_WIDE, AFTER_WIDE = 160, 160


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
    separators = (*SEPARATORS, *(chr(it) for it, to in characters.table().items() if to in "-./ ,()*\n\x01"))
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
        (LETTERS, _LIKE_DIGITS),
        (WIDE, _WIDE),
        *((number, family.hint) for number, family in enumerate(words.FAMILIES, WIDE + 1)),
    )


@cache
def database() -> hyperscan.Database:
    """Return the compiled patterns, from the cache where they are there: compiling takes most of a second."""
    numbers, expressions = zip(*patterns(), strict=True)
    key = hashlib.sha256(repr((version("hyperscan"), numbers, expressions)).encode()).hexdigest()[:16]
    try:
        found = hyperscan.loadb(_cached(key).read_bytes(), hyperscan.HS_MODE_BLOCK)
        found.scratch = hyperscan.Scratch(found)
    except (OSError, hyperscan.error):  # none yet, another processor's, damaged, or no place for a cache
        found = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        flags = [hyperscan.HS_FLAG_DOTALL | (hyperscan.HS_FLAG_CASELESS if it > WIDE else 0) for it in numbers]
        found.compile(expressions=expressions, ids=numbers, elements=len(numbers), flags=flags)
        with contextlib.suppress(OSError, DualtrackError):
            write_atomically(_cached(key), hyperscan.dumpb(found))
    return found


def _cached(key: str) -> Path:
    return cache_dir() / "hyperscan" / f"{key}.db"


@dataclass(frozen=True)
class Windows:
    """Windows of a text, put together between edges and made plain.

    ``plain`` and ``codes`` are their characters, ``unseen`` where among all of them were those that are invisible.
    ``hits`` are the ends of Hyperscan's matches in ``plain``, by family of words, where it has any; ``digits`` says
    whether it has some of digits, ``letters`` are the ends of those with letters for digits, and ``raw`` is what
    the characters of ``plain`` were. ``joined`` are the bytes of all windows, ``begins`` where each character begins in
    them; ``lines`` where each window begins there, and ``places`` where it begins in the text.
    """

    plain: str
    codes: characters.Codes
    unseen: Places
    hits: dict[int, Places]
    digits: bool
    letters: Places
    raw: characters.Codes
    joined: npt.NDArray[np.uint8]
    begins: Places
    lines: Places
    places: Places

    def bytes(self, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return where parts of ``plain``, which are not empty, are in the text, in bytes."""
        first, last = np.array(spans, np.int64).reshape(-1, 2).T - ((0,), (1,))
        before = self.unseen - np.arange(len(self.unseen))
        first, last = (it + np.searchsorted(before, it, "right") for it in (first, last))
        begin, end = self.begins[first], self.begins[last]
        end += _lengths()[self.joined[end]]
        number = np.searchsorted(self.lines, begin, "right") - 1
        moved = self.places[number] - self.lines[number]
        return list(zip((begin + moved).tolist(), (end + moved).tolist(), strict=True))


@cache
def _lengths() -> Places:
    """Return how many bytes a character has, by its first one."""
    return np.array([1 + (it >= 0xC0) + (it >= 0xE0) + (it >= 0xF0) for it in range(256)])


def find(data: bytes) -> Windows | None:
    """Return the windows around all that may be something, or None where there is nothing."""
    matches: list[int] = []

    def found(number: int, _from: int, to: int, _flags: int, _context: object) -> None:
        matches.append(to << _BITS | number)

    database().scan(data, match_event_handler=found)
    if len(matches) < FEW:
        # Of a text without digits nothing is left, and numpy is slow to begin.
        matches = [it for it in matches if it & _NUMBERS not in _with_digits() or _FIRST.match(data, it >> _BITS)]
    if not matches:
        return None
    packed = np.sort(np.array(matches, np.int64))
    numbers, ends = packed & _NUMBERS, packed >> _BITS
    whole = _alone(data, _table("length")[numbers], ends) & _followed(data, _table("follows")[numbers], ends)
    whole &= _digit_near(data, numbers, ends)
    numbers, ends = numbers[whole], ends[whole]
    return _windows(data, numbers, ends) if len(ends) else None


def _alone(data: bytes, length: Places, ends: Places) -> npt.NDArray[np.bool_]:
    """Return which matches are not part of a longer word, of those that must not be one: most of them are.

    A word may be one byte longer before its match.
    """
    some, codes = np.flatnonzero(length), np.frombuffer(data, np.uint8)
    after = ends[some]
    before = after - length[some] - 1
    inside = _within(codes, before) & _within(codes, before - 1)
    inside |= (after < len(data)) & _letters()[codes[np.minimum(after, len(data) - 1)]]
    found = np.ones(len(length), np.bool_)
    found[some] = ~inside
    return found


def _within(codes: npt.NDArray[np.uint8], places: Places) -> npt.NDArray[np.bool_]:
    """Return which places have a letter or a digit that is not of an escaped character: `%3D`, `\\n`."""
    escaped = (codes[places - 1] == ord("\\")) | (codes[places - 2] == ord("%"))
    found: npt.NDArray[np.bool_] = (places >= 0) & _letters()[codes[places]] & ~((places > 1) & escaped)
    return found


#: A hyphen, a blank, and what ends a line; so many of them at most.
_SEPARATORS, _LINE_END = [ord(it) for it in " -\r\n"], 2


def _followed(data: bytes, follows: Places, ends: Places) -> npt.NDArray[np.bool_]:
    """Return after which matches are as many capitals and digits as must be, a separator or the end of a line aside."""
    some, codes = np.flatnonzero(follows), np.frombuffer(data, np.uint8)
    after = ends[some]
    # `\r\n` ends a line, too; the rules look closer.
    for _ in range(_LINE_END):
        after += np.isin(codes[np.minimum(after, len(data) - 1)], _SEPARATORS)
    right = np.ones(len(some), np.bool_)
    for place in range(int(follows.max(initial=0))):
        there = after + place
        right &= (there < len(data)) & _capitals()[codes[np.minimum(there, len(data) - 1)]]
    found = np.ones(len(follows), np.bool_)
    found[some] = right
    return found


def _digit_near(data: bytes, numbers: Places, ends: Places) -> npt.NDArray[np.bool_]:
    """Return after which matches is a digit of ASCII, in so many bytes, and more of them, of those that must have some.

    Digits of other scripts are hits of their own.
    """
    codes, found = np.frombuffer(data, np.uint8), np.ones(len(numbers), np.bool_)
    for number in _with_digits():
        if len(some := np.flatnonzero(numbers == number)):
            within = int(_table("digit")[number])
            # What is after the end of the text is as its last byte is, which is near as well.
            digits = codes.take(ends[some, None] + np.arange(within + DIGITS_REACH), mode="clip") - ord("0") < 10
            found[some] = digits[:, :within].any(1) & (digits.sum(1) >= _table("digits")[number])
    return found


_FURTHEST = max(it.digit for it in words.FAMILIES) + DIGITS_REACH
_FIRST = re.compile(rb"[^0-9]{0,%d}[0-9]" % _FURTHEST)


@cache
def _with_digits() -> frozenset[int]:
    """Return the patterns after whose matches digits must be."""
    return frozenset(np.flatnonzero(_table("digit")).tolist())


@cache
def _capitals() -> npt.NDArray[np.bool_]:
    """Return which bytes are capitals or digits."""
    return np.array([chr(it).isascii() and (chr(it).isupper() or chr(it).isdigit()) for it in range(256)])


@cache
def _letters() -> npt.NDArray[np.bool_]:
    """Return which bytes are letters or digits."""
    return np.array([chr(it).isascii() and chr(it).isalnum() for it in range(256)])


@cache
def _table(name: str) -> Places:
    """Return a number of each pattern: how far its windows reach before and after, or what its matches must have."""
    of_words = [getattr(it, name) for it in words.FAMILIES]
    of_digits = {"before": BEFORE_DIGITS, "after": AFTER_DIGITS}.get(name, 0)
    of_others, of_wide = {"before": (BEFORE_OTHERS, BEFORE_WIDE), "after": (AFTER_DIGITS, AFTER_WIDE)}.get(name, (0, 0))
    return np.array([of_digits, of_others, of_digits, of_wide, *of_words])


def _windows(data: bytes, numbers: Places, ends: Places) -> Windows:
    spans = _spans(data, numbers, ends)
    parts = [data[first:last] for first, last in spans]
    joined = EDGE.encode() + EDGE.encode().join(parts) + EDGE.encode()
    codes = np.frombuffer(joined, np.uint8)
    begins = np.flatnonzero((codes & 0xC0) != 0x80)
    # Where windows begin among all bytes, each after an edge, and where one more would.
    lines = np.cumsum([1, *(len(it) + 1 for it in parts)])
    plain, unseen, raw = characters.plain_codes(joined.decode(), np.searchsorted(begins, lines - 1))
    places = np.array([first for first, _ in spans])
    inside = np.searchsorted(places, ends, "right") - 1
    hits = np.searchsorted(begins, ends - places[inside] + lines[inside])
    hits -= np.searchsorted(unseen, hits)
    by_family = {}
    present = set(numbers.tolist())
    shared = (numbers == OTHER_DIGITS) | (numbers == WIDE)
    any_shared = bool(shared.any())
    for number, family in enumerate(words.FAMILIES, WIDE + 1):
        with_shared = family.shared and any_shared
        if number in present or with_shared:
            own = (numbers == number) | shared if with_shared else numbers == number
            by_family[number - WIDE - 1] = hits[own]
    digits = not present.isdisjoint((NUMBER, OTHER_DIGITS, LETTERS))
    text = plain.tobytes().decode("utf-32-le")
    letters = hits[numbers == LETTERS]
    return Windows(text, plain, unseen, by_family, digits, letters, raw, codes, begins, lines[:-1], places)


def _spans(data: bytes, numbers: Places, ends: Places) -> list[tuple[int, int]]:
    """Return where windows begin and end, which are apart, and over whose ends no number goes."""
    firsts, lasts = ends - _table("before")[numbers], ends + _table("after")[numbers]
    order = np.argsort(firsts, kind="stable")
    firsts, lasts = firsts[order], np.maximum.accumulate(lasts[order])
    new = np.flatnonzero(firsts[1:] > lasts[:-1])
    opens = np.concatenate([[0], new + 1])
    of_digits = np.logical_or.reduceat((numbers <= WIDE)[order], opens).tolist()
    firsts, lasts = (_boundaries(data, it).tolist() for it in (firsts[opens], lasts[np.concatenate([new, [-1]])]))
    spans: list[tuple[int, int]] = []
    over = -1
    for first, last, digits in zip(firsts, lasts, of_digits, strict=True):
        # Those that are looked for with a word begin in the window.
        if digits and _in_number(data, first):
            first = _begin(data, first)
        if _in_number(data, last):
            last = _over(data, last)
        while first <= over:
            before = spans.pop()
            first, last = min(first, before[0]), max(last, over)
            over = spans[-1][1] if spans else -1
        spans.append((first, last))
        over = last
    return spans


def _boundaries(data: bytes, places: Places) -> Places:
    """Return for each place the next one in the text at which a character begins."""
    codes, found = np.frombuffer(data, np.uint8), np.clip(places, 0, len(data))
    for _ in range(3):
        found = found + ((codes.take(found, mode="clip") & 0xC0 == 0x80) & (found < len(data)))
    return found


def _in_number(data: bytes, place: int) -> bool:
    """Return whether a number may continue at a place: after a sign of ASCII, something else of it must follow."""
    heads = _number_heads()
    while (part := data[place : place + 3]) and part[0] < 128:
        if part[:1] not in heads:
            return False
        if 48 <= part[0] < 58:
            return True
        place += 1
    return part in heads or part[:2] in heads


@cache
def _number_heads() -> frozenset[bytes]:
    """Return the first bytes, three at most, of all characters that may be in a number or end it."""
    last = {"X", "x", *(chr(it) for it, to in characters.table().items() if to in "Xx")}
    return frozenset(it.encode()[:3] for it in _inside() | last)


def _over(data: bytes, place: int) -> int:
    """Return where a number ends that continues at a place, whatever is between its digits."""
    for reach in (64, LONGEST):
        text = data[place : boundary(data, min(place + reach, len(data)))].decode()
        if (length := _digits_of(text)) < len(text):
            break
    return boundary(data, min(place + len(text[:length].encode()) + ONE, len(data)))


def _begin(data: bytes, place: int) -> int:
    """Return where a number begins that continues at a place, and what is before it."""
    for reach in (64, LONGEST):
        text = data[boundary(data, max(0, place - reach)) : place].decode()[::-1]
        if (length := _digits_of(text)) < len(text):
            break
    return boundary(data, max(0, place - len(text[:length].encode()) - CONTEXT))


def _digits_of(text: str) -> int:
    """Return how many characters at the beginning of a text may be in a number."""
    found = _digits().match(text)
    return found.end() if found else 0


@cache
def _digits() -> re.Pattern[str]:
    return re.compile(f"[{re.escape(''.join(_inside()))}]*+")


@cache
def _inside() -> frozenset[str]:
    """Return all characters that may be in a number: digits, separators, and what is invisible."""
    found = (chr(it) for it, to in characters.table().items() if to in "0123456789-./ ,()*\n\x01")
    return frozenset((*found, *"0123456789", *SEPARATORS))


def boundary(data: bytes, place: int) -> int:
    """Return the next place at which a character begins."""
    while place < len(data) and data[place] & 0xC0 == 0x80:
        place += 1
    return place
