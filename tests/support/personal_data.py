"""Texts with personal data whose places are known, and with traps that are none; all by chance from a seed.

Check digits are computed here by tables, apart from the product's formulas. Nothing here belongs to anybody: numbers
are drawn, and most were never issued.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from tests.support import personal_registers as registers

PROVINCES = [
    *range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55), *range(61, 66), 71,
]  # fmt: skip
WEIGHTS, CHECKS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2), "10X98765432"
MOBILES = [
    130, 133, 135, 138, 139, 147, 150, 152, 158, 159, 166, 170, 176, 177, 180, 185, 186, 188, 189, 191, 195, 198, 199,
]  # fmt: skip
FILLERS = (
    "请于本周内完成登记。", "系统已生成回执，", "The record was updated by the clerk. ", "备注：无异常。",
    "项目编号见附件；", "see section 4.2 of it, ", "该文档适用于 3.11 版本，", "会议定于下午三点开始。", "\n", " ",
    "附件一共二十三页，", "(draft) ",
)  # fmt: skip
#: Digits of other scripts, from 0 to 9.
SCRIPTS = [
    "０１２３４５６７８９", "〇一二三四五六七八九", "零壹贰叁肆伍陆柒捌玖", "०१२३४५६७८९", "٠١٢٣٤٥٦٧٨٩", "๐๑๒๓๔๕๖๗๘๙",
    *("".join(map(chr, range(it, it + 10))) for it in (0x11F50, 0x10D40, 0x1CCF0)), "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗",
    "⓪①②③④⑤⑥⑦⑧⑨", "௦௧௨௩௪௫௬௭௮௯",
]  # fmt: skip
INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u202a\ufe0f\0\x1b\x7f"
INVISIBLE += "\u0300\u0336\u20e3\ufe20\U000e0001\U000e0031\U000e0101"


@dataclass
class Text:
    """A text that grows, and what is where in it: kinds, starts and ends in characters."""

    text: str = ""
    spans: list[tuple[str, int, int]] = field(default_factory=list)

    def add(self, text: str, kind: str = "", before: str = "", after: str = "") -> None:
        """Add a text, which is of a kind or of none."""
        start = len(self.text) + len(before)
        self.text += before + text + after
        if kind:
            self.spans.append((kind, start, start + len(text)))


class Maker:
    """Makes identifiers, ways to write them, and what only looks like one."""

    def __init__(self, seed: int) -> None:
        """Begin from a seed."""
        self.random = random.Random(seed)

    def digits(self, count: int) -> str:
        """Return digits by chance."""
        return "".join(self.random.choices(string.digits, k=count))

    def day(self) -> date:
        """Return a day of birth."""
        return date(1930, 1, 1) + timedelta(days=self.random.randrange(34000))

    def id_card(self, province: str = "") -> str:
        """Return a number with its check digit (GB 11643)."""
        body = (
            (province or str(self.random.choice(PROVINCES)))
            + self.digits(4)
            + self.day().strftime("%Y%m%d")
            + self.digits(3)
        )
        return body + CHECKS[sum(int(it) * weight for it, weight in zip(body, WEIGHTS, strict=True)) % 11]

    def card(self) -> str:
        """Return a bank card's number with its check digit."""
        start, length = self.random.choice(
            [("62", 16), ("62", 19), ("62", 17), ("4", 16), ("52", 16), ("37", 15), ("3530", 16)]
        )
        body = start + self.digits(length - len(start) - 1)
        return next(body + it for it in string.digits if self.luhn(body + it))

    @staticmethod
    def luhn(number: str) -> bool:
        """Say whether the check digit is right."""
        return (
            sum(
                int(it) if place % 2 == 0 else sum(divmod(2 * int(it), 10)) for place, it in enumerate(reversed(number))
            )
            % 10
            == 0
        )

    def mobile(self) -> str:
        """Return a mobile telephone's number."""
        return f"{self.random.choice(MOBILES)}{self.digits(8)}"

    def fixed(self) -> str:
        """Return a telephone's number with its area."""
        area, rest = self.random.choice([("010", 8), ("021", 8), ("0571", 8), ("0312", 7), ("0755", 8)])
        return area + self.random.choice("- ") + self.random.choice("2345678") + self.digits(rest - 1)

    def split(self, number: str) -> str:
        """Return a telephone with its area in brackets, or its local part in two groups, or both."""
        area, _, local = number.replace("-", " ").partition(" ")
        head = self.random.choice([f"{area})", f"{area}) ", f"{area}）", f"{area} ", f"{area}-"])
        return head + local[:-4] + self.random.choice([" ", "-", ""]) + local[-4:]

    def vin(self) -> str:
        """Return a vehicle's number with its check digit (GB 16735)."""
        letters = "ABCDEFGHJKLMNPRSTUVWXYZ"
        values = dict(zip(letters, map(int, "12345678123457923456789"), strict=True)) | {
            it: int(it) for it in string.digits
        }
        body = (
            "L"
            + "".join(self.random.choices(letters, k=2))
            + "".join(self.random.choices(letters + string.digits, k=5))
            + "0"
        )
        body += "".join(self.random.choices(letters + string.digits, k=4)) + self.digits(4)
        total = (
            sum(
                values[it] * weight
                for it, weight in zip(body, (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2), strict=True)
            )
            % 11
        )
        return body[:8] + "0123456789X"[total] + body[9:]

    def word(self, least: int, most: int) -> str:
        """Return a name of letters and digits that begins with a letter."""
        rest = self.random.choices(string.ascii_lowercase + string.digits, k=self.random.randint(least, most) - 1)
        return self.random.choice(string.ascii_lowercase) + "".join(rest)

    def mail(self) -> str:
        """Return a mail address, sometimes as it is written in URLs and in HTML."""
        at = self.random.choice(["@", "@", "@", "＠", "%40", "&#64;", "&#x40;"])
        name = self.random.choice(["git", self.word(3, 9)])
        return f"{name}{at}{self.word(3, 8)}.{self.random.choice(['com', 'com.cn', 'org', 'services'])}"

    def behind(self) -> str:
        """Return a password as lists of accounts have it, behind a colon, or nothing."""
        found = ["", f":{self.word(2, 5)}/{self.word(2, 5)}", f"：{self.word(2, 5)}/x", ":2024/01/02"]
        return self.random.choice(found)

    def fraction(self, name: str) -> str:
        """Return a fraction after its name."""
        return f"{name}: {self.random.uniform(0, 2):.5f}"

    def imei(self) -> str:
        """Return a device's number with its check digit."""
        body = "86" + self.digits(12)
        return next(body + it for it in string.digits if self.luhn(body + it))

    # --- how a number may be written so that a simple pattern does not find it

    def written(self, number: str) -> str:
        """Return a number of 11 digits or more, written in one of many ways."""
        ways: list[Callable[[str], str]] = [
            lambda it: it, lambda it: it, self.in_script, self.mixed, self.invisible, self.spread, self.broken,
            self.bold,
        ]  # fmt: skip
        return self.random.choice(ways)(number)

    def in_script(self, number: str) -> str:
        """Return it in the digits of another script."""
        script = self.random.choice(SCRIPTS)
        return number.replace("X", self.random.choice("XxＸ")).translate(
            {ord(it): script[int(it)] for it in string.digits}
        )

    def mixed(self, number: str) -> str:
        """Return it with some digits of other scripts."""
        return "".join(
            self.random.choice(SCRIPTS)[int(it)] if it.isdigit() and self.random.random() < 0.4 else it for it in number
        )

    def invisible(self, number: str) -> str:
        """Return it with what shows nothing inside."""
        most = self.random.choice([3, 3, 3, 60])
        gaps = [self.random.choice(INVISIBLE) * self.random.randrange(most) for _ in number[1:]]
        return number[0] + "".join(gap + it for gap, it in zip(gaps, number[1:], strict=True))

    def spread(self, number: str) -> str:
        """Return it with the same separator between all digits."""
        return self.random.choice([" ", "-", ".", "·", " - ", "\u3000", "\u2009", "_"]).join(number)

    def bold(self, number: str) -> str:
        """Return it with a part that is bold in Markdown."""
        return self.random.choice(["**", "*"]).join([number[:3], number[3:7], number[7:]])

    def broken(self, number: str) -> str:
        """Return it broken into two lines, as a page or a column breaks it."""
        place = self.random.randrange(3, len(number) - 3)
        return number[:place] + self.random.choice(["\n", "\r\n", "\n  "]) + number[place:]

    # --- what is personal data, by kind: what is before it, and the value

    def identifier(self) -> tuple[str, str, str]:
        """Return a kind, what is written before, and the value."""
        kind, before, value = self.random.choice(IDENTIFIERS)
        return kind, self.random.choice(before), value(self)

    def grouped(self, number: str, *sizes: int) -> str:
        """Return a number in groups, as people write it."""
        gap, parts, place = self.random.choice([" ", "-", ""]), [], 0
        for size in (*sizes, len(number)):
            parts.append(number[place : place + size])
            place += size
        return gap.join(parts)

    def resident(self, *provinces: str) -> str:
        """Return a number like an identity card's, of residents that have another card."""
        return self.written(self.id_card(self.random.choice(provinces)))

    def lettered(self, *starts: str, digits: int) -> str:
        """Return letters and digits."""
        return self.random.choice(starts) + self.digits(digits)

    def oh(self, number: str) -> str:
        """Return a number with letters for its zeros and ones, but for the first one."""
        swap = {"0": "Oo", "1": "lI"}
        found = [self.random.choice(swap[it]) if it in swap and place else it for place, it in enumerate(number)]
        return "".join(found)

    def plate(self) -> str:
        """Return a car's plate."""
        place = self.random.choice("京沪粤浙苏川") + self.random.choice("ABCDE")
        if self.random.random() < 0.3:
            return place + "D" + self.digits(5)
        return place + self.random.choice(["·", "", " "]) + self.digits(4) + self.random.choice("ABC8")

    # --- what is none

    def trap(self) -> str:
        """Return what looks like an identifier and is none."""
        found = self.random.choice(TRAPS)
        return found if isinstance(found, str) else found(self)


