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
#: The same of one that ends with the word of its value, but for brackets and signs: "Phone number (with area code)?".
LONGEST_WITH_WORD = 60
#: Latin words that are shorter, and these, are words of their own: `tel` is none in `hotel`, `secret` in `secretary`.
WHOLE, ALSO_WHOLE = 5, ("mobile", "secret")
#: Characters of a value that may be personal data: an identifier has at least four digits or Latin letters.
SHORTEST = 4
#: A person's name has at most so many characters.
NAME = 16
_DAY = r"(?:19|20)[0-9]{2} ?[-/.年] ?[01]?[0-9](?: ?[-/.月] ?[0-3]?[0-9] ?日?)?"
_NAMED_PERSON = rf"{say.FAMILY}[\u4e00-\u9fff]{{1,2}}"
_RECORDS = "|".join((*(f"{it}{no}" for it in say.PATIENT.split("|") for no in ("号", "编号")), say.RECORD))
#: How a value is written that the rules find after one of these words; never wider than the rules.
SHAPES = (
    (say.LOGIN, r"(?=[^0-9]*[0-9])[a-z0-9!#%&*+./:=?@^_|~-]{4,199}"),
    (say.PASSPORT, r"[a-z]{1,2}[ -]?[0-9]{7,8}|[0-9]{9}"), (say.CARD, r"[0-9](?:[ -]?[0-9]){11,22}"),
    (say.PHONE, rf"(?!{_DAY}$)(?:\+[1-9](?:[ -]?[0-9]){{8,13}}|[0-9](?:[ -]?[0-9]){{6,11}})"),
    (say.IDENTITY, r"[1-9][0-9]{5}[ -]?[0-9]{8}[ -]?[0-9]{3}[0-9x]|[a-z]{1,2}[ -]?[0-9]{6}[ -]?(?:\([0-9a]\)|[0-9a])"),
    (say.PERMIT, r"[a-z]?[0-9]{8}(?:[0-9]{2})?|[a-z]{2}[ -]?[0-9]{7}"), (say.RESIDENCE, r"[a-z]{3}[ -]?[0-9]{12}"),
    (say.FUND, rf"(?!{_DAY}$)[a-z]{{0,3}}-?[0-9](?:-?[0-9]){{6,19}}"), (_RECORDS, r"[a-z]{0,4}[0-9]{5,15}"),
    (say.BIRTH, rf"{_DAY}|(?:19|20)[0-9]{{2}}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"),
    (say.SOLDIER, rf"[{say.ARMS}]?字?第? ?[0-9]{{6,10}}"), (say.WECHAT, r"[a-z][a-z0-9_-]{5,19}"),
    (say.QQ, r"[1-9][0-9]{4,10}"), (say.SSN, r"[0-9]{3}[ -]?[0-9]{2}[ -]?[0-9]{4}"),
)  # fmt: skip
#: What may be between such a word and its value.
_AFTER = (
    r"s?(?:日期|年月日?|卡)?(?:号码|编号|号|证号|账号|帐号|卡号"
    r"|[ _-]?(?:nos?\.?|num(?:ber)?s?|id|code|value|hash|key|account|date|on|record)){0,2}\.?"
)
#: How one may be written, which the rules find if its check digits are right, or a part of it.
BROAD = (
    (say.LOGIN, r"(?=.*[0-9])[!-~]{4,}.*"), (say.DEVICE, r"[0-9](?:[ -]?[0-9]){14}"),
    (say.PATIENT, r"[a-z]{0,4}[0-9-]{5,15}"),
    (say.COMPANY, r"[0-9a-z]{18}|[0-9]{8}"), (say.IBAN, r"[a-z]{2}[0-9]{2}[0-9a-z ]{10,38}"),
    (say.PHONE, r"\(?[+0-9][0-9() /-]{6,}.*"), (f"{say.PASSPORT}|{say.PERMIT}", r"[a-z]{1,2}[ -]?[0-9]{7}.*"),
    (f"{say.CARD}|{say.IDENTITY}", r"[0-9][0-9 x-]{11,}.*"),
)  # fmt: skip
_OTHERS = (say.PLACE, say.POSITION, say.LATITUDE, say.LONGITUDE, "mail|邮箱|邮件|mac|vin|车牌|车架|地址|address")
_OF_IDENTIFIERS = tuple(words for words, _ in (*SHAPES, *BROAD))
_WORDS = (*_OF_IDENTIFIERS, *_OTHERS)
_ALL_WORDS = (*_WORDS, say.PERSON)
#: A name of programs in one word, such as `userPwd`, and where a word in it begins.
_NAME_OF_FIELD = re.compile(r"[A-Za-z][a-z0-9]*(?:[A-Z][A-Za-z0-9]*)+")
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SENTENCE = re.compile(r"[。；;！!？?，,@\n]")
#: Signs behind a label: of a question, and of what the column is sorted or shown by.
_SIGNS = "？?！!▼▽▲△▾▿▴↓↑→←⇩⇧⇣⇡↕⇅☎☏✆✉📞📱📧📲✎✏►▶◄◀※•…\ufe0f"
_LETTER, _DIGIT = re.compile(r"[^\W\d_]"), re.compile(r"\d")
#: What a cell has beside the words of its label: marks of Markdown and of what must be filled in, colons, tags.
_MARKS = " \t\n\u3000*＊_`~"
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,200}>")
_BRACKETS = re.compile(r"\s*((?:\([^()]*\)|（[^（）]*）|\[[^\[\]]*\]|【[^【】]*】)+)\s*\Z")
_NUMBERED = re.compile(r"\A(.*\D)(?<! )[ -]?([0-9]{1,2}|[①-⑨])\Z", re.S)
#: A label, and behind a line which of several it is: "Phone - home".
_TAIL = re.compile(r"\A([^-—–_－]+?)\s*[-—–_－]+\s*([^-—–_－]+)\Z")
_BREAK = re.compile(r"[ \t\u3000]*\n\s*")
_BETWEEN_HAN = re.compile(r"(?<=[\u2e80-\u9fff\uff00-\uffef])\s+(?=[\u2e80-\u9fff\uff00-\uffef])")


