"""The second form of windows: digits of another script are not part of a number, and some letters are digits.

In the first form all digits are ASCII's, so a number may be written in several scripts. Beside a numeral that is a
word (`张三13912345678`, `13912345678一份`, `①13912345678`) that form has a longer number, which is none. The second
form has a break where digits of one script end and those of another begin, or letters: each number is apart there.
Findings of both forms count. Windows without such a place are not looked at again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from dualtrack.knowledge.pii import characters
from dualtrack.knowledge.pii.candidates import Windows
from dualtrack.knowledge.pii.characters import BREAK, EDGE, ORDINARY, SEPARATORS, Codes, Places
from dualtrack.knowledge.pii.rules import SHOWN

#: Characters between two digits that are looked at as one number at most (`numbers.GAP`).
BETWEEN = 3
#: Letters that are written for digits, in words of digits and these alone, with the X of an identity card at their end.
LIKE_DIGITS = str.maketrans("OoIl", "0011")
_LONGEST = 64
_WORD = re.compile(rf"(?<![A-Za-z0-9])[0-9OoIl]{{3,{_LONGEST}}}[Xx]?(?![A-Za-z0-9])")
#: Characters before the end of a hit where such a word begins.
_REACH = 24

#: Separators; all beyond ASCII, which are none, are the last one.
_SEPARATOR = np.array([it < 128 and chr(it) in SEPARATORS for it in range(129)])


@dataclass(frozen=True)
class Form:
    """Windows in their second form: ``text`` and ``codes`` for rules with words; ``numbers`` for those of digits.

    ``hits`` are as those of `Windows`, and ``origin`` is where in its ``plain`` each character is.
    """

    text: str
    codes: Codes
    numbers: Codes
    hits: dict[int, Places]
    origin: Places

    def spans(self, found: list[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
        """Return findings in this form as findings in the first one."""
        return [(kind, int(self.origin[start]), int(self.origin[end - 1]) + 1) for kind, start, end in found]


def second(windows: Windows) -> Form | None:
    """Return the second form of those windows that have one, or None where none has."""
    breaks, letters = _breaks(windows), _letters(windows)
    marks = np.concatenate([breaks, letters])
    if not len(marks):
        return None
    edges = np.flatnonzero(windows.codes == ord(EDGE))
    chosen = np.unique(np.searchsorted(edges, marks, "right"))
    origin = np.concatenate([np.arange(edges[it - 1], edges[it] + 1) for it in chosen.tolist()])
    codes = windows.codes[origin]
    numbers = codes.copy()
    places = np.searchsorted(origin, letters)
    numbers[places] = [ord(chr(it).translate(LIKE_DIGITS)) for it in codes[places].tolist()]
    before = np.searchsorted(origin, breaks)
    hits = {}
    for family, ends in windows.hits.items():
        inside = np.searchsorted(edges, ends)  # a hit may end where its window does
        own = np.searchsorted(origin, ends[np.isin(inside, chosen)])
        if len(own):
            hits[family] = own + np.searchsorted(before, own)
    codes, numbers = (np.insert(it, before, ord(BREAK)) for it in (codes, numbers))
    return Form(
        codes.tobytes().decode("utf-32-le"), codes, numbers, hits, np.insert(origin, before, origin[before])
    )  # fmt: skip


def _breaks(windows: Windows) -> Places:
    """Return before which characters digits of one script end, or letters, and digits of another one begin."""
    codes, raw = windows.codes, windows.raw
    digits = np.flatnonzero(codes - ord("0") < 10)
    other = digits[raw[digits] != codes[digits]]
    scripts = characters.scripts(raw[other])
    other, scripts = other[scripts > ORDINARY], scripts[scripts > ORDINARY]
    found = []
    for step in (-1, 1):
        near = other + step
        # Texts begin and end with an edge, which is not a separator.
        for _ in range(BETWEEN):
            near = near + step * _SEPARATOR[np.minimum(codes[near], 128)]
        apart = SHOWN[np.minimum(codes[near], 128)] & (characters.scripts(raw[near]) != scripts)
        found.append((other if step < 0 else near)[apart])
    return np.unique(np.concatenate(found))


def _letters(windows: Windows) -> Places:
    """Return where letters are that stand for digits."""
    found: set[int] = set()
    searched = 0
    for end in sorted(windows.letters.tolist()):
        # Each word is found once, and nothing is searched beyond the longest one: a text of such letters alone would
        # otherwise cost the square of its length.
        for word in _WORD.finditer(windows.plain, max(searched, end - _REACH), end + _LONGEST + 1):
            if word.start() >= end:
                break
            if any(it.isdigit() for it in word[0]):
                found |= {word.start() + place for place, it in enumerate(word[0]) if ord(it) in LIKE_DIGITS}
        searched = max(searched, end)
    return np.array(sorted(found), np.int64)