ANY = ("",)
IDENTIFIERS: list[tuple[str, Sequence[str], Callable[[Maker], str]]] = [
    ("id_card", ("", "身份证号：", "ID "), lambda made: made.written(made.id_card())),
    ("id_card", ANY, lambda made: made.grouped(made.id_card(), 6, 8)),
    ("residence_permit", ANY, lambda made: made.resident("81", "82", "83")),
    ("foreigner_permit", ANY, lambda made: made.resident("91", "95")),
    ("foreigner_permit", ("永久居留证：",), lambda made: made.lettered("USA", "CAN", "KOR", digits=12)),
    ("travel_permit", ANY, lambda made: made.lettered("H0", "M0", digits=7)),
    ("travel_permit", ("台胞证号：",), lambda made: made.lettered("0", digits=7)),
    ("passport", ("护照号：", "passport no. ", "护照 "), lambda made: made.lettered("E", "G", "EA", "EH", digits=8)),
    ("military_id", ANY, lambda made: made.lettered("军字第", "士字第", "文字第", digits=8) + "号"),
    ("social_security", ("社保号：", "公积金账号："), lambda made: made.digits(12)),
    ("medical_record", ("病历号：", "住院号: ", "门诊编号："), lambda made: made.lettered("", "B", "ZY", digits=8)),
    ("phone", ("", "电话", "联系电话：", "tel "), lambda made: made.written(made.mobile())),
    ("phone", ANY, lambda made: made.grouped(made.mobile(), 3, 4)),
    ("phone", ("+86 ", "86-"), lambda made: made.mobile()),
    ("phone", ("+86.", "0086.", "+86 0", "+860", "0086-0"), lambda made: made.mobile()),
    ("phone", ("+86", "86", "0086", "８６", "〇〇八六", "8\u200b6"), lambda made: made.written(made.mobile())),
    ("phone", ANY, lambda made: made.fixed()),
    ("phone", ("", "电话", "电话：", "Tel "), lambda made: made.split(made.fixed())),
    ("phone", ANY, lambda made: f"400-{made.digits(3)}-{made.digits(4)}"),
    ("phone", ("热线", "客服电话："), lambda made: made.lettered("400", "800", digits=7)),
    ("phone", ANY, lambda made: registers.abroad(made.random)),
    ("phone", ANY, lambda made: made.oh(made.mobile())),
    ("regional_id", ("", "身份证 ", "HKID: "), lambda made: registers.hong_kong(made.random)),
    ("regional_id", ("", "身分證號碼："), lambda made: registers.taiwan(made.random)),
    ("credit_code", ("", "税号"), lambda made: registers.credit_code(made.random)),
    ("bank_card", ("", "IBAN: "), lambda made: registers.account(made.random)),
    ("travel_permit", ("港澳通行证号码：", "通行证"), lambda made: made.lettered("C", "W", "L", digits=8)),
    ("email", ANY, lambda made: f"{made.word(3, 9)} (at) {made.word(3, 8)}.com"),
    ("email", ("", "mailto:"), lambda made: made.mail()),
    ("messenger", ("微信：", "微信号: "), lambda made: made.word(6, 12)),
    ("messenger", ("QQ：", "QQ号："), lambda made: made.lettered("5", digits=8)),
    ("bank_card", ("", "卡号 "), lambda made: made.written(made.card())),
    ("bank_card", ("卡号：",), lambda made: made.lettered("9", digits=15)),
    ("plate", ANY, lambda made: made.plate()),
    ("vin", ANY, lambda made: made.vin()),
    ("imei", ("IMEI: ", "IMEI："), lambda made: made.imei()),
    ("mac", ANY, lambda made: ":".join(f"{made.random.randrange(1, 255):02x}" for _ in range(6))),
    ("coordinates", ANY, lambda made: f"{made.random.uniform(20, 50):.5f}, {made.random.uniform(75, 130):.5f}"),
    (
        "birth_date", ("出生日期：", "生日 ", "born "),
        lambda made: made.day().strftime(made.random.choice(["%Y-%m-%d", "%Y/%m/%d", "%Y年%m月%d日", "%Y%m%d"])),
    ),
    ("secret", ("密码：", "password=", "token: "), lambda made: made.word(4, 9) + made.digits(3)),
    ("secret", ANY, lambda made: "sk-" + made.word(30, 40)),
]  # fmt: skip


