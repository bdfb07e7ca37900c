"""Ordinary forms of identifiers are found whole, and ordinary texts are none of them."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator
from datetime import date

import pytest

from dualtrack.knowledge.pii.mask import mask
from dualtrack.knowledge.pii.scan import scan
from tests.support.personal_data import Maker
from tests.unit.knowledge.pii.test_beside import found_in, none

NAMES = (
    "li.wei",
    "o'brien",
    "li!wei",
    "jörg",
    "josé.garcía",
    "émile",
    "张三",
    "李",
    "东三",
    "王五丰",
    "иван.петров",
    "d’arc",
)


def found(text: str) -> list[tuple[str, str]]:
    return [(it.kind, text.encode()[it.start : it.end].decode()) for it in scan(text.encode())]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("domain", ["huawei.com", "mail.huawei.co.uk", "huawei(dot)com", "huawei[.]com"])
def test_the_name_of_a_mail_address_is_found_whole(name: str, domain: str) -> None:
    for text in ("{}", "<{}>", "邮箱：{}，谢谢", "mail {} now", "'{}'", "to={}"):
        assert found(text.format(f"{name}@{domain}")) == [("email", f"{name}@{domain}")]


@pytest.mark.parametrize("at", ["@", "%40", "&#64;", "&#064;", "&#0064;", "&#x40;", "&#x040;", "&commat;", "＠"])
@pytest.mark.parametrize("dot", [".", "%2E", "%2e", "&#46;", "&#046;", "&#x2E;", "&#x02e;", "&period;"])
def test_signs_of_a_mail_address_may_be_escaped(at: str, dot: str) -> None:
    address = f"li.wei{at}mail{dot}huawei{dot}com"
    for text in ("{}", "<{}>", "邮箱：{}，谢谢", "mail {} now", "'{}'"):
        assert found(text.format(address)) == [("email", address)]
    assert codes(address) == codes("li.wei@mail.huawei.com")


@pytest.mark.parametrize("before", ["邮箱", "张三", "联系张三", "王五"])
def test_chinese_before_a_mail_address_is_no_part_of_it(before: str) -> None:
    assert found(f"{before}li.wei@huawei.com联系") == [("email", "li.wei@huawei.com")]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("phone", "{}", "400-8208820"), ("phone", "{}", "4008-208-820"), ("phone", "{}", "4008-208820"),
        ("phone", "{}", "0912-345678"), ("phone", "({}", "02)2345-6789"), ("phone", "{}", "0086-755-23456789"),
        ("phone", "{}", "0086 21 62345678"), ("imei", "IMEI1: {}", "352099001761481"),
        ("imei", "IMEI 1：{}", "352099001761481"), ("messenger", "QQ号{}", "12345678"),
        ("passport", "Passport number is {}", "E12345678"), ("passport", "My passport is {}", "E12345678"),
        ("passport", "護照號碼﹕{}", "K12345678"), ("passport", "護照編號︰{}", "K12345678"),
        ("birth_date", "DOB: {}", "03/07/1990"), ("birth_date", "Date of birth: {}", "7 March 1990"),
        ("birth_date", "Date of birth: {}", "March 7, 1990"), ("birth_date", "出生日期︰{}", "1990年3月7日"),
        ("medical_record", "MRN: {}", "12345678"), ("medical_record", "Medical record number: {}", "12345678"),
        ("social_security", "Social security number: {}", "123456789"), ("secret", "口令︰{}", "abcd1234"),
    ],
)  # fmt: skip
def test_ordinary_forms_are_found(kind: str, text: str, value: str) -> None:
    for end in ("", "\n", "。", " next"):
        assert found(text.format(value) + end) == [(kind, value)]


@pytest.mark.parametrize(
    "text",
    [
        "UTC+8 2024-03-15 12:00", "GMT+1 2024-03-15 10:00.", "+30 2024-03-15 12:00", "icon@2x.png", "url(bg@2x.jpg)",
        "pkg@1.2.3.tgz", "phone 2024-03-15 10:00", "电话 2024-03-15 10:00 打来", "手机 2024/03/15 购买",
        "社保 2023-2024 年度", "医保 2024-03-15", "住院号 2024-03-15", "fax 2024-03-15",
    ],
)  # fmt: skip
def test_ordinary_texts_are_none(text: str) -> None:
    assert not found(text)


def codes(*texts: str) -> list[set[str]]:
    made = [mask(it.encode(), "pseudonym", key=b"k" * 32, tenant="a").data.decode() for it in texts]
    return [set(re.findall(r"\[\w+:\w{16}\]", it)) for it in made]


@pytest.mark.parametrize(
    "texts",
    [
        ("0755-23456789", "+86 (0)755 2345 6789", "+86(0)75523456789", "+86 (755) 2345-6789", "+86.755.23456789",
         "电话：0755 - 23456789", "电话：(86) 755 23456789", "(0755)23456789", "电话：075523456789",
         "+86 755 23456789", "+86-0755-23456789", "+86 (0755) 23456789", "0086-755-23456789",
         "电话：755-23456789", "电话 755 2345 6789"),
        ("010-62345678", "+86 10 62345678", "电话：10-62345678", "(010)6234 5678"),
        ("400-820-8820", "电话：4008208820"),
        ("+852 2345 6789", "电话：852-23456789", "电话 00852 23456789"),
        ("0912-345-678", "手機0912345678", "+886 912 345 678", "+886-912345678"),
        ("+852 9123 4567", "电话：85291234567", "电话 00852 91234567"),
        ("+44 20 7946 0958", "+44 (0)20 7946 0958", "电话0044 20 7946 0958"),
        ("出生日期：1990-03-07", "出生日期：1990年3月7日", "出生日期：19900307", "出生日期：1990.3.7",
         "出生日期：一九九〇年三月七日", "DOB: 7 March 1990", "DOB: Mar. 7th, 1990", "DOB: 07MAR1990",
         "DOB: 1990-Mar-7"),
        ("出生日期：2001-12-31", "出生日期：二〇〇一年十二月三十一日", "生日：2001年十二月卅一日", "DOB: 31/Dec/2001",
         "DOB: Monday, 31st of December 2001"),
        ("出生日期：1985-10-20", "出生日期：一九八五年十月二十日", "出生日期：一九八五年十月廿日", "DOB: 20 OCT 1985"),
    ],
)  # fmt: skip
def test_one_value_has_one_pseudonym(texts: tuple[str, ...]) -> None:
    first, *others = codes(*texts)
    assert len(first) == 1
    assert all(it == first for it in others), texts


@pytest.mark.parametrize(
    "texts",
    [
        ("li.wei@huawei.com", "liwei@huawei.com", "li-wei@huawei.com", "li_wei@huawei.com"),
        ("密码：Abc_12345", "密码：Abc12345", "密码：abc12345", "密码：Abc12345!"),
        ("微信号：abc_12345", "微信号：abc12345", "微信号：abc-12345"),
    ],
)
def test_two_values_have_two_pseudonyms(texts: tuple[str, ...]) -> None:
    assert len(set(map(frozenset, codes(*texts)))) == len(texts)


#: Numbers in groups: what is before them, how many digits each group has, and how a separator ends a line.
GROUPED = {
    "phone": (("", "手机 ", "手机：", "Tel: "), ((3, 4, 4),)),
    "phone, +86": (("+86 ", "+86-", "0086 ", "电话：+86 "), ((3, 4, 4),)),
    "id_card": (("", "身份证 ", "ID: "), ((6, 8, 4), (6, 4, 4, 4))),
    "bank_card, 16": (("", "卡号 ", "卡号："), ((4, 4, 4, 4),)),
    "bank_card, 15": (("", "卡号 ", "Card: "), ((4, 6, 5),)),
    "bank_card, 19": (("", "卡号 ", "卡号："), ((4, 4, 4, 4, 3),)),
}  # fmt: skip
LINES = {" ": ("\n", " \n", "\r\n", " \r\n", "\n ", "\n  "), "-": ("-\n", "-\r\n", "-\n ")}


def on_two_lines() -> Iterator[tuple[str, str, str]]:
    """Yield what is before a number that a line breaks between two of its groups, the number, and what is after it."""
    made = Maker(11)
    for kind, (befores, forms) in GROUPED.items():
        kind, _, length = kind.partition(", ")
        for before, sizes, gap in itertools.product(befores, forms, LINES):
            for place, line, after in itertools.product(range(len(sizes) - 1), LINES[gap], ("", "。", "\n下一行 12")):
                number = {"phone": made.mobile, "id_card": made.id_card, "bank_card": made.card}[kind]()
                while kind == "bank_card" and len(number) != int(length):
                    number = made.card()
                ends = list(itertools.accumulate(sizes))
                parts = [number[end - size : end] for size, end in zip(sizes, ends, strict=True)]
                yield before, gap.join(parts[: place + 1]) + line + gap.join(parts[place + 1 :]), after


def test_a_number_in_groups_is_found_on_two_lines() -> None:
    cases = list(on_two_lines())
    result = found_in(["".join(it) for it in cases])
    # After a word, the code of a country is part of its number.
    none([f"{it!r} {own}" for it, own in zip(cases, result, strict=True)
          if [value.removeprefix("+86 ") for value in own] != [it[1]]])  # fmt: skip
    assert len(cases) > 1000


def test_a_card_after_its_word_needs_no_check_digit_on_two_lines() -> None:
    cards = [("6214 8301{}0000 0002", "卡号 "), ("6214{}8301 0000 0002", "账号："), ("6214 8301 0000{}0002", "卡号："),
             ("6214 8301 0000{}0002 123", "银行卡 "), ("110101 19900307{}7716", "身份证 "),
             ("110101{}19900307 7716", "身份证号：")]  # fmt: skip
    cases = [(word, card.format(line)) for (card, word), line in itertools.product(cards, LINES[" "])]
    cases += [
        (word, card.replace(" ", "-").format(line)) for (card, word), line in itertools.product(cards, LINES["-"])
    ]
    result = found_in([f"{word}{it}。" for word, it in cases])
    none([f"{it!r} {own}" for it, own in zip(cases, result, strict=True) if own != [it[1]]])


def test_tables_of_numbers_are_none() -> None:
    chance, columns = random.Random(5), (lambda it: it.randrange(130, 200), lambda it: it.randrange(1000, 10000))
    texts = []
    for width, gap in itertools.product((2, 3, 4), (" ", "-", "\t", "  ")):
        for _ in range(60):
            kinds = [chance.choice(columns) for _ in range(width)]
            rows = [gap.join(str(it(chance)) for it in kinds) for _ in range(4)]
            texts.append("\n".join(rows))
    over = [(text, own) for text, own in zip(texts, found_in(texts), strict=True) if any("\n" in it for it in own)]
    assert not over


#: Landlines by their areas, and mobile telephones, as people write them with the code of the country.
AREAS = {
    "755": ("23456789", "2345 6789", "2345-6789"), "10": ("62345678", "6234 5678"), "21": ("62345678", "6234-5678"),
    "312": ("2345678", "234 5678"), "139": ("12345678", "1234 5678", "1234-5678"),
}  # fmt: skip
CODES = ("+86 (0){0} {1}", "+86 (0){0}-{1}", "+86(0){0}{1}", "+86 (0) {0} {1}", "+86-(0){0}-{1}", "+86 ({0}) {1}",
         "+86 ({0})-{1}", "+86({0}){1}", "+86-({0}) {1}", "+86（0）{0} {1}", "+86（{0}）{1}", "0086 (0){0} {1}",
         "0086({0}){1}", "0086 ({0}) {1}", "+86 {0} {1}", "+86-{0}-{1}")  # fmt: skip
#: The same after a word alone, without a sign before the code or with blanks around hyphens.
CODES_AFTER_WORDS = ("(86) {0} {1}", "(86){0}-{1}", "(86-{0}) {1}", "(+86-{0}) {1}", "86 {0} {1}", "86{0}{1}",
                     "（86）{0} {1}", "86-{0}-{1}", "+86 {0} - {1}")  # fmt: skip
HYPHENS = ("0{0} - {1}", "0{0}- {1}", "0{0} -{1}", "(0{0}) - {1}", "（0{0}） － {1}", "0{0} – {1}")
IN_THREE = ("400 - 820 - 8820", "139 - 1234 - 5678", "0755 - 2345 - 6789", "010- 6234 -5678", "800 -820 -8820")
PHONES = ("电话：", "电话 ", "Tel: ", "Tel. ", "传真：", "手机号码：")


def test_telephones_with_the_code_of_the_country_or_of_an_area() -> None:
    numbers = [(area, number) for area, them in AREAS.items() for number in them]
    cases = [form.format(*it) for it, form in itertools.product(numbers, CODES)]
    cases += [f"{word}{it}" for word, it in itertools.product(PHONES, cases)]
    fixed = [it for it in numbers if it[0] != "139"]
    cases += [word + form.format(*it) for word, it, form in itertools.product(PHONES, numbers, CODES_AFTER_WORDS)]
    cases += [word + form.format(*it) for word, it, form in itertools.product(PHONES, fixed, HYPHENS)]
    cases += [word + it for word, it in itertools.product(PHONES, IN_THREE)]
    # Of a number no digit is left, but for the code of the country.
    left = [
        re.sub("|".join(map(re.escape, own)) + r"|\D", "", it) for it, own in zip(cases, found_in(cases), strict=True)
    ]
    none([text for text, digits in zip(cases, left, strict=True) if digits not in ("", "86", "0086", "860", "00860")])
    assert len(cases) > 1000


@pytest.mark.parametrize(
    "text",
    ["电话 2024 - 2025", "电话：1999 - 2999 元", "(139) 12", "+86 (0)", "手机 300 - 500 元", "电话 2024 - 03 - 15",
     "0755 - 12", "f(139) 1234 * 5678", "(86) 2024"],
)  # fmt: skip
def test_ranges_and_brackets_are_no_telephones(text: str) -> None:
    assert not found(text)


#: How people write a day of birth: with the name of a month, in numbers, and in Chinese numerals.
DAYS = (
    "{d:02}-{Mon}-{y}", "{d}-{Mon}-{y}", "{d:02}/{Mon}/{y}", "{d:02} {Mon} {y}", "{d:02} {MON} {y}", "{d} {Mon}. {y}",
    "{d:02}.{Mon}.{y}", "{d:02}{MON}{y}", "{d}{Mon}{y}", "{d}{th} {Month} {y}", "{d}{th} of {Month} {y}",
    "{d}{th} {Month}, {y}", "{d} {Month}, {y}", "{Mon} {d}, {y}", "{Mon}. {d}, {y}", "{Month} {d} {y}",
    "{Month} {d}{th}, {y}", "{Month} {d},{y}", "{Mon}-{d:02}-{y}", "{Mon}/{d:02}/{y}", "{y}-{Mon}-{d:02}",
    "{y}-{MON}-{d:02}", "{y}/{Mon}/{d:02}", "{y} {Mon} {d}", "{y} {Month} {d}{th}", "{Weekday}, {d} {Month} {y}",
    "{Weekday} {Month} {d}, {y}", "{d}. {German} {y}", "{d} {French} {y}", "{d} de {Spanish} de {y}", "{Month} {y}",
    "{Mon}-{y}", "{Month}, {y}", "{d:02}.{m:02}.{y}", "{d}/{m}/{y}", "{d:02} {m:02} {y}", "{d:02} / {m:02} / {y}",
    "{d}. {m}. {y}", "{y} {m:02} {d:02}", "{y}-{m}-{d}", "{y}.{m}.{d}", "{y}年{m:02}月{d:02}日", "{y} 年 {m} 月 {d} 日",
    "{y}年{m}月{d}号", "{y}-{m:02}", "{y}年{m}月", "{y}{m:02}{d:02}", "{numerals}年{month}月{day}日",
    "{numerals}年{month}月", "{y}年{month}月{day}日", "{numerals}年{month}月{short}日",
)  # fmt: skip
GERMAN = (
    "Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August",
    "September", "Oktober", "November", "Dezember",
)  # fmt: skip
FRENCH = (
    "janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août",
    "septembre", "octobre", "novembre", "décembre",
)  # fmt: skip
SPANISH = (
    "enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto",
    "septiembre", "octubre", "noviembre", "diciembre",
)  # fmt: skip
NUMERALS, TENS = "〇一二三四五六七八九", ("", "十", "二十", "三十")
SHORT_TENS = ("", "十", "廿", "卅")


def spoken(number: int, tens: tuple[str, ...] = TENS) -> str:
    """Return a number below 40 in Chinese."""
    return tens[number // 10] + (NUMERALS[number % 10] if number % 10 else "")


def days(it: date) -> Iterator[str]:
    """Yield the forms of a day."""
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(it.day if it.day in (11, 12, 13) else it.day % 10, "th")
    month = it.month - 1
    said = {
        "y": it.year, "m": it.month, "d": it.day, "Month": it.strftime("%B"), "Mon": it.strftime("%b"),
        "MON": it.strftime("%b").upper(), "Weekday": it.strftime("%A"), "th": suffix, "German": GERMAN[month],
        "French": FRENCH[month], "Spanish": SPANISH[month], "month": spoken(it.month), "day": spoken(it.day),
        "short": spoken(it.day, SHORT_TENS), "numerals": "".join(NUMERALS[int(digit)] for digit in str(it.year)),
    }  # fmt: skip
    yield from (form.format(**said) for form in DAYS)


def test_a_day_of_birth_is_found_in_every_form() -> None:
    chance = random.Random(9)
    every = [date(chance.randrange(1930, 2020), month, chance.randrange(1, 29)) for month in range(1, 13)]
    every += [date(2001, 12, 31), date(1990, 10, 10), date(1988, 11, 20), date(1975, 1, 30), date(2000, 2, 29)]
    words = ("DOB: ", "Date of Birth: ", "出生日期：", "生日：", "born ", '{"birthDate": "')
    cases = [(word, form) for word, it in itertools.product(words, every) for form in days(it)]
    result = found_in(["".join(it) + chance.choice(["", "。", "\n", '"', ", male", " x"]) for it in cases])
    none([f"{it} {own}" for it, own in zip(cases, result, strict=True) if own != [it[1]]])
    assert len(cases) > 3000


@pytest.mark.parametrize(
    "text",
    ["born in Texas, 2010 people", "DOB: unknown 12", "出生率：十二", "生日快乐 2020", "birthday party 7 people",
     "born free", "出生人口：一千二百万", "DOB: n/a 2024", "born 3 times",
     "Bornholm 15 2019", "Bornholm 7, 1990", "Dobson 7 1990", "airborne 7 2010"],
)  # fmt: skip
def test_what_is_no_day_of_birth_stays(text: str) -> None:
    assert not found(text)


@pytest.mark.parametrize(
    "value",
    ["LSVAU2170N2183294", "Z683365(A)", "A123456789", "91440300MA5DC3XT5K", "H12345678", "DE89370400440532013000",
     "粤B12345", "13912345678", "00:1A:2B:3C:4D:5E", "li.wei@huawei.com", "11010519491231002X"],
)  # fmt: skip
def test_an_identifier_beside_a_numeral_is_found_also_where_the_text_ends(value: str) -> None:
    befores = ("", "车辆", "x ", "合同一份，共有两辆车，分别是：")
    for before, numeral in itertools.product(befores, ("①", "一", "⑴", "٣", "❶", "")):
        text = f"{before}{numeral}{value}"
        assert value not in mask(text.encode()).data.decode(), text


@pytest.mark.parametrize("zero", ["〇", "零", "○", "◯", "0"])
@pytest.mark.parametrize(
    ("text", "kind"),
    [("出生日期：一九九{}年三月七日", "birth_date"), ("出生日期：二{}{}一年三月七日", "birth_date"),
     ("手机：一三八{}{}一三八{}{}{}", "phone"),
     ("手机一三八-{}{}一三-八{}{}{}", "phone"), ("身份证号：一一{}一{}五一九四九一二三一{}{}二X", "id_card"),
     ("电话：六二三四五六七{}", "phone")],
)  # fmt: skip
def test_every_zero_of_chinese_numerals(text: str, kind: str, zero: str) -> None:
    said = text.replace("{}", zero)
    value = said.rpartition("：")[2] if "：" in said else said.removeprefix("手机")
    assert found(said) == [(kind, value)]
