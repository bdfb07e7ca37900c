"""Every kind of identifier beside every class of neighbour, and what only looks like one beside the same.

A class is a category of Unicode, a script (the first word of a character's name), a width, and whether the character
has a value as a number. Of each class some characters are drawn by a seed. They are put before a value, after it, and
on both sides; so are the marks that people put beside values: numbers of items, names of files, units.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dualtrack.knowledge.pii import characters
from tests.support import personal_registers as registers
from tests.support.personal_data import Maker

#: Categories whose characters are none in a text: halves of pairs, and what is not assigned.
NONE = ("Cs", "Cn")
SIDES = ("before", "after", "both")
#: What people write before a value and after it, of several characters.
BEFORE = (
    "1. ", "1.", "12.", "1、", "（一）", "(1)", "[1] ", "1) ", "#1 ", "第3条", "10楼 ", "101室", "年龄35 ", "35岁",
    "￥100 ", "No.", "2026-11-29 ", "1,", "1\t", "①", "一、", "张三", "王五：", "合同_", "file_", "phone_",
    "tel=",
    "%3D", "/user/", "第三方", "v", "T", "卡一",
    "周一至周五", "7x24小时", "orderA", "ID:", "wx:a", '{"a":"', "**", "<b>",
    "`", "\\n", "\u200b",
)  # fmt: skip
AFTER = (
    "一份", "三次", "一直打不通", "两次", "四川", "万", "_1", "_张伟", "_phone", ".pdf", ".", "。", "…", "/2", " 1",
    "-1号", "#8", "转8", "(张)", "（王五）", "、", "&a=1", '"}', "**", "</b>", "`", "\\n", "同号", "元", "号",
    " ext 12",
    "\u200b", "②", "\n二", " 二",
)  # fmt: skip


@dataclass(frozen=True)
class Neighbour:
    """A character or more beside a value, and the class of it."""

    of: str
    text: str


@dataclass(frozen=True)
class Case:
    """A text, where in it the value is, and what was put beside it where; ``kind`` is that of the value."""

    kind: str
    text: str
    start: int
    end: int
    neighbour: Neighbour
    side: str


def classes() -> dict[str, list[str]]:
    """Return the characters of each class of neighbours."""
    found: dict[str, list[str]] = {}
    for code in (*range(1, 0x20000), *range(0xE0000, 0xE01F0)):
        it = chr(code)
        category = unicodedata.category(it)
        if category not in NONE:
            script = unicodedata.name(it, "unnamed").split(" ")[0].split("-")[0]
            value = "number" if unicodedata.numeric(it, None) is not None else "none"
            name = f"{category} {script} {unicodedata.east_asian_width(it)} {value}"
            found.setdefault(name, []).append(it)
    return found


def neighbours(chance: random.Random, each: int) -> list[Neighbour]:
    """Return ``each`` characters of each class at most, every Chinese numeral, and what has several characters."""
    found = [
        Neighbour(name, it)
        for name, them in classes().items()
        for it in chance.sample(them, min(each, len(them)))
    ]  # fmt: skip
    return [*found, *(Neighbour("numeral", it) for it in characters.CHINESE_DIGITS)]


#: Values by kind; those that need a word have it before them. ASCII's letters and digits alone.
VALUES: dict[str, tuple[str, Callable[[Maker], str]]] = {
    "phone": ("", lambda made: made.mobile()),
    "phone, fixed": ("", lambda made: made.split(made.fixed())),
    "phone, 400": ("", lambda made: f"400-{made.digits(3)}-{made.digits(4)}"),
    "phone, Taiwan": ("", lambda made: f"09{made.digits(2)}-{made.digits(3)}-{made.digits(3)}"),
    "phone, abroad": ("", lambda made: registers.abroad(made.random)),
    "phone, after a word": ("电话", lambda made: "5" + made.digits(6)),
    "id_card": ("", lambda made: made.id_card()),
    "residence_permit": ("", lambda made: made.id_card("81")),
    "foreigner_permit": ("", lambda made: made.id_card("91")),
    "bank_card": ("", lambda made: made.card()),
    "bank_card, IBAN": ("", lambda made: registers.account(made.random)),
    "regional_id, HK": ("", lambda made: registers.hong_kong(made.random)),
    "regional_id, TW": ("", lambda made: registers.taiwan(made.random)),
    "credit_code": ("", lambda made: registers.credit_code(made.random)),
    "travel_permit": ("", lambda made: made.lettered("H0", "M0", digits=7)),
    "travel_permit, after a word": ("通行证", lambda made: made.lettered("C", "L", digits=8)),
    "passport": ("护照", lambda made: made.lettered("E", "EA", digits=8)),
    "military_id": ("", lambda made: made.lettered("军字第", digits=8)),
    "social_security": ("社保号：", lambda made: made.digits(12)),
    "medical_record": ("病历号：", lambda made: made.lettered("B", digits=8)),
    "email": ("", lambda made: f"{made.word(3, 9)}@{made.word(3, 8)}.com"),
    "email, (at)": ("", lambda made: f"{made.word(3, 9)} (at) {made.word(3, 8)}.com"),
    "messenger": ("微信：", lambda made: made.word(6, 12)),
    "plate": ("", lambda made: "京A" + made.digits(5)),
    "vin": ("", lambda made: made.vin()),
    "imei": ("IMEI ", lambda made: made.imei()),
    "mac": ("", lambda made: ":".join(f"{made.random.randrange(17, 255):02x}" for _ in range(6))),
    "coordinates": ("", lambda made: f"{made.random.uniform(20, 50):.5f}, {made.random.uniform(75, 130):.5f}"),
    "birth_date": ("出生日期：", lambda made: made.day().strftime("%Y-%m-%d")),
    "secret": ("密码：", lambda made: made.word(5, 9) + made.digits(3)),
}
#: Kinds that are digits and separators: letters beside them are not part of them.
OF_DIGITS = frozenset(
    {"phone", "phone, fixed", "phone, 400", "phone, Taiwan", "phone, abroad", "id_card", "residence_permit",
     "foreigner_permit", "bank_card"}
)  # fmt: skip


def _wrong(number: str, made: Maker) -> str:
    return number[:-1] + made.random.choice([it for it in "0123456789" if it != number[-1]])


#: What is none, whatever is beside it, but for letters and digits.
LOOKALIKES: dict[str, Callable[[Maker], str]] = {
    "wrong check digit of an identity card": lambda made: _wrong(made.id_card(), made),
    "wrong check digit of a card": lambda made: _wrong(made.card(), made),
    "nine digits": lambda made: "7" + made.digits(8),
    "twelve digits": lambda made: "78" + made.digits(10),
    "fraction": lambda made: f"0.{made.mobile()}",
    "amount": lambda made: f"{made.mobile()}.{made.digits(2)} CNY",
    "size": lambda made: f"{made.mobile()} bytes",
    "version": lambda made: f"1.39.{made.digits(8)}",
    "address": lambda made: ".".join(str(made.random.randrange(1, 255)) for _ in range(4)),
    "digest": lambda made: "".join(made.random.choices("abcdef0123456789", k=40)),
    "UUID": lambda made: "550e8400-e29b-41d4-a716-" + "".join(made.random.choices("abcdef0123456789", k=12)),
    "hexadecimal": lambda made: f"0x{made.mobile()}",
    "thousands": lambda made: f"{made.random.randrange(1, 999)},{made.digits(3)},{made.digits(3)},{made.digits(3)}",
    "time": lambda made: f"2026-{made.random.randrange(1, 13):02}-13T09:30:45.{made.digits(6)}Z",
    "ISBN": lambda made: f"978-7-{made.digits(3)}-{made.digits(5)}-{made.digits(1)}",
    "unit": lambda made: f"systemd-{made.word(3, 9)}@vault.service",
}


def cases(chance: random.Random, each: int, values: dict[str, tuple[str, Callable[[Maker], str]]]) -> Iterator[Case]:
    """Yield every kind of value beside every neighbour on every side."""
    made = Maker(chance.randrange(1 << 32))
    them = [("both", it, it) for it in neighbours(chance, each)]
    them = [(side, one, other) for _, one, other in them for side in SIDES]
    them += [("before", Neighbour("mark", it), Neighbour("", "")) for it in BEFORE]
    them += [("after", Neighbour("", ""), Neighbour("mark", it)) for it in AFTER]
    for kind, (word, value) in values.items():
        for side, one, other in them:
            before = one.text if side != "after" else ""
            after = other.text if side != "before" else ""
            it = value(made)
            start = len(before) + len(word)
            text = f"{before}{word}{it}{after}"
            yield Case(kind, text, start, start + len(it), one if one.text else other, side)