def _wrong_id(made: Maker) -> str:
    number = made.id_card()
    return number[:-1] + made.random.choice([it for it in string.digits if it != number[-1]])


def _wrong_card(made: Maker) -> str:
    number = made.card()
    return number[:-1] + str((int(number[-1]) + made.random.randint(1, 9)) % 10)


#: Words that begin like the names of a place's halves, or end like them.
PLACES, PLACELESS = ("lat", "latitude"), ("latency", "latent", "long", "correlation", "flat", "lonely", "longest")
UNITS = (
    "automount", "device", "mount", "path", "scope", "service", "slice", "socket", "swap", "target", "timer",
)  # fmt: skip


TRAPS: list[str | Callable[[Maker], str]] = [
    "12 345 678 901", "user@example.com", "git clone git@host:repo", "密码是大小写敏感的，请妥善保管",
    "password: required", "$password = ReadLine(0);", "第一二三四五章", "二〇二四年", "24" + ":ab" * 7,
    lambda made: "序列号 77" + made.digits(1) + made.id_card() + made.digits(2),  # inside a longer number
    lambda made: "编号" + _wrong_id(made),
    lambda made: "流水 " + _wrong_card(made),
    lambda made: "ISBN 978" + made.digits(10),
    lambda made: "条码 69" + made.digits(11),
    lambda made: "时间戳 " + made.lettered("1700", "2024", digits=9),
    lambda made: "20" + made.digits(2) + "0101" + made.digits(9),  # 17 digits of time
    lambda made: "version " + ".".join(str(made.random.randrange(1, 255)) for _ in range(4)),
    lambda made: "0." + made.mobile(),
    lambda made: f"{made.mobile()}.{made.digits(2)} 元",
    lambda made: made.mobile() + made.random.choice([" 字节", "字节", " bytes", "KB", " GiB"]),
    lambda made: f"版本1.39.{made.digits(8)}",
    "马路三号桥",
    lambda made: f"3.{made.mobile()[1:]}",
    lambda made: "sha " + "".join(made.random.choices("abcdef0123456789", k=40)),
    lambda made: "a" + made.mobile() + "f0",
    lambda made: "，".join(made.digits(5) for _ in range(4)),
    lambda made: f"{made.random.uniform(0, 2):.6f}, {made.random.uniform(0, 2):.6f}",
    lambda made: made.lettered("A", "B", "X", digits=5),
    lambda made: "订单 2024" + made.digits(10),
    lambda made: f"{made.word(3, 9)}@{made.word(3, 8)}.{made.random.choice(UNITS)}",
    # Where git and scp find a directory on another host.
    lambda made: f"git@{made.word(3, 8)}.com:{made.word(3, 8)}/{made.word(3, 8)}.git",
    lambda made: f"{made.word(3, 9)}@{made.word(3, 8)}.cn:{made.random.choice(['/', '~/'])}{made.word(3, 8)}",
    lambda made: f"{made.word(3, 9)}@{made.word(3, 8)}.cn:{made.word(3, 8)}/{made.word(3, 8)}.git",
    lambda made: (
        f"{made.random.choice(['scp x.txt', 'rsync -a x', 'git clone', 'ssh'])} "
        f"{made.word(3, 9)}@{made.word(3, 8)}.cn:{made.word(3, 8)}/"
    ),
    lambda made: "*".join(made.random.choice(["13", "15", "18"]) + made.digits(9)),
    lambda made: f"1*3{made.digits(9)}",
    lambda made: f"13*{made.digits(1)}*{made.digits(2)}*{made.digits(2)}*{made.digits(2)}*{made.digits(2)}",
    lambda made: f"{made.fraction(made.random.choice(PLACELESS))} {made.fraction(made.random.choice(PLACELESS))}",
    lambda made: made.random.choice(PLACES) + f": 0.{made.digits(4)}, " + made.random.choice(PLACELESS) + ": 12.34567",
    lambda made: f"{made.random.choice(['token', 'max_token', 'pad token'])}: {made.digits(made.random.randint(1, 6))}",
    lambda made: f"{made.random.choice(['token', 'password'])}={made.random.choice(['${%s}', '<%s>', '<|%s|>'])}"
    % ("A" + made.digits(3)),
    lambda made: f"password=$NAME_{made.digits(2)}",
    lambda made: f"pwd: /home/{made.word(3, 8)}/v{made.digits(2)}",
]  # fmt: skip


def texts(seed: int, count: int) -> list[Text]:
    """Return texts, each with an identifier or a trap or both, between what is neither."""
    made, found = Maker(seed), []
    for _ in range(count):
        text = Text()
        for _ in range(made.random.randint(1, 3)):
            text.add(made.random.choice(FILLERS))
        chance = made.random.random()
        if chance < 0.75:
            kind, before, value = made.identifier()
            after = made.random.choice(["。", "，", "\n", "; ", "）"])
            text.add(
                value,
                kind,
                before=before,
                after=(made.behind() if kind == "email" and value[:3] != "git" else "") + after,
            )
        if chance > 0.6:
            text.add(made.random.choice(FILLERS))
            text.add(made.trap(), after=made.random.choice(["。", "，", "\n"]))
        text.add(made.random.choice(FILLERS))
        found.append(text)
    return found