@cache
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    parts = [it for word in words for it in word.split("|")]
    whole = [it.isascii() and (len(it) < WHOLE or it in ALSO_WHOLE) for it in parts]
    own = (rf"(?<![a-z]){it}s?(?![a-z])" if alone else it for it, alone in zip(parts, whole, strict=True))
    return re.compile("|".join(own))


@cache
def _shapes(broad: bool) -> tuple[tuple[re.Pattern[str], re.Pattern[str]], ...]:
    return tuple(
        (re.compile(_pattern((words,)).pattern if broad else rf"(?:{_pattern((words,)).pattern}){_AFTER}[是为]?\Z"),
         re.compile(shape, re.I | re.S))
        for words, shape in (BROAD if broad else SHAPES)
    )  # fmt: skip


@cache
def _simplified() -> dict[int, str]:
    return {ord(other): it for other, it in simplified().items()}


def _plain(cell: str) -> str:
    said = unicodedata.normalize("NFKC", cell).translate(_simplified())
    if _NAME_OF_FIELD.fullmatch(said) and not _pattern(_ALL_WORDS).search(said.lower()):
        said = _CAPITAL.sub(" ", said)
    return said.lower()


def bare(cell: str) -> str:
    """Return a label without the colon at its end."""
    return cell.rstrip(" \t\u3000:：")


@lru_cache(1 << 12)
def joined(cell: str) -> str:
    """Return a label on one line, as it is read: `登录⏎密码` and `密 码` are one word each; other cells as they are.

    Lines with a digit that name no value may be values themselves, such as passwords.
    """
    if len(cell) > 2 * LONGEST or cell.isalnum():
        return cell
    line = _BETWEEN_HAN.sub("", _BREAK.sub(" ", cell)) if "\n" in cell else cell
    if not is_label(line):
        return cell
    for closed in (_BETWEEN_HAN.sub("", line), re.sub(r"\s", "", line), line):
        if names_value(closed):
            return closed
    return cell if _digits(line) else line


@lru_cache(1 << 12)
def written(cell: str) -> str:
    """Return a label as it is before its value: its word last, so without marks, and after a number or brackets.

    `密码（初始）*` becomes `（初始）密码`, `**密码**：` becomes `密码`, `手机 2` becomes `2 手机`, and `电话-家庭`
    becomes `家庭 电话`.
    """
    said = bare(joined(cell))
    if not names_value(said):
        return said
    around = _MARKS + _SIGNS + ":："
    plain = _TAG.sub("", said).strip(around)
    if found := _BRACKETS.search(plain):
        before = plain[: found.start()].strip(around)
        inside = [it for it in re.split(r"[()（）\[\]【】]+", found[1]) if it.strip()]
        if names_value(before):
            plain = f"{found[1]}{before}"
        else:  # one of those in brackets has the word
            plain = " ".join([*([before] if before else []), *sorted(inside, key=names_value)])
    elif (found := _TAIL.match(plain)) and _ends_with_word(found[1]) and not _ends_with_word(plain):
        plain = f"{found[2]} {found[1]}"
    plain = _NUMBERED.sub(r"\2 \1", bare(plain).strip("[]【】"))
    return plain or said


