"""Identifiers with letters and a check digit: identity cards of Hong Kong and Taiwan, accounts, companies."""

from __future__ import annotations

import re

from dualtrack.knowledge.pii.numbers import PROVINCES
from dualtrack.knowledge.pii.rules import Pattern, Rule, begins_capitals, shape

#: Neither a letter nor a digit is there, but for an escaped character of a URL or of a program's text.
START = r"(?:(?<![A-Za-z0-9])|(?<=%[0-9A-Fa-f]{2})|(?<=\\[nrt]))"
END = r"(?![A-Za-z0-9])"
#: Numbers of the letters in an identity card of Taiwan, by the order of places.
_TAIWAN = {it: number for number, it in enumerate("ABCDEFGHJKLMNPQRSTUVXYWZIO", 10)}
#: Characters of a unified social credit code, by their values (GB 32100-2015); what each place weighs.
_CREDIT, _CREDIT_WEIGHTS = "0123456789ABCDEFGHJKLMNPQRTUWXY", [pow(3, place, 31) for place in range(17)]
#: Where companies are registered: by the state, or in a province.
_REGIONS = frozenset(map(str, (10, *PROVINCES)))
#: Characters after the country and its two check digits, and the countries (SWIFT's register of IBANs).
IBANS = """
11 NO|12 BE|14 DK FI FK FO GL NL SD|15 MK SI|16 AT BA EE KZ LT LU MN XK|17 CH HR LI LV|18 BG BH CR DE GB GE IE ME RS VA
19 AE GI IL IQ OM SO TL|20 AD CZ ES MD PK RO SA SE SK TN VG|21 LY PT ST|22 IS TR|23 BI DJ FR GR IT MC MR SM
24 AL AZ BY CY DO GT HN HU LB NI PL SV|25 BR EG PS QA UA|26 JO KW MU YE|27 MT SC|28 LC|29 RU
"""


def hong_kong(number: str) -> bool:
    """Return whether the last of a letter or two, six digits and a check digit is right (0 to 9, A)."""
    values = [int(it, 36) for it in number]
    weights = range(len(values), 0, -1)
    # One letter has a blank before it, which counts as 36.
    blank = 36 * 9 if len(values) == 8 else 0
    return (blank + sum(value * weight for value, weight in zip(values, weights, strict=True))) % 11 == 0


def taiwan(number: str) -> bool:
    """Return whether the last of a letter and nine digits is right."""
    tens, ones = divmod(_TAIWAN[number[0]], 10)
    digits = [tens, ones, *map(int, number[1:])]
    return sum(it * weight for it, weight in zip(digits, (1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1), strict=True)) % 10 == 0


def taiwan_company(code: str) -> bool:
    """Return whether eight digits are a unified business number of Taiwan (since 2023: a sum that 5 divides)."""
    parts = [sum(divmod(int(it) * weight, 10)) for it, weight in zip(code, (1, 2, 1, 2, 1, 2, 4, 1), strict=True)]
    return sum(parts) % 5 == 0 or (code[6] == "7" and (sum(parts) + 1) % 5 == 0)


def credit_code(code: str) -> bool:
    """Return whether the last of 18 characters is right (GB 32100-2015)."""
    values = [_CREDIT.index(it) for it in code]
    return (sum(it * weight for it, weight in zip(values, _CREDIT_WEIGHTS, strict=False)) + values[17]) % 31 == 0


def iban(number: str) -> bool:
    """Return whether the check digits of an account are right (ISO 13616, ISO 7064 MOD 97-10)."""
    return int("".join(str(int(it, 36)) for it in number[4:] + number[:4])) % 97 == 1


def _bare(found: re.Match[str]) -> str:
    return re.sub("[^0-9A-Z]", "", found[1].upper())


def _regional(found: re.Match[str]) -> bool:
    number = _bare(found)
    return taiwan(number) if len(number) == 10 and number[1:].isdigit() else hong_kong(number)


def company(found: re.Match[str]) -> bool:
    """Return whether a code after a word for a company's is right: of the mainland, or of Taiwan (8 digits)."""
    code = _bare(found)
    return taiwan_company(code) if len(code) == 8 else credit_code(code)


def _code(found: re.Match[str]) -> bool:
    # Digits alone with a year where identity cards have it are such a card that is mistyped.
    card = found[1].isdigit() and found[1][6:8] in ("19", "20")
    return not card and found[1][2:4] in _REGIONS and credit_code(found[1])


def account(found: re.Match[str]) -> bool:
    """Return whether what was found is an account with right check digits."""
    return iban(_bare(found))


#: Between two characters of a number with a check of its own: groups, or the end of a line.
_GAP = r"(?:[ -]|[ \r]?\n ?)?"


def _ibans() -> str:
    """Return a pattern for accounts of all countries, each as long as it is there; in groups, on two lines, or not."""
    found = []
    for part in IBANS.replace("\n", "|").strip("|").split("|"):
        length, *countries = part.split()
        found.append(rf"(?:{'|'.join(countries)})[0-9]{{2}}(?:{_GAP}[A-Z0-9]){{{length}}}")
    return "|".join(found)


#: What identity cards of Hong Kong (with its last digit in brackets), Macao (the same) and Taiwan look like.
HONG_KONG, TAIWAN = r"[A-Z]{1,2} ?[0-9]{6} ?\([0-9A]\)", "[A-Z][1289][0-9]{8}"
#: In the family of vehicles' numbers, whose hint has these characters, too (`words`).
CREDIT_CODE = Rule(
    "credit_code", Pattern(rf"{START}([159ANY][{_CREDIT}][0-9]{{6}}[{_CREDIT}]{{10}}){END}"), _code,
    worth=begins_capitals,
)  # fmt: skip
#: The same after a word: in small letters, too, and in groups; or the eight digits of Taiwan.
CREDIT_CODE_WRITTEN = rf"(?:[159ANY](?:{_GAP}[{_CREDIT}]){{17}}|[0-9]{{8}})"
#: Accounts of all countries.
IBANS_OF_ALL = _ibans()
#: A short hint: one that has all that follows halves Hyperscan's speed.
REGISTERS = shape(
    rb"(?-i)[A-Z][0-9][0-9]",
    Rule("regional_id", Pattern(rf"{START}({HONG_KONG}|{TAIWAN}){END}"), _regional,
         worth=begins_capitals),
    Rule("bank_card", Pattern(rf"{START}({IBANS_OF_ALL}){END}"), account,
         worth=begins_capitals),
    before=24, after=56, back=12, follows=4,
)  # fmt: skip
