"""Days of birth: how they are written after a word, and one form for all of those whose order is clear.

Patterns are for windows that were made plain, where Chinese numerals are digits and 十 stays.
"""

from __future__ import annotations

import re

_YEAR, _ORDINAL = "(?:19|20)[0-9]{2}", "(?:st|nd|rd|th)?"
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
#: The name of a month in English; and in any language with Latin letters, where a day is beside it.
_NAMED = rf"(?:{'|'.join(_MONTHS)})[a-z]{{0,6}}\.?"
_NAME = r"[a-zà-ž]{3,10}\.?"
#: Where the first name of a date begins: not within a word (`Bornholm 7, 1990`).
_BEGINS = "(?<![a-z])"
_WEEKDAY = rf"(?:{_BEGINS}(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{{0,6}}\.?,? )?"
#: Numbers of months and days, also with 十: 十2, 3十1, 廿1.
_MONTH, _DAY = "(?:[十拾][12]?|[01]?[0-9]|元)", "(?:[123]?[十拾][1-9]?|[廿卅][1-9]?|[0-3]?[0-9])"
_SIGN = "(?: ?[-/.] ?| )"
VALUE = (
    rf"{_YEAR}(?: ?[-/.年] ?{_MONTH}(?: ?[-/.月] ?{_DAY}(?: ?[日号])?| ?月)?"
    rf"| [01]?[0-9] [0-3]?[0-9]|(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01]))(?![0-9])"
    rf"|{_YEAR}[ ./-]?{_NAMED}[ ./-]?[0-3]?[0-9]{_ORDINAL}(?![0-9])"
    rf"|[0-3]?[0-9]{_SIGN}[0-3]?[0-9]{_SIGN}{_YEAR}(?![0-9])"
    rf"|{_WEEKDAY}(?:[0-3]?[0-9]{_ORDINAL}\.?(?: ?[-/] ?| (?:(?:of|de) )?)?{_NAME}(?:, ?| ?[-/] ?| (?:de )?)?"
    rf"|{_BEGINS}{_NAME}[ /-]?[0-3]?[0-9]{_ORDINAL}(?:, ?|[ /-])|{_BEGINS}{_NAMED}(?:, ?|[ /-])){_YEAR}(?![0-9])"
)
_TENS = re.compile("([123]?)([十拾廿卅])([1-9]?)")
_OF_TENS = {"廿": 2, "卅": 3}
_NUMBERS = re.compile(r"(?P<year>(?:19|20)[0-9]{2})[^0-9]+(?P<month>[0-9]{1,2})[^0-9]+(?P<day>[0-9]{1,2})[^0-9]*")
#: The name of a month with a day and a year, in any order.
_NAME_AMONG = re.compile(rf"(?<![a-z])(?P<name>{'|'.join(_MONTHS)})", re.I)
_DIGITS = re.compile("[0-9]+")


def canonical(text: str) -> str | None:
    """Return a day as eight digits; None for another text, and where the order of its month and day is not clear."""
    text = _TENS.sub(_number, text).replace("元月", "1月")
    if found := _NUMBERS.fullmatch(text):
        return f"{found['year']}{int(found['month']):02}{int(found['day']):02}"
    numbers = sorted(_DIGITS.findall(text), key=len)
    if (named := _NAME_AMONG.search(text)) and len(numbers) == 2:
        return f"{numbers[1]}{_MONTHS.index(named['name'].casefold()) + 1:02}{int(numbers[0]):02}"
    return None


def _number(found: re.Match[str]) -> str:
    tens = _OF_TENS.get(found[2]) or int(found[1] or 1)
    return str(10 * tens + int(found[3] or 0))