@lru_cache(1 << 12)
def is_label(cell: str) -> bool:
    """Tell whether a cell has the form of a label: short, with letters, nearly without digits, no sentence."""
    said = bare(cell)
    if len(said) > LONGEST_WITH_WORD:
        return False
    if len(said) > LONGEST or _SENTENCE.search(said):
        said = _without_signs(said)
        if not _ends_with_word(said):
            return False
    return _SENTENCE.search(said) is None and _LETTER.search(said) is not None and _digits(said) <= MOST_DIGITS


def _digits(said: str) -> int:
    return len(_DIGIT.findall(said))


def _without_signs(said: str) -> str:
    """Return a label without the brackets and signs at its end."""
    plain = said.rstrip(_MARKS + _SIGNS + ":：")
    found = _BRACKETS.search(plain)
    return plain[: found.start()].rstrip(_MARKS + _SIGNS + ":：") if found else plain


def _ends_with_word(said: str) -> bool:
    return _last_word().search(_plain(said)) is not None


@cache
def _last_word() -> re.Pattern[str]:
    return re.compile(rf"(?:{_pattern(_ALL_WORDS).pattern}){_AFTER}[是为]?\Z")


@lru_cache(1 << 12)
def names_value(cell: str) -> bool:
    """Tell whether a cell is a label with a word that personal data is found after."""
    return is_label(cell) and has_word(cell)


@lru_cache(1 << 12)
def names_identifier(label: str) -> bool:
    """Tell whether a label has a word for an identifier, not for an address or a place."""
    return _pattern(_OF_IDENTIFIERS).search(_plain(label)) is not None


@lru_cache(1 << 12)
def names_secret(label: str) -> bool:
    """Tell whether a label names a password or the like, which may have any sign in it."""
    return _pattern((say.LOGIN,)).search(_plain(label)) is not None


def has_word(said: str) -> bool:
    """Tell whether a text has a word that personal data is found after."""
    return _pattern(_ALL_WORDS).search(_plain(said)) is not None


@lru_cache(1 << 12)
def fits(value: str, label: str) -> bool:
    """Tell whether the rules find a value after a label; people's names are not looked at."""
    return _fits(value, label, broad=False)


@lru_cache(1 << 12)
def may_fit(value: str, label: str) -> bool:
    """Tell whether the rules may find a value after a label: also where check digits or what is around it matter."""
    return _fits(value, label, broad=False) or _fits(value, label, broad=True)


def _fits(value: str, label: str, *, broad: bool) -> bool:
    if not names_value(label) or names_value(value):
        return False
    said, plain = _plain(written(label)), unicodedata.normalize("NFKC", value).strip("\"'“”「」")
    return any(words.search(said) and shape.fullmatch(plain) for words, shape in _shapes(broad))


@lru_cache(1 << 12)
def has_number(value: str) -> bool:
    """Tell whether a value, which is not a label itself, has as many digits as an identifier."""
    return _digits(value) >= SHORTEST and not names_value(value)


def may_name(label: str, value: str) -> bool:
    """Tell whether a label may name a value: by how the value is written, or by its digits."""
    return may_fit(value, label) or (names_value(label) and has_number(value))


@lru_cache(1 << 12)
def fits_person(value: str, label: str) -> bool:
    """Tell whether a value looks like the name of a person, and its label names one."""
    if not names_value(label) or names_value(value):
        return False
    return re.fullmatch(_NAMED_PERSON, value) is not None and _pattern((say.PERSON,)).search(_plain(label)) is not None


def may_be_personal(value: str, label: str) -> bool:
    """Tell whether a value may be personal data that a label names: an identifier, or the name of a person."""
    if sum(it.isascii() and it.isalnum() for it in unicodedata.normalize("NFKC", value)) >= SHORTEST:
        return True
    return len(value) <= NAME and _pattern((say.PERSON,)).search(_plain(label)) is not None
