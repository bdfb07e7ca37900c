"""Identifiers that are digits: identity cards, bank cards, telephones; each with its own check.

Patterns are for windows that were made plain (`candidates`); what matches is checked together, as a matrix with a row
for each candidate and a column for each digit.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
#: What may be between digits, at most three of it.
S = r"[ \t\r\n\-./_·,()]"
GAP = S + "{0,3}"
#: No digit is before or after, and no digit and a point before: that would be a fraction.
WHOLE, WHOLE_AFTER = r"(?<![0-9])(?<![0-9]\.)", "(?![0-9])"
#: Two digits of provinces; 81, 82 and 83 are residents of Hong Kong, Macao and Taiwan, 91 to 99 foreigners (since
#: 2023-12-01). The county is not checked: counties are renamed, and numbers stay.
PROVINCES = frozenset(
    {*range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55), *range(61, 66), 71}
)
KINDS_BY_PROVINCE = {**dict.fromkeys(PROVINCES, "id_card"), **dict.fromkeys((81, 82, 83), "residence_permit")}
KINDS_BY_PROVINCE |= dict.fromkeys(range(91, 100), "foreigner_permit")
MOBILE = re.compile(r"1(?:3[0-9]|4[5-9]|5[0-35-9]|6[125-7]|7[0-8]|8[0-9]|9[0-35-9])")
DAYS = np.array([0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
#: Issuers' first digits, for lengths from 14 to 19 digits (ISO/IEC 7812): UnionPay, Visa, Mastercard, American
#: Express, JCB, Diners Club.
ISSUERS = re.compile(
    r"62\d{14,17}|4\d{15}|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"
    r"|3[47]\d{13}|35\d{14}|3(?:0[0-5]|[68]\d)\d{11}"
)


def matrix(rows: list[str]) -> Matrix:
    """Return digits as numbers, a row for each text; all have one length. X is 10, a blank 0."""
    found = np.frombuffer("".join(rows).upper().encode(), np.uint8).reshape(len(rows), -1)
    return np.where(found == ord("X"), 10, np.where(found == ord(" "), 0, found - ord("0"))).astype(np.int64)


def dates(years: Matrix, months: Matrix, days: Matrix) -> Bools:
    """Return which of them are days of a calendar."""
    leap = (years % 4 == 0) & ((years % 100 != 0) | (years % 400 == 0))
    longest = DAYS[np.where((months >= 1) & (months <= 12), months, 0)]
    found: Bools = (days >= 1) & (days <= longest) & ~((months == 2) & (days == 29) & ~leap)
    return found


def identity_cards(rows: list[str]) -> Bools:
    """Return which numbers of 18 characters are identity cards: a date and MOD 11-2 (GB 11643-1999)."""
    digits, powers = matrix(rows), np.array([1000, 100, 10, 1])
    years, months, days = digits[:, 6:10] @ powers, digits[:, 10:12] @ powers[2:], digits[:, 12:14] @ powers[2:]
    check = digits @ np.array([pow(2, 17 - place, 11) for place in range(18)]) % 11
    found: Bools = (check == 1) & (digits[:, :17] < 10).all(1) & (years >= 1850) & (years <= 2100)
    return found & dates(years, months, days)


def old_identity_cards(rows: list[str]) -> Bools:
    """Return which numbers of 15 digits are identity cards from before 1999: a place and a date, and no check digit."""
    digits, tens = matrix(rows), np.array([10, 1])
    cities, counties, years = (digits[:, place : place + 2] @ tens for place in (2, 4, 6))
    months, days = digits[:, 8:10] @ tens, digits[:, 10:12] @ tens
    found: Bools = (cities >= 1) & (cities <= 90) & (counties >= 1) & (years >= 10)
    return found & dates(1900 + years, months, days)


def luhn(rows: list[str]) -> Bools:
    """Return which numbers have a check digit by Luhn (ISO/IEC 7812); lengths may differ."""
    longest = max(map(len, rows))
    digits = matrix([it.rjust(longest) for it in rows])
    doubled = digits[:, -2::-2] * 2
    found: Bools = (digits[:, -1::-2].sum(1) + (doubled - 9 * (doubled > 9)).sum(1)) % 10 == 0
    return found


def by_province(number: str) -> str | None:
    """Return the kind of an identity card by its first two digits."""
    return KINDS_BY_PROVINCE.get(int(number[:2]))


def _mobile(found: re.Match[str]) -> bool:
    return bool(MOBILE.match(re.sub(r"[^0-9]", "", found[1])))


def _identity(digits: str) -> str | None:
    return by_province(digits) if len(digits) == 18 and digits[:17].isdigit() else None


def _phone(digits: str) -> str | None:
    return "phone" if len(digits) == 11 and MOBILE.match(digits) else None


def _always(_: re.Match[str]) -> bool:
    return True


Many = Callable[[list[str]], Bools]


@dataclass(frozen=True)
class Rule:
    """A pattern whose group 1 is the identifier, and what is checked of each match and of all their digits."""

    pattern: re.Pattern[str]
    kind: Callable[[str], str | None]
    one: Callable[[re.Match[str]], bool] = _always
    many: Many | None = None


def _rule(pattern: str, kind: str | Callable[[str], str | None], **more: object) -> Rule:
    return Rule(re.compile(pattern), kind if callable(kind) else lambda _: kind, **more)  # type: ignore[arg-type]


def _card(digits: str) -> str | None:
    return "bank_card" if ISSUERS.fullmatch(digits) else None


_AREA = "(?:10|2[0-9]|[3-9][0-9]{2})"
_YEAR = rf"(?:1{GAP}[89]|2{GAP}0)"
RULES = (
    # An identity card may be written in many groups: with a date and a check digit, chance is 1 in 25,000.
    _rule(
        rf"(?<![0-9])([1-9](?:{GAP}[0-9]){{5}}{GAP}{_YEAR}(?:{GAP}[0-9]){{9}}{GAP}[0-9Xx])(?![0-9])",
        by_province, many=identity_cards,
    ),
    _rule(rf"{WHOLE}([1-9][0-9]{{14}}){WHOLE_AFTER}", by_province, many=old_identity_cards),
    _rule(rf"{WHOLE}([2-6][0-9]{{3}}(?:[ -]?[0-9]{{4}}){{2,3}}(?:[ -]?[0-9]{{1,4}})?){WHOLE_AFTER}", _card, many=luhn),
    _rule(
        rf"{WHOLE}([3-6][0-9]{{3}}[ -][0-9]{{6}}[ -][0-9]{{4,5}}|[3-6][0-9]{{5}}[ -][0-9]{{8,13}}){WHOLE_AFTER}",
        _card, many=luhn,
    ),
    _rule(rf"{WHOLE}(1[3-9][0-9](?:[ -]?[0-9]{{4}}){{2}}){WHOLE_AFTER}", "phone", one=_mobile),
    _rule(rf"{WHOLE}(?:00)?86[ -]?(1[3-9][0-9](?:[ -]?[0-9]{{4}}){{2}}){WHOLE_AFTER}", "phone", one=_mobile),
    _rule(rf"{WHOLE}(0{_AREA}(?:\) ?|[ -])[2-8][0-9]{{6,7}}){WHOLE_AFTER}", "phone"),
    _rule(rf"(?<=\+)(86[ -]?{_AREA}[ -]?[2-8][0-9]{{6,7}}){WHOLE_AFTER}", "phone"),
)  # fmt: skip
#: Digits of a telephone, and of the longest card.
SHORTEST, LONGEST = 11, 19
#: Ten digits at least, as `candidates` looks for, and the groups of digits in them.
_RUN, _GROUP = re.compile(rf"[0-9](?:{GAP}[0-9]){{9,}}"), re.compile("[0-9]+")
_WORD_BEFORE, _WORD_AFTER = re.compile(r"[A-Za-z0-9_]*\Z"), re.compile(r"[A-Za-z0-9_]*")
_HEX = re.compile(r"[a-fA-F]+")


def apart(text: str, start: int, end: int) -> bool:
    """Return whether digits are a word of their own, or follow or precede letters that are no part of a digest."""
    before = _WORD_BEFORE.search(text, max(0, start - 40), start)
    after = _WORD_AFTER.match(text, end, end + 40)
    letters = [it for found in (before, after) if found and (it := found[0])]
    return not letters or (
        len(letters) == 1 and len(letters[0]) > 1 and letters[0].isalpha() and not _HEX.fullmatch(letters[0])
    )


def groups(text: str) -> list[list[re.Match[str]]]:
    """Return groups of digits, by runs of ten digits and more with separators between."""
    return [list(_GROUP.finditer(text, *run.span())) for run in _RUN.finditer(text)]


def spread(text: str, run: list[re.Match[str]]) -> Iterator[tuple[int, int]]:
    """Yield the start and end of digits with the same between all of them, and something else before and after.

    So are numbers written that shall not be found, and those that a line breaks. Not so: fractions, addresses of
    networks, and numbers in thousands. Where an X follows in the same way, both are yielded, with it and without.
    """
    gaps = [text[one.end() : other.start()] for one, other in itertools.pairwise(run)]
    place = 0
    for gap, same in itertools.groupby(gaps):
        parts = run[place : place + sum(1 for _ in same) + 1]
        place += len(parts) - 1
        # No identifier has more digits, nor fewer.
        if len(parts) > LONGEST or not SHORTEST <= sum(it.end() - it.start() for it in parts) <= LONGEST:
            continue
        sizes = [len(it[0]) for it in parts]
        dotted = gap == "." and (len(sizes) == 2 or (len(sizes) == 4 and max(sizes) <= 3))
        thousands = len(sizes) > 2 and sizes[0] <= 3 and set(sizes[1:]) == {3}
        if not dotted and not thousands:
            start, end = parts[0].start(), parts[-1].end()
            yield start, end
            if text[end : end + len(gap) + 1].upper() == f"{gap}X":
                yield start, end + len(gap) + 1


def find(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield the kind, start and end of each identifier in a text that was made plain."""
    runs = groups(text)
    # No rule begins with one digit: numbers in tables are many.
    places = [it.start() for run in runs for it in run if it.end() - it.start() > 1]
    for rule in RULES:
        matches = (it for place in places if (it := rule.pattern.match(text, place)))
        yield from _judged(text, [it.span(1) for it in matches if rule.one(it)], rule.kind, rule.many)
    written = [span for run in runs for span in spread(text, run)]
    yield from _judged(text, written, _phone, None)
    yield from _judged(text, written, _card, luhn)
    yield from _judged(text, written, _identity, identity_cards)


def _judged(
    text: str, spans: list[tuple[int, int]], kind: Callable[[str], str | None], many: Many | None
) -> Iterator[tuple[str, int, int]]:
    """Yield those spans that are words of their own and pass the check of all their digits together."""
    digits = {span: re.sub(r"[^0-9Xx]", "", text[slice(*span)]) for span in spans if apart(text, *span)}
    rows = {span: found for span, it in digits.items() if (found := kind(it))}
    right = many([digits[span] for span in rows]) if rows and many else [True] * len(rows)
    for (span, found), passed in zip(rows.items(), right, strict=True):
        if passed:
            yield found, *span
