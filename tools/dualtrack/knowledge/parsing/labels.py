"""Cells that say what the value beside or below them is: "登录密码", "Passport No.", "手机：".

The rules for personal data find such a value only directly after its word. So where rows become text, a value stays
beside the cell that names it. The words are those of the rules (`pii.vocabulary`).
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache

from dualtrack.knowledge.pii import vocabulary as say
from dualtrack.knowledge.pii.traditional import simplified

#: Characters of a label, and digits in it: "紧急联系人电话 2". What is longer is a sentence or a value.
LONGEST, MOST_DIGITS = 30, 2
#: Latin words that are shorter are words of their own: `tel` is none in `hotel`.
WHOLE = 7
#: Characters of a value that may be personal data: an identifier has at least four digits or Latin letters.
SHORTEST = 4
#: A person's name has at most so many characters.
NAME = 16
_WORDS = (
    say.SOLDIER, say.IDENTITY, say.PASSPORT, say.PERMIT, say.RESIDENCE, say.CARD, say.DEVICE, say.FUND, say.PATIENT,
    say.BIRTH, say.PHONE, say.COMPANY, say.IBAN, say.WECHAT, "qq", say.LOGIN, say.PLACE, say.POSITION, say.LATITUDE,
    say.LONGITUDE, "mail|邮箱|邮件|mac|vin|车牌|车架|地址|address",
)  # fmt: skip
_SENTENCE = re.compile(r"[。；;！!？?，,@\n]")


@cache
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    parts = [it for word in words for it in word.split("|")]
    own = (rf"(?<![a-z]){it}(?![a-z])" if it.isascii() and len(it) < WHOLE else it for it in parts)
    return re.compile("|".join(own))


@cache
def _simplified() -> dict[int, str]:
    return {ord(other): it for other, it in simplified().items()}


def _plain(cell: str) -> str:
    return unicodedata.normalize("NFKC", cell).translate(_simplified()).lower()


def bare(cell: str) -> str:
    """Return a label without the colon at its end."""
    return cell.rstrip(" \t\u3000:：")


@lru_cache(1 << 12)
def is_label(cell: str) -> bool:
    """Tell whether a cell has the form of a label: short, with letters, nearly without digits, no sentence."""
    said = bare(cell)
    if len(said) > LONGEST:
        return False
    digits = sum(it.isdigit() for it in said)
    letters = any(it.isalpha() for it in said)
    return letters and digits <= MOST_DIGITS and not _SENTENCE.search(said)


@lru_cache(1 << 12)
def names_value(cell: str) -> bool:
    """Tell whether a cell is a label with a word that personal data is found after."""
    return is_label(cell) and _pattern((*_WORDS, say.PERSON)).search(_plain(cell)) is not None


def may_be_personal(value: str, label: str) -> bool:
    """Tell whether a value may be personal data that a label names: an identifier, or the name of a person."""
    if sum(it.isascii() and it.isalnum() for it in unicodedata.normalize("NFKC", value)) >= SHORTEST:
        return True
    return len(value) <= NAME and _pattern((say.PERSON,)).search(_plain(label)) is not None
