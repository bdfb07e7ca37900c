"""Identifiers that are digits: identity cards, bank cards, telephones; each with its own check.

Patterns are for windows that were made plain (`candidates`); what matches is checked together, as a matrix with a row
for each candidate and a column for each digit.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dualtrack.knowledge.pii import abroad
from dualtrack.knowledge.pii.characters import EDGE, Codes, Places
from dualtrack.knowledge.pii.groups import Bools, Groups, S, first_of, groups
from dualtrack.knowledge.pii.lines import ALONE, ALONE_AFTER, broken

Matrix = npt.NDArray[np.int64]
GAP = S + "{0,3}"
#: Where a line begins: also in the quotation of a mail, and behind an element of HTML.
_LINE_BEGINS = (
    f"[\n{EDGE}]", f"[\n{EDGE}>]>", f"[\n{EDGE}>]> ", f"[\n{EDGE}]> > ", "[Bb][Rr]>", "[Bb][Rr]/>", "[Bb][Rr] />",
)  # fmt: skip
_OF_ITEM = "|".join(rf"(?<={it}{number}\.)" for it in _LINE_BEGINS for number in ("[1-9]", "[1-9][0-9]"))
#: No digit is before or after, and no digit and a point before: that would be a fraction. At the beginning of a line it
#: is the number of an item.
WHOLE = rf"(?<![0-9])(?:(?<![0-9]\.)|{_OF_ITEM})"
WHOLE_AFTER = "(?![0-9])"
#: A telephone has not a fraction of two digits at most behind it, unless something follows that no fraction has; nor
#: is a unit of data, which is not the beginning of a company's name (6 is what 陆 is).
PHONE_AFTER = (
    WHOLE_AFTER + r"(?!\.[0-9]{1,2}(?:元|[^0-9A-Za-z.\u4e00-\u9fff]|\Z))"
    r"(?! ?(?:字节(?!跳动)|位元组?|比特(?!币|大6)"
    r"|(?:[Bb]yte|[Bb]it)s?(?![A-Za-z])|[KMGT]i?B(?![A-Za-z])))(?! B(?![A-Za-z0-9\u4e00-\u9fff]))"
)
#: Two digits of provinces; 81, 82 and 83 are residents of Hong Kong, Macao and Taiwan, 91 to 99 foreigners (since
#: 2023-12-01). The county is not checked: counties are renamed, and numbers stay.
PROVINCES = frozenset(
    {*range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55), *range(61, 66), 71}
)
KINDS_BY_PROVINCE = {**dict.fromkeys(PROVINCES, "id_card"), **dict.fromkeys((81, 82, 83), "residence_permit")}
KINDS_BY_PROVINCE |= dict.fromkeys(range(91, 100), "foreigner_permit")
MOBILE = re.compile(r"1(?:3[0-9]|4[5-9]|5[0-35-9]|6[125-7]|7[0-8]|8[0-9]|9[0-35-9])")
#: China's code before a number, and the zero of calls within it.
COUNTRY = r"(?:00)?860?"
#: A mobile number, after the code of its country or without one.
MOBILE_WHOLE = re.compile(rf"(?:{COUNTRY})?{MOBILE.pattern}[0-9]{{8}}")
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


def _ten(found: re.Match[str]) -> bool:
    return len(_NO_DIGITS.sub("", found[1])) == 10


def _identity(digits: str) -> str | None:
    return by_province(digits) if len(digits) == 18 and digits[:17].isdigit() else None


def _phone(digits: str) -> str | None:
    return "phone" if MOBILE_WHOLE.fullmatch(digits) else None


def _always(_: re.Match[str]) -> bool:
    return True


Many = Callable[[list[str]], Bools]
Span = tuple[int, int]


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


#: Codes of areas, without the zero of calls within the country.
AREA = "(?:10|2[0-9]|[3-9][0-9]{2})"
#: A number within an area, but for its first digit: in two groups as well.
_LOCAL = r"[0-9]{2,3}[ -]?[0-9]{4}"
#: After the code of the country: the area, and the zero of calls within the country, which may be in brackets.
_FROM_ABROAD = rf"(?:\(0\)[ -]?|\(?0?){AREA}\)?[ .-]?[2-8]{_LOCAL}"
#: A mobile telephone in groups, whose first one may be in brackets.
_MOBILE = r"(?:(?<=\()1[3-9][0-9]\)|1[3-9][0-9])(?:[ -]?[0-9]{4}){2}"
_YEAR = rf"(?:1{GAP}[89]|2{GAP}0)"
#: Groups of a mobile telephone and of cards that a line breaks.
_FOUR = "[0-9]{4}"
_MOBILE_ON_LINES = broken(("1[3-9][0-9]", _FOUR, _FOUR))
_CARD_ON_LINES = "|".join(
    broken(it)
    for it in (
        ("[2-6][0-9]{3}", _FOUR, _FOUR, _FOUR, "[0-9]{1,3}"),
        ("[2-6][0-9]{3}", _FOUR, _FOUR, _FOUR),
        ("3[0-9]{3}", "[0-9]{6}", "[0-9]{4,5}"),
    )
)
RULES = (
    # An identity card may be written in many groups: with a date and a check digit, chance is 1 in 25,000.
    _rule(
        rf"(?<![0-9])([1-9](?:{GAP}[0-9]){{5}}{GAP}{_YEAR}(?:{GAP}[0-9]){{9}}{GAP}[0-9Xx])(?![0-9])",
        by_province, many=identity_cards,
    ),
    _rule(rf"{WHOLE}([1-9][0-9]{{14}}){WHOLE_AFTER}", by_province, many=old_identity_cards),
    _rule(rf"{WHOLE}([2-6][0-9]{{3}}(?:[ -]?[0-9]{{4}}){{2,3}}(?:[ -]?[0-9]{{1,4}})?){WHOLE_AFTER}", _card, many=luhn),
    # The most frequent length alone: what follows after a blank may be something else.
    _rule(rf"{WHOLE}([2-6][0-9]{{3}}(?:[ -]?[0-9]{{4}}){{3}}){WHOLE_AFTER}", _card, many=luhn),
    _rule(
        rf"{WHOLE}([3-6][0-9]{{3}}[ -][0-9]{{6}}[ -][0-9]{{4,5}}|[3-6][0-9]{{5}}[ -][0-9]{{8,13}}){WHOLE_AFTER}",
        _card, many=luhn,
    ),
    _rule(rf"{WHOLE}({_MOBILE}){PHONE_AFTER}", "phone", one=_mobile),
    # A point after the code (EPP, WHOIS) is not a decimal one where a sign or zeros say that it is a code.
    _rule(
        rf"{WHOLE}(?:(?:00)?86[ -]?(?:\(0\)[ -]?|\(?0?)|(?:00|(?<=\+))86\.0?)({_MOBILE}){PHONE_AFTER}",
        "phone", one=_mobile,
    ),
    _rule(rf"{WHOLE}(0{AREA}(?:\)[ -]?|[ /-])[2-8]{_LOCAL}){PHONE_AFTER}", "phone"),
    _rule(rf"(?<=\+)(86[ .-]?{_FROM_ABROAD}){WHOLE_AFTER}", "phone"),
    # A mobile telephone of Taiwan, in groups.
    _rule(rf"{WHOLE}(09[0-9]{{2}}(?:([ -])[0-9]{{3}}\2|-[0-9]{{3}})[0-9]{{3}}){PHONE_AFTER}", "phone"),
    # With the code of its area in brackets, as in Taiwan; and from abroad.
    _rule(rf"(?<=\()(0[2-8]\)[ -]?[2-8][0-9]{{2,3}}-[0-9]{{4}}){PHONE_AFTER}", "phone"),
    _rule(rf"{WHOLE}(0086(?:[ -]|(?=\()){_FROM_ABROAD}){PHONE_AFTER}", "phone"),
    # Of companies, for callers all over the country.
    _rule(
        rf"{WHOLE}([48]00(?:[ -][0-9]{{3,4}}[ -][0-9]{{3,4}}|-[0-9]{{7}}|[0-9]-[0-9]{{3}}-?[0-9]{{3}})){PHONE_AFTER}",
        "phone", one=_ten,
    ),
    _rule(
        rf"{WHOLE}{ALONE}(?:(?:00)?86[ -]?0?)?({_MOBILE_ON_LINES}){PHONE_AFTER}{ALONE_AFTER}", "phone", one=_mobile,
    ),
    _rule(rf"{WHOLE}{ALONE}({_CARD_ON_LINES}){WHOLE_AFTER}{ALONE_AFTER}", _card, many=luhn),
)  # fmt: skip
#: Digits of a telephone, and of the longest card.
SHORTEST, LONGEST = 11, 19
_WORD_BEFORE, _WORD_AFTER = re.compile(r"[A-Za-z0-9]*\Z"), re.compile(r"[A-Za-z0-9]{0,40}")
_HEX_BEFORE, _HEX_AFTER = re.compile(r"[0-9a-fA-F]*\Z"), re.compile(r"[0-9a-fA-F]*")
#: Letters and digits beside a number that make it a part of a digest.
OF_DIGEST = 4
_HEX, _NO_DIGITS = re.compile(r"[0-9a-fA-F]*|.*0[xX][0-9a-fA-F]*"), re.compile(r"[^0-9Xx]")
#: Before digits that are not part of what is there: an escaped character of a URL, and what ends a part of a UUID.
_ESCAPED, _OF_UUID = re.compile(r"%[0-9a-fA-F]{2}\Z"), re.compile(r"[0-9a-fA-F]{4}-[0-9a-fA-F]\Z")
_WORD = frozenset(string.ascii_letters + string.digits)


def apart(text: str, start: int, end: int) -> bool:
    """Return whether digits are not part of a digest or another number in hexadecimal digits.

    Of letters beside them, one alone is none (but in a UUID), nor are those that are not all hexadecimal digits, unless
    such a number is next to the digits.
    """
    if text[start - 1] not in _WORD and text[end] not in _WORD:
        return True
    before, after = _found(_WORD_BEFORE.search(text, max(0, start - 40), start)), _found(_WORD_AFTER.match(text, end))
    if len(before + after) == 1:
        return not _OF_UUID.search(text, max(0, start - 6), start)
    beside = _found(_HEX_BEFORE.search(before)) + _found(_HEX_AFTER.match(after))
    if len(beside) >= OF_DIGEST and not beside.isalpha():
        return False
    return not _HEX.fullmatch(before + after) or (
        not after and _ESCAPED.search(text, max(0, start - 3), start) is not None
    )


def _found(it: re.Match[str] | None) -> str:
    return it[0] if it else ""


def starts(codes: Codes, it: Groups) -> tuple[Bools, ...]:
    """Return for each rule at which groups it may match: by the first digits, how many are there, and how grouped."""
    last = len(it.digits) - 1
    one, two, seven, eight, month, of_month = (
        it.digits[np.minimum(it.first + place, last)] for place in (0, 1, 6, 7, 10, 11)
    )
    several, size, left = it.sizes > 1, it.sizes, it.left
    century = (seven == 1) & (eight >= 8) | (seven == 2) & (eight == 0)
    year = century & ((month == 0) & (of_month > 0) | (month == 1) & (of_month <= 2))
    china = (one == 8) & (two == 6)
    cards = several & (one >= 2) & (one <= 6) & (left >= 14)
    of_country = several & (left >= 13) & (china | (one == 0) & (two == 0))
    return (
        several & (one > 0) & (left >= 17) & year,
        (size == 15) & (one > 0),
        cards & ((size == 4) | (size == 8) | (size == 12) | (size >= 14) & (size <= 20)),
        cards & (left > 16) & ((size == 4) | (size == 8) | (size == 12) | (size == 16)),
        cards & ((size == 4) | (size == 6)),
        (one == 1) & (two > 2) & (left >= 11) & ((size == 3) | (size == 7) | (size == 11)),
        of_country,
        (one == 0) & (left >= 10) & ((size == 3) | (size == 4)),
        several & china & (codes[it.starts - 1] == ord("+")),
        (size == 4) & (one == 0) & (two == 9) & (left >= 10),
        several & (size == 2) & (one == 0) & (left >= 9),
        several & (size == 4) & (one == 0) & (two == 0) & (left >= 13),
        ((size == 3) | (size == 4)) & ((one == 4) | (one == 8)) & (two == 0) & (left >= 10),
        (size == 3) & (one == 1) & (two > 2) & (left >= 11) | of_country & (size <= 7),
        cards & (size == 4),
    )


def spread(text: str, it: Groups) -> Iterator[tuple[int, int]]:
    """Yield the start and end of digits with the same between all of them, and something else before and after.

    So are numbers written that shall not be found, and those that a line breaks. Not so: fractions, addresses of
    networks, numbers in thousands, and products: single stars count around a group alone, as in Markdown. Where an X
    follows in the same way, both are yielded, with it and without.
    """
    # Gaps that are the same, one after the other: the groups from that before the first to that after the last.
    opens = np.flatnonzero(first_of(it.gaps[1:] != it.gaps[:-1]))
    opens = opens[it.gaps[opens] != 0]
    lasts = _last(it.gaps)[opens]
    total = it.first[lasts] + it.sizes[lasts] - it.first[opens]
    # No identifier has more digits, nor fewer.
    fit = (total >= SHORTEST) & (total <= LONGEST)
    for one, other in zip(opens[fit].tolist(), lasts[fit].tolist(), strict=True):
        start, end = int(it.starts[one]), int(it.starts[other] + it.sizes[other])
        sizes = it.sizes[one : other + 1].tolist()
        gap = text[start + sizes[0] : int(it.starts[one + 1])]
        # A version has one or two digits before its first point, and no number in groups has.
        version = sizes[0] < 3 and max(sizes) > 2 and text[start : start + 2] != "86"
        dotted = gap == "." and (len(sizes) == 2 or (len(sizes) == 4 and max(sizes) <= 3) or version)
        thousands = len(sizes) > 2 and sizes[0] <= 3 and set(sizes[1:]) == {3}
        fraction = text[start - 1] == "." and text[start - 2].isdigit()
        product = "*" in gap and "**" not in gap and (gap != "*" or len(sizes) != 3)
        if not (dotted or thousands or fraction or product):
            yield start, end
            if text[end : end + len(gap) + 1].upper() == f"{gap}X":
                yield start, end + len(gap) + 1


def _last(gaps: Places) -> Places:
    """Return for each gap the group after the last one that is as it is, without another between them."""
    ends = np.flatnonzero(np.append(gaps[1:] != gaps[:-1], True))
    return np.repeat(ends + 1, np.diff(np.append(-1, ends)))


def find(text: str, codes: Codes) -> Iterator[tuple[str, int, int]]:
    """Yield the kind, start and end of each identifier in a text that was made plain, and has edges."""
    if not (it := groups(codes)):
        return
    for rule, may in zip(RULES, starts(codes, it), strict=True):
        matches = (found for place in it.starts[may].tolist() if (found := rule.pattern.match(text, place)))
        # What is before an identifier and belongs to it, such as the code of a country, is not part of another word.
        spans = {found.span(1): found.span() for found in matches if rule.one(found)}
        yield from _judged(_apart(text, spans), rule.kind, rule.many)
    yield from (("phone", *span) for span in abroad.telephones(text, codes, it))
    written = _apart(text, {span: span for span in spread(text, it)})
    for kind, start, end in _judged(written, _phone, None):
        # Without the code of its country, as the rules above have it: one number has one pseudonym.
        yield kind, [place for place in range(start, end) if text[place].isdigit()][-SHORTEST], end
    yield from _judged(written, _card, luhn)
    yield from _judged(written, _identity, identity_cards)


def _apart(text: str, spans: dict[Span, Span]) -> dict[Span, str]:
    """Return the digits of those spans that are words of their own, each with what belongs to it."""
    return {span: _NO_DIGITS.sub("", text[slice(*span)]) for span, whole in spans.items() if apart(text, *whole)}


def _judged(
    digits: dict[Span, str], kind: Callable[[str], str | None], many: Many | None
) -> Iterator[tuple[str, int, int]]:
    """Yield those spans whose digits are of a kind and pass the check of all of them together."""
    rows = {span: found for span, it in digits.items() if (found := kind(it))}
    right = many([digits[span] for span in rows]) if rows and many else [True] * len(rows)
    for (span, found), passed in zip(rows.items(), right, strict=True):
        if passed:
            yield found, *span
