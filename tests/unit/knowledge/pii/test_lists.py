"""Lists below a word or beside it, however they are marked and laid out, and a word in brackets: no value is left."""

from __future__ import annotations

import itertools

import pytest

from dualtrack.knowledge.pii.scan import scan
from tests.unit.knowledge.pii.test_beside import found_in, none, words
from tests.unit.knowledge.pii.test_written_forms import SAMPLES

#: Words with values of which several may follow each other: no places, and no names of people.
NAMED = [(word, value) for word, value in words() if "." not in value and "王" not in value]
#: What is written before each item, by its number.
MARKS = (
    ("- ",) * 3, ("* ",) * 3, ("+ ",) * 3, ("• ",) * 3, ("· ",) * 3, ("●",) * 3, ("- [ ] ", "- [x] ", "- [X] "),
    ("1. ", "2. ", "3. "), ("1.", "2.", "3."), ("01. ", "02. ", "03. "), ("1、", "2、", "3、"), ("1) ", "2) ", "3) "),
    ("（1）", "（2）", "（3）"), ("(1) ", "(2) ", "(3) "), ("①", "②", "③"), ("① ", "② ", "③ "),
)  # fmt: skip
#: A word with its sign, and what is before the items.
OPENS = (
    "{}：\n", "**{}：**\n", "**{}：**\n\n", "*{}：*\n", "__{}：__\n", "<b>{}：</b>\n", "<p><b>{}:</b></p>\n",
    "“{}：”\n", "【{}：】\n", "{}： \n", "{}：  \n", "{}：\u3000\n", "{}：\r\n", "{}：\n\n", "**{}**：\n\n", "{}：\\\n",
    "{}：<br>\n", "{}：<br>", "{}:<br/>", "- {}：\n  ", "**{}**：<br />",
)  # fmt: skip
#: The same without a sign: not before passwords and accounts of messengers, which need one.
OPENS_WITHOUT = (
    "{}\n",
    "{} \n",
    "## {}\n\n",
    "**{}**\n",
    "**{}**\n\n",
    "<b>{}</b><br>\n",
    "【{}】\n",
    "- {}\n  ",
    "> {}\n> ",
)
#: What is between two items, and before all of their lines.
BETWEEN = ("\n", " \n", "  \n", "\n\n", "\\\n", "<br>", "<br/>\n", "；\n", "。\n", "（李雷）\n", "(office)  \n")


def values_left(cases: list[tuple[str, str]], count: int) -> list[str]:
    """Return those texts in which a value is not found so many times."""
    found = found_in([text for text, _ in cases])
    # A sign that closes around a password may be taken for a part of it.
    return [
        f"{text!r} {own}" for (text, value), own in zip(cases, found, strict=True)
        if sum(it.count(value) for it in own) < count
    ]  # fmt: skip


def is_secret(value: str) -> bool:
    return value == SAMPLES["LOGIN"].partition("：")[2]


@pytest.mark.parametrize("opens", OPENS)
def test_every_item_below_a_word_is_found(opens: str) -> None:
    cases = [
        (opens.format(word) + "\n".join(f"{mark}{value}" for mark in marks) + "\n", value)
        for (word, value), marks in itertools.product(NAMED, MARKS)
    ]
    none(values_left(cases, 3))
    assert len(cases) > 900


@pytest.mark.parametrize("opens", OPENS_WITHOUT)
def test_every_item_below_a_word_without_a_sign_is_found(opens: str) -> None:
    strict = {SAMPLES[it].partition("：")[2] for it in ("LOGIN", "WECHAT", "QQ")}
    before = opens.rpartition("\n")[2]
    cases = [
        (opens.format(word) + f"\n{before}".join(f"{mark}{value}" for mark in marks) + "\n", value)
        for (word, value), marks in itertools.product(NAMED, MARKS)
        if value not in strict
    ]
    none(values_left(cases, 3))
    assert len(cases) > 500


@pytest.mark.parametrize("between", BETWEEN)
def test_what_ends_an_item_hides_no_other(between: str) -> None:
    cases = [
        (f"{word}：\n" + between.join(f"{mark}{value}" for mark in marks) + between, value)
        for (word, value), marks in itertools.product(NAMED, MARKS)
        # A password has any of these in it, and no password has a remark behind it without a blank.
        if not (is_secret(value) and between in ("\\\n", "；\n", "(office)  \n"))
    ]
    none(values_left(cases, 3))


@pytest.mark.parametrize("quote", ["> ", ">", "> > ", ">> "])
def test_every_item_of_a_quoted_list_is_found(quote: str) -> None:
    cases = [
        ("\n".join(f"{quote}{it}" for it in (f"{word}：", *(f"{mark}{value}" for mark in marks))), value)
        for (word, value), marks in itertools.product(NAMED, MARKS)
    ]
    none(values_left(cases, 3))


