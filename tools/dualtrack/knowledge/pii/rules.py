"""What a rule for identifiers with letters is, and a family of rules; `words` and `mails` have them."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from dualtrack.knowledge.pii.characters import Codes, Places

LETTERS, DIGITS = string.ascii_uppercase, string.digits
Check = Callable[[re.Match[str]], bool]
Heads = tuple[tuple[str, str], ...]


#: Which characters are letters and digits of ASCII; all beyond ASCII, which are none, are the last one.
SHOWN = np.array([it < 128 and chr(it).isalnum() for it in range(129)])


def begins_word(codes: Codes, places: Places) -> Places:
    """Return those places before which is neither a letter nor a digit, but for escaped characters (`%3D`, `\\n`)."""
    inside = SHOWN[np.minimum(codes[places - 1], 128)]
    escaped = (codes[places - 3] == ord("%")) | (codes[places - 2] == ord("\\"))
    found: Places = places[~inside | escaped]
    return found


def begins_capitals(codes: Codes, places: Places) -> Places:
    """Return those of them that have a capital or a digit, too."""
    found: Places = places[codes[places] <= ord("Z")]
    return begins_word(codes, found)


def always(_: re.Match[str]) -> bool:
    """Return that whatever matches is right."""
    return True


def group(found: re.Match[str]) -> int:
    """Return where group 1 begins."""
    return found.start(1)


class Pattern:
    """A regular expression that is compiled when it is first needed.

    All rules together take 0.3 s of processor time to compile, which each command would need; a text needs few of them.
    """

    def __init__(self, pattern: str, flags: int = 0) -> None:
        """Take a regular expression and flags as `re.compile` does; one that is wrong raises when it is needed."""
        self.pattern, self._flags = pattern, flags

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        """The compiled form."""
        return re.compile(self.pattern, self._flags)


@dataclass(frozen=True)
class Rule:
    """A pattern whose group 1 is of a kind, a check, and where it begins, if not there; -1 for nowhere.

    ``heads`` are pairs of characters: one of the first, then one of the second. ``starts`` says where a match may begin
    that has such a pair at a place; without heads, it may begin at each place not far before one of the family's hits.
    ``worth`` returns those of many such places where it may match at all. ``more`` matches what may follow a value that
    was found: what is between both, and one more value, which is its group 1 and is checked as the first one is.
    """

    kind: str
    pattern: Pattern
    check: Check = always
    begin: Callable[[re.Match[str]], int] = group
    heads: Heads = ()
    starts: Callable[[str, int], Iterable[int]] | None = None
    worth: Callable[[Codes, Places], Places] | None = None
    more: Pattern | None = None


@dataclass(frozen=True)
class Family:
    """Rules that share hits; ``hint`` is Hyperscan's pattern.

    ``before`` and ``after`` are the bytes of a window around the end of a hit; a match begins ``back`` characters
    before it at most. ``length`` are the bytes of a hit that is not part of a longer word, or of one with one byte more
    before it; 0 where it may be. After a hit, one separator aside, are ``follows`` capitals or digits, and within
    ``digit`` bytes is the first of ``digits`` digits. With ``shared``, digits of other scripts and wide letters are
    hits as well: with all of them in its hint, Hyperscan takes long.
    """

    hint: bytes
    rules: tuple[Rule, ...]
    before: int = 160
    after: int = 288
    back: int = 160
    length: int = 0
    follows: int = 0
    shared: bool = True
    digit: int = 0
    digits: int = 4


def shape(hint: bytes, *rules: Rule, **more: Any) -> Family:
    """Return a family of some rules."""
    return Family(hint, rules, **more)


def heads_of(words: str) -> Heads:
    """Return the first two characters of each of some words, which are parted by ``|``."""
    return tuple((it[0], it[1]) for it in words.split("|"))
