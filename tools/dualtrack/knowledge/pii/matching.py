"""Tries the rules for words near the hits of their families: few places, chosen by the first two characters."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import numpy.typing as npt

from dualtrack.knowledge.pii.characters import Codes, Places
from dualtrack.knowledge.pii.rules import Family, Rule
from dualtrack.knowledge.pii.words import FAMILIES

#: Letters that Python takes for these where case does not matter.
FOLDED = {"k": "\u212a", "s": "\u017f", "i": "\u0130\u0131"}
RULES = [(family, rule) for family, it in enumerate(FAMILIES) for rule in it.rules]


def _key(one: npt.NDArray[np.uint16], other: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]:
    """Return the places of pairs of characters in a table, by the low bits of each; two pairs may have one."""
    found: npt.NDArray[np.uint16] = one * np.uint16(40503) + other
    return found


@cache
def _table() -> npt.NDArray[np.uint64]:
    """Return for each pair of characters the rules whose heads it may be, a bit for each."""
    found = np.zeros(1 << 16, np.uint64)
    for number, (_, rule) in enumerate(RULES):
        for head in rule.heads:
            one, other = (
                np.array([ord(it) for it in {*text.lower(), *text.upper(), *_folded(text)}], np.uint32).astype(
                    np.uint16
                )
                for text in head
            )
            found[_key(one[:, None], other)] |= np.uint64(1 << number)
    return found


def _folded(text: str) -> str:
    """Return what patterns without regard to case take for some letters, too."""
    return "".join(FOLDED.get(it, "") for it in text.lower())


def find(text: str, codes: Codes, hits: dict[int, Places]) -> Iterator[tuple[str, int, int]]:
    """Yield the kind, start and end of what rules find in a text that was made plain, near their families' hits."""
    places, heads = _pairs(codes, sum(_bits(family) for family in hits))
    present = int(np.bitwise_or.reduce(heads, initial=np.uint64(0)))
    for family, ends in hits.items():
        rules = [(number, rule) for number, rule in _rules(family) if not rule.heads or present >> number & 1]
        if not rules:
            continue
        own = heads & np.uint64(_bits(family)) != 0
        here, bits = places[own], heads[own]
        # Where the next hit is not far.
        following = np.searchsorted(ends, here)
        near = ends[np.minimum(following, len(ends) - 1)] - here
        near = (near >= 0) & (near <= FAMILIES[family].back)
        here, bits = here[near], bits[near]
        before = _before(ends, FAMILIES[family])
        for number, rule in rules:
            pairs = here[bits & np.uint64(1 << number) != 0] if rule.heads else before
            starts = (rule.worth(codes, pairs) if rule.worth else pairs).tolist()
            if rule.starts:
                starts = sorted({it for at in starts for it in rule.starts(text, at)})
            over = 0
            for start in starts:
                if start >= over and (found := rule.pattern.compiled.match(text, start)):
                    over = found.end()
                    if rule.check(found) and (begin := rule.begin(found)) >= 0:
                        yield rule.kind, begin, found.end(1)
                        for one, other in _more(rule, text, found.end(1)):
                            yield rule.kind, one, other
                            # What is found is not begun at again.
                            over = max(over, other)


def prepare() -> None:
    """Compile the patterns of all rules: for a process whose time for each text is limited."""
    for _, rule in RULES:
        for it in (rule.pattern, rule.more):
            if it:
                _ = it.compiled


def _more(rule: Rule, text: str, place: int) -> Iterator[tuple[int, int]]:
    """Yield where the values begin and end that follow one which ends at a place, one after the other."""
    while rule.more and (found := rule.more.compiled.match(text, place)) and rule.check(found):
        yield found.span(1)
        place = found.end(1)


@cache
def _rules(family: int) -> tuple[tuple[int, Rule], ...]:
    """Return the rules of a family with their numbers."""
    return tuple((number, rule) for number, (owner, rule) in enumerate(RULES) if owner == family)


@cache
def _bits(family: int) -> int:
    """Return the bits of the rules that a family has."""
    return sum(1 << number for number, _ in _rules(family))


def _pairs(codes: Codes, rules: int) -> tuple[Places, npt.NDArray[np.uint64]]:
    """Return where pairs of characters are that may be heads of some rules, and the rules of each."""
    low = codes.astype(np.uint16)
    keys, table = _key(low[:-1], low[1:]), _table() & np.uint64(rules)
    places = np.flatnonzero((table != 0).take(keys, mode="wrap"))
    return places, table[keys[places]]


def _before(ends: Places, family: Family) -> Places:
    """Return all places from which a hit of a family is not far; none for one whose rules have heads."""
    if all(it.heads for it in family.rules):
        return ends[:0]
    found = np.zeros(int(ends[-1]) + 1, np.bool_)
    found[np.maximum(ends[:, None] - np.arange(1, family.back + 1), 0)] = True
    found[0] = False  # an edge
    return np.flatnonzero(found)