NUMBERED = [it for it in MARKS if it[0] != it[1] and "[" not in it[0] and "0" not in it[0]]


@pytest.mark.parametrize("between", ["；", "，", " ", "、", "； ", ", ", "\n", ""])
def test_every_item_beside_a_word_is_found(between: str) -> None:
    cases = [
        (f"{word}{sign}" + between.join(f"{mark}{value}" for mark in marks), value)
        for (word, value), marks, sign in itertools.product(NAMED, NUMBERED, ("：", ": "))
        # Nothing is between two numbers but a circled one; a password has these signs in it, or ends at a blank.
        if (between or marks[0][0] == "①") and not (is_secret(value) and between not in ("\n", "、"))
    ]
    none(values_left(cases, 3))
    assert len(cases) > 100


@pytest.mark.parametrize("between", ["；", "，", " "])
def test_the_first_password_of_a_list_on_its_line_is_found(between: str) -> None:
    cases = [
        (f"{word}：" + between.join(f"{mark}{value}" for mark in marks), value)
        for (word, value), marks in itertools.product(NAMED, NUMBERED)
        if is_secret(value)
    ]
    none(values_left(cases, 1))


@pytest.mark.parametrize(("one", "other"), ["【】", "「」", "『』", "〔〕", "《》", "［］", "[]", "（）", "()"])
def test_a_word_in_brackets_names_what_is_behind_them(one: str, other: str) -> None:
    strict = {SAMPLES[it].partition("：")[2] for it in ("LOGIN", "WECHAT", "QQ")}
    cases = [
        (text, value)
        for (word, value), blank in itertools.product(NAMED, ("", " "))
        # After a word of Latin letters a bracket of these is a program's.
        if not (word.isascii() and value in strict and one in "[]()［］（）")
        for text in (f"{one}{word}{other}{blank}{value}", f"李雷{one}{word}{other}{blank}{value}{one}地址{other}上海")
    ]
    none(values_left(cases, 1))
    assert len(cases) > 200


@pytest.mark.parametrize(
    "text",
    [
        "[密码](https://a.b/c1d2e3)", "[重置密码][1a2b3c4]", "【忘记密码】2024年第3期", "（密码）SM4",
        "if (password) a1b2c3d4",
        "tokens[secret]x1y2z3", "《密码》2024", "[电话](62345678.html)", "版本：1.2345678", "QQ：9.7.12345",
        "密码：\n- 8-16位", "电话：\n1. 见 2024 年附件", "[微信](https://a.b/c1d2e3)", "(账户) 2024 年",
        "密码：\n1. 长度不少于8位\n2. 包含数字", "护照：\n- 2024年3月15日 到期",
    ],
)  # fmt: skip
def test_what_is_no_list_of_values_stays(text: str) -> None:
    assert not scan(text.encode())


@pytest.mark.parametrize("value", ["chen-2034", "liwei_1999", "may2016a", "zhang-1985"])
def test_an_account_that_looks_like_a_month_is_found(value: str) -> None:
    cases = [
        (f"微信{opens}{mark}{value}", value) for opens in ("：", "：\n") for mark in ("1.", "1. ", "1、", "①", "（1）")
    ]
    none(values_left(cases, 1))


@pytest.mark.parametrize("verb", ["为", "是", "分别为", "统一为", "已改为"])
@pytest.mark.parametrize("sign", ["：", " ：", "**：", "=", " = ", "：**", "”：", ": "])
def test_a_verb_before_a_sign_hides_no_kind(verb: str, sign: str) -> None:
    opens = {"*": "**", "”": "“"}
    cases = [
        (f"{next((opens[it] for it in sign if it in opens), '')}{word}{verb}{sign} {value}", value)
        for word, value in words() if not word.isascii() or word.lower() == "qq"
    ]  # fmt: skip
    none(values_left(cases, 1))
    assert len(cases) > 50


@pytest.mark.parametrize(
    "begins", ["\n", "\r\n", "\n> ", "\n>", "\n> > ", "\n>> ", "<br>", "<br/>", "<br />", "<br>\n", "<BR>"]
)
@pytest.mark.parametrize("value", ["13912345678", "0755-23456789", "6222021234567890128", "139 1234 5678"])
def test_the_number_of_an_item_makes_no_fraction(begins: str, value: str) -> None:
    text = "".join(f"{begins}{number}.{value}" for number in (1, 2, 12))
    none(values_left([(f"值班名单{text}", value)], 3))


@pytest.mark.parametrize(
    "text", ["x = 1.13912345678", "a>1.13912345678", '{"ratio": 1.13912345678}', "<b>1.13912345678"]
)
def test_a_fraction_is_no_item(text: str) -> None:
    assert not scan(text.encode())
