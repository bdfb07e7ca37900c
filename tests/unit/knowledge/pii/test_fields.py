"""Names of fields, labels of forms and items of lists: however they are written, no value behind them is hidden."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest

from dualtrack.knowledge.pii.mask import mask, mask_parts
from dualtrack.knowledge.pii.scan import scan
from tests.support.personal_data import Maker
from tests.support.personal_grid import VALUES
from tests.unit.knowledge.pii.test_beside import found_in, missed, none, words

#: Names of people are not promised, and coordinates have rules of their own.
ALL = [it for it in words() if "王" not in it[1] and "51.5" not in it[1]]
LATIN = sorted({it for it in ALL if it[0].isascii()})
#: Those of which a value is a word as well, so that it is looked for after a sign alone.
COMMON = ("qq", "wechat", "weixin")
SECRET = "Passw0rd!x"
#: What a name of a field has behind its word.
SUFFIXES = (
    "", "_no", "_number", "_id", "-no", " No", "No", "Number", "Id", "No.", ". No.", ".No.", ". No", ". Number",
    " Nos.", " numbers",
)  # fmt: skip
#: What the names of accounts have behind their word, and those of days of birth.
OF_ACCOUNTS = (
    "号", "號", "号码", "號碼", "账号", "帐号", "帳號", "賬號", "账户", "帐户", "帳戶", "账号ID", "帐号号码",
    "_account", "Account", "-account", " account", "_account_no", "AccountId", " account No.", " acct.",
)  # fmt: skip
OF_BIRTH = (
    "birth", "Birth", "BIRTH", "bornOn", "born_on", "dobDate", "dob_date", "d_o_b", "birthDateTime", "birth_time",
)  # fmt: skip
#: How a name and a value are written: in JSON, in settings, in URLs, in XML, in programs.
FORMATS = (
    '{{"{0}":"{1}"}}', '{{"{0}": "{1}", "x": 1}}', "{0}={1}", "{0}: {1}", "<{0}>{1}</{0}>", '{{\\"{0}\\":\\"{1}\\"}}',
    "&{0}={1}&x=1", "'{0}' => '{1}',", '{0}="{1}"', '<{0} type="home">{1}</{0}>', "      {0}   :   {1}",
)  # fmt: skip
#: Where the word is the value of one field, and what it names that of the next one.
PAIRS = (
    '{{"name":"{0}","value":"{1}"}}', '{{"key": "{0}", "value": "{1}"}}', "- name: {0}\n  value: {1}",
    '<property name="{0}"><value>{1}</value></property>', '<property name="{0}" value="{1}"/>',
    "<key>{0}</key><string>{1}</string>", '<entry key="{0}">{1}</entry>',
)  # fmt: skip
#: What is written beside a word on a form: a dot, a number of several, words that lead over to the value.
MARKS = (".", "1", " 1", "一", "①", "二", "_2", "-2", "（一）", "#1", ".1")
LEADS = (
    "如下", "均", "都", "默认", "统一", "统一设置", "分别", "暂定", "已重置", "就", "现", "都已改",
)  # fmt: skip
#: Blanks and underlines of forms: before a sign and after it.
BEFORE = tuple(f"{' ' * count}{sign}" for count in (4, 8, 16, 24) for sign in (": ", "：", "= "))
AFTER = tuple(
    f"{sign}{fill}" for sign in (":", "：", " = ")
    for fill in (" " * 4, " " * 10, " " * 40, "\t" * 3, "\u3000" * 8, "_" * 3, "_" * 12, f" {'_' * 10} ")
)  # fmt: skip
ITEMS = ("\n- {}\n- {}", "\n  - {}\n  - {}\n", "\n1. {}\n2. {}", "\n（1）{}\n（2）{}", "\n* {}\n* {}", "\n• {}\n• {}",
         "\n1、{}\n2、{}", "\n  1) {}\n  2) {}", ' ["{}", "{}"]', ' [\n  "{}",\n  "{}"\n]')  # fmt: skip


def known(text: str) -> bool:
    """Return whether a text is another word by what is behind it: `token_id` is a number of one."""
    return bool(re.search(r"(?i)token|secret|pass(?:word|wd|phrase)|pwd|key|birth|born|dob|d.o.b", text))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_names_of_fields_hide_no_value(suffix: str) -> None:
    names = [
        (name, value) for word, value in LATIN
        if not (suffix and (known(word) or word.endswith(("no", "number", "id"))))
        for name in {word.replace(" ", "_"), word.replace(" ", "-"), word, word.upper().replace(" ", "_")}
    ]  # fmt: skip
    cases = [
        (form.format(f"{name}{suffix}", value), value) for (name, value), form in itertools.product(names, FORMATS)
    ]
    found = found_in([text for text, _ in cases])
    none([text for (text, value), own in zip(cases, found, strict=True) if not any(value in it for it in own)])
    assert len(cases) > 300


def test_names_of_accounts_and_of_days_hide_no_value() -> None:
    accounts = [(word, value) for word, value in ALL if word.casefold() in (*COMMON, "微信", "扣扣")]
    names = [(f"{word}{suffix}", value) for (word, value), suffix in itertools.product(accounts, OF_ACCOUNTS)]
    cases = [(form.format(*it), it[1]) for it, form in itertools.product(names, (*FORMATS, "{0}：{1}", "{0}是{1}"))]
    days = itertools.product(OF_BIRTH, FORMATS, ("1990-03-07", "19900307", "7 March 1990"))
    cases += [(form.format(name, day), day) for name, form, day in days if " " not in day or "</" not in form]
    cases += [(f"{name}: {key}", key) for name in ("AccessKey ID", "accessKeyId", "access_key_id")
              for key in ("LTAI5tAbcdEfgh1234567890", "AKID7xAbcdEfgh123456")]  # fmt: skip
    found = found_in([text for text, _ in cases])
    none([text for (text, value), own in zip(cases, found, strict=True) if not any(value in it for it in own)])
    assert len(cases) > 1000


@pytest.mark.parametrize("form", PAIRS)
def test_a_name_that_is_a_value_names_the_next_one(form: str) -> None:
    # In an element of XML is a value without blanks.
    cases = [(form.format(word, value), value) for word, value in LATIN if " " not in value or "<" not in form]
    found = found_in([text for text, _ in cases])
    none([text for (text, value), own in zip(cases, found, strict=True) if not any(value in it for it in own)])


def test_dots_and_numbers_hide_no_kind() -> None:
    none(missed(
        (f"{word}{mark}{sign}", value)
        for (word, value), mark, sign in itertools.product(ALL, MARKS, ("：", ": "))
    ))  # fmt: skip
    # The dot of a word that is short for another is a sign itself.
    none(missed((f"{word}. ", value) for word, value in LATIN if not known(word) and word not in COMMON))  # fmt: skip


def test_words_that_lead_to_a_value_hide_no_kind() -> None:
    han = [it for it in ALL if not it[0].isascii()]
    ways = [(lead, sign) for lead in LEADS for sign in ("：", "为：", "为")]
    # `设置` leads with 为 alone, and 如下 without it.
    ways = [(lead, sign) for lead, sign in ways if (lead[-1] not in "置改" or "为" in sign) and lead + sign != "如下为"]
    none(missed((f"{word}{lead}{sign}", value) for (word, value), (lead, sign) in itertools.product(han, ways)))


def test_blanks_and_underlines_hide_no_kind() -> None:
    none(missed((f"{word}{sign}", value) for (word, value), sign in itertools.product(ALL, (*BEFORE, *AFTER))))
    named = [(f"{word}：{'_' * 8}{value}{'_' * 8}", value) for word, value in ALL]
    cut = [text for text, value in named if value in mask(text.encode()).data.decode()]
    none(cut)


def test_another_word_beside_hides_no_kind() -> None:
    them = [it for it in ALL if re.fullmatch("[^._/-]{1,16}", it[0])]
    chance = random.Random(1)
    cases = [
        (form.format(word, chance.choice(them)[0]), value)
        for (word, value), form in itertools.product(
            them, ("{0}/{1}：", "{0}及{1}：", "{0}、{1}: ", "{0}或{1}：", "{1}/{0}：")
        )
        for _ in range(3)
    ]
    # The value may be one of the other word, and is called so.
    found = found_in([f"见 {text}{value}" for text, value in cases])
    none([text for (text, value), own in zip(cases, found, strict=True) if value not in own])


@pytest.mark.parametrize("items", ITEMS)
def test_every_item_of_a_list_is_found(items: str) -> None:
    names = [(word, value) for word, value in ALL if "." not in value and "王" not in value]
    names += [(f"{word}s", value) for word, value in LATIN if not known(word) and word not in COMMON]
    cases = [(f'"{word}":' if "[" in items else f"{word}：", value) for word, value in names]
    found = found_in([text + items.format(value, value) for text, value in cases])
    none([f"{text} {own}" for (text, value), own in zip(cases, found, strict=True) if own.count(value) != 2])


@pytest.mark.parametrize(
    "person",
    ["李雷 ", "李雷：", "欧阳明日 ", "Li Wei ", "李雷（办公室）", "李雷（家） ", "张三 ", "李四，", "王一博 ",
     "张三丰 ", "施小明 ", "洪七 ", "王小明主任 ", "陈先生、", "前台/", "古力娜扎·买买提 ", "李雷\t", "李雷-",
     "Mr. Chan ", "Chan Tai Man ", "José García ", "J. Smith: ", "Mary O'Neil ", "Jean-Luc Picard, ",
     "韩梅 62345670，李雷 ", "62345670 李雷、"],
)  # fmt: skip
def test_a_person_before_a_telephone_hides_it_not(person: str) -> None:
    none(missed((f"{word}：{person}", value) for word, value in ALL if value == "5123456"))


@pytest.mark.parametrize(
    "written", ["&nbsp;", "&emsp;", "&ensp;&ensp;", "&quot;", "&ldquo;", "&lt;b&gt;", "&#12288;&nbsp;"]
)
def test_characters_of_pages_by_name_hide_no_value(written: str) -> None:
    none(missed((f"{word}：{written}", value) for word, value in ALL))


PEOPLE = (
    "李雷", "王经理", "财务部", "办公室", "值班室", "门诊楼", "东校区", "三层", "小王", "张三丰", "甲方", "前台",
    "班主任", "父亲", "翟天临",
    "施小明", "市场部张总", "物业公司", "Li Wei", "Mr. Chan", "Mary", "HR",
)  # fmt: skip


def test_lists_of_people_and_places_with_telephones_are_found_to_their_end() -> None:
    cases = []
    for number, (word, gap, between) in enumerate(
        itertools.product(
            ("联系电话：", "电话: ", "Tel: "), (" ", "：", ": ", "\u3000"), ("，", "、", "；", ", ", "; ")
        )
    ):
        chosen = [PEOPLE[(number * 3 + it) % len(PEOPLE)] for it in range(len(PEOPLE))]
        values = [str(62345670 + it) for it in range(len(chosen))]
        cases.append((word + between.join(f"{who}{gap}{it}" for who, it in zip(chosen, values, strict=True)), values))
    clean, _ = mask_parts([text for text, _ in cases])
    none([own for (_, values), own in zip(cases, clean, strict=True) if any(it in own for it in values)])


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("账号/密码: admin / Abc12345", "账号/密码: admin / [secret]"),
        ("11010519491231OO2X", "[id_card]"), ("身份证号：l1O1O519491231OO2x。", "身份证号：[id_card]。"),
        ("redis://:Abc12345@10.0.0.1:6379/0", "redis://:[secret]@10.0.0.1:6379/0"), ("postgres://app:Abc12345@db/x", "postgres://app:[secret]@db/x"),
        ("Tel.: 2345 6789  Fax.: 2345 6780", "Tel.: [phone]  Fax.: [phone]"),
        ("SSN: 123-45-6789", "SSN: [social_security]"),
        ("电话 - 62345678", "电话 - [phone]"), ("A/C No. 6214830100000001", "A/C No. [bank_card]"),
        ("D.O.B.: 1990-03-07", "D.O.B.: [birth_date]"),
        ("密码：________\n姓名：________", "密码：________\n姓名：________"),
    ],
)  # fmt: skip
def test_examples(text: str, clean: str) -> None:
    assert mask(text.encode()).data.decode() == clean


@pytest.mark.parametrize(
    "text",
    ["电话：订单号 12345678", "Phone: Order No 12345678", "客服：工单编号 20240101", "Hotline: Room 1234567",
     "热线：已处理数量 1234567", "http://host:8080/x", "https://user:password@host/", "git://a.b/c:d12@e", "amqp://${USER}:${PASS1}@mq",
     "classname1",
     "电话 1. 2024年", "Phone 1: none", "tel.1", "card 2: 3 of 4", "password_id: admin", "token_number = 4",
     "电话均不通", "微信/QQ：见下", "密码统一管理 2024", "账号：        ", "电话：\n1. 总机\n2. 分机 8001",
     "/* phones[12] = 3 */", "birthtime: 2019-06-22T03:28:46", "birthtimeMs: 20190622",
     "childbirth 2010", "birth 2001", "birth rate 2001-2010", "微信账户余额：abcdef", "qq account 2024", "tel. 2",
     "value: 12345678", "100%2013 of 12345678", r"printf('%02x13')", r"\u0031\u0032", "a%20b%20c"],
)  # fmt: skip
def test_what_is_no_value_stays(text: str) -> None:
    assert not scan(text.encode())


#: How characters are written as their numbers.
WRITERS: dict[str, Callable[[str], str]] = {
    "JSON": lambda it: json.dumps(it)[1:-1], "JSON in JSON": lambda it: json.dumps(json.dumps(it)[1:-1])[1:-1],
    "URL": quote, "URL of GBK": lambda it: quote(it.encode("gb18030")), "bytes": lambda it: repr(it.encode())[2:-1],
    "page": lambda it: it.encode("ascii", "xmlcharrefreplace").decode(),
    "page, hexadecimal": lambda it: "".join(f"&#x{ord(one):x};" for one in it),
}  # fmt: skip
#: Characters beside a value, of which each is a number that ends with digits or letters in one of these.
NEIGHBOURS = ("张", "号", "：", "，", "\u3000", "话", "是", "📱", "王小")


def escaped() -> Iterator[tuple[str, str]]:
    made = Maker(3)
    for (kind, (word, value)), (name, write) in itertools.product(VALUES.items(), WRITERS.items()):
        if kind in ("email, (at)", "military_id", "plate"):
            continue  # have characters that are written so themselves
        for beside in NEIGHBOURS:
            if beside == "📱" and name == "URL of GBK":
                continue  # four bytes, of which two are written as digits
            if "messenger" in kind or "secret" in kind:
                beside = ""  # what is before such a word may be anything
            it = value(made)
            word_there = write(word) if not word.isascii() else word
            yield f"x {write(beside)}{word_there}{it} y", it


def test_characters_as_their_numbers_hide_no_kind() -> None:
    cases = [*escaped()]
    found = found_in([text for text, _ in cases])
    none([f"{text} {own}" for (text, value), own in zip(cases, found, strict=True)
          if not any(value in it or (len(it) > 0.8 * len(value) and it in value) for it in own)])  # fmt: skip
    assert len(cases) > 1000


@pytest.mark.parametrize("write", WRITERS)
def test_only_the_value_is_taken_out_of_what_is_escaped(write: str) -> None:
    text = WRITERS[write]("张三的电话：")
    assert mask(f"前 {text}02162345678 后{text}".encode()).data.decode() == f"前 {text}[phone] 后{text}"
    # Far apart, at the ends of what is looked at, and a number that goes over such an end.
    far = "z" * 505 + "13912345678912345678"
    assert mask(f"{text}{far} {far}{text}".encode()).data.decode() == f"{text}{far} {far}{text}"


def test_a_value_has_one_code_also_in_escaped_digits() -> None:
    forms = ["13912345678", "".join(f"%{ord(it):x}" for it in "13912345678"), r"\u0031" + "3912345678"]
    made = {mask(it.encode(), "pseudonym", key=b"k" * 32, tenant="a").data for it in forms}
    assert len(made) == 1
