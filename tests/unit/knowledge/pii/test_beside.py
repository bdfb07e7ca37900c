"""What stands between a word and its value hides no kind: marks, tags, brackets, and more values before it."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Iterator

import pytest

from dualtrack.knowledge.pii import beside
from dualtrack.knowledge.pii.mask import mask
from dualtrack.knowledge.pii.scan import scan
from tests.unit.knowledge.pii.test_written_forms import SAMPLES, all_words

#: What is written around a word, or around a word and its sign.
AROUND = (
    ("**", "**"), ("*", "*"), ("***", "***"), ("__", "__"), ("_", "_"), ("`", "`"), ("~~", "~~"), ("<b>", "</b>"),
    ("<strong>", "</strong>"), ('<span class="a">', "</span>"), ("<td><b>", "</b></td>"), ("[", "](x.md)"),
    ("[", "](https://a.b/c?d=1)"), ("[", "][1]"), ("[", "]"), ("【", "】"), ("「", "」"), ('"', '"'), ("'", "'"),
    ("“", "”"), (r"\"", r"\""),
)  # fmt: skip
BRACKETS = ("（）", "()", "[]", "【】", "［］", "{}", "「」", "〔〕")
FILLERS = ("初始", "Passport No.", "1", "*", "公历，必填", "for work", "字" * beside.LONGEST_ASIDE)
SIGNS = ("：", ": ", " = ", "=")
#: Lists of words of which a value is after a sign; a title is after a name, and two coordinates have two words.
NAMED = {name: sample for name, sample in SAMPLES.items() if "：" in sample and name not in ("LATITUDE", "LONGITUDE")}
#: Between texts: no window of one reaches into the next one.
PAD = "\n" + "zz " * 60 + "\n"


def found_in(texts: list[str]) -> list[list[str]]:
    """Return what is found in each of some texts, which are looked at together."""
    parts = [f"{PAD}{it}\n".encode() for it in texts]
    ends = list(itertools.accumulate(map(len, parts)))
    data, values = b"".join(parts), [list[str]() for _ in texts]
    for it in scan(data):
        values[bisect.bisect_right(ends, it.start)].append(data[it.start : it.end].decode())
    return values


def missed(cases: Iterable[tuple[str, str]]) -> list[str]:
    """Return those texts in which a value is not found that is after them."""
    them = list(cases)
    found = found_in([f"见 {text}{value}" for text, value in them])
    return [text for (text, value), own in zip(them, found, strict=True) if not any(value in it for it in own)]


def words() -> Iterator[tuple[str, str]]:
    """Yield each word of which a value is after a sign, and such a value."""
    them = {sample: sample.partition("：")[2] for sample in NAMED.values()}
    for word, sample in all_words():
        if sample in them:
            # `病历` has 号 behind it.
            yield sample.partition("：")[0].replace("WORD", word), them[sample]


def test_every_list_of_words_is_here() -> None:
    assert set(SAMPLES) - set(NAMED) == {"SOLDIER", "TITLE", "LATITUDE", "LONGITUDE"}
    assert len(list(words())) > 90


def none(found: list[str]) -> None:
    assert not found, f"{len(found)}\n" + "\n".join(found[:40])


@pytest.mark.parametrize(("one", "other"), AROUND)
def test_marks_and_tags_hide_no_kind(one: str, other: str) -> None:
    none(missed(
        (text, value)
        for (word, value), sign in itertools.product(words(), SIGNS)
        for text in (f"{one}{word}{other}{sign}", f"{one}{word}{sign}{other} ", f"- {one}{word}{other} {sign} ")
    ))  # fmt: skip


@pytest.mark.parametrize("bracket", BRACKETS)
@pytest.mark.parametrize("filler", FILLERS)
def test_brackets_hide_no_kind(bracket: str, filler: str) -> None:
    aside = f"{bracket[0]}{filler}{bracket[1]}"
    none(missed(
        (text, value)
        for (word, value), sign in itertools.product(words(), SIGNS)
        # An index in a program is a limit on the page.
        if bracket not in ("[]", "［］") or "=" not in sign or not word[-1].isascii()
        for text in (f"{word}{aside}{sign}", f"**{word}**{aside}{sign}", f"**{word}{aside}{sign}** ")
    ))  # fmt: skip


@pytest.mark.parametrize(
    "star",
    ["*", " *", "＊", "<span>*</span>", " <small>(初始)</small>", '<sup class="a">1</sup>', "<i>初始</i>"],
)
def test_a_star_hides_no_kind(star: str) -> None:
    none(missed((f"{word}{star}{sign}", value) for (word, value), sign in itertools.product(words(), SIGNS)))


#: Colons of other scripts and of print.
COLONS = ("∶", " ∶ ", "∶ ", "꞉", "︓")
#: Brackets behind a sign: in Chinese for all kinds, in other letters for those that are not passwords or accounts.
BEHIND = ("（办公）", "(初始)", "【工作】", "［手机］", "（必填） ", "(请填写)")
BEHIND_LATIN = ("(office) ", "(O)", "[work] ", "(PRC)")


def test_every_colon_is_a_sign() -> None:
    none(missed((f"{word}{sign}", value) for (word, value), sign in itertools.product(words(), COLONS)))


def test_is_before_a_sign_hides_no_kind() -> None:
    latin = [it for it in words() if it[0].isascii()]
    none(
        missed(
            (f"{word}{verb}", value) for (word, value), verb in itertools.product(latin, (" is: ", " is : ", " is："))
        )
    )


def test_brackets_behind_a_sign_hide_no_kind() -> None:
    them, strict = list(words()), ("LOGIN", "WECHAT", "QQ", "PLACE", "POSITION", "PERSON")
    plain = {NAMED[name].partition("：")[2] for name in strict}
    cases = [
        (f"{word}{sign}{bracket}", value)
        for (word, value), sign, bracket in itertools.product(them, ("：", ": ", " = "), (*BEHIND, *BEHIND_LATIN))
        if not (bracket in BEHIND_LATIN and value in plain) and "王" not in value and "51.5" not in value
    ]
    none(missed(cases))
    assert len(cases) > 2000


@pytest.mark.parametrize(
    "dash", ["—", "——", "———", "－", "-", "–", "--", "……", "…", "......", "······", "⋯⋯", "—— ", " …… "]
)
def test_dashes_and_dots_lead_to_a_telephone(dash: str) -> None:
    of_phone = [it for it in words() if it[1] == SAMPLES["PHONE"].partition("：")[2] and not it[0].isascii()]
    none(missed((f"{word}{dash}", value) for word, value in of_phone))
    assert len(of_phone) > 10


BANKS = ("招商银行", "工行", "中国工商银行股份有限公司深圳分行", "建设银行（福田支行）", "农业银行营业部", "农村信用社",
         "中国银行上海市分行徐汇支行", "浦发银行第一支行", "三峡银行五一路支行")  # fmt: skip


def test_a_bank_before_an_account_hides_it_not() -> None:
    of_card = [it for it in words() if it[1] == SAMPLES["CARD"].partition("：")[2]]
    none(missed(
        (f"{word}{sign}{bank}{gap}", value)
        for (word, value), sign, bank, gap in itertools.product(of_card, ("：", ": "), BANKS, (" ", "", "，", "："))
    ))  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["手机-20240315.jpg", "电话——见下", "tel-62345678", "电话……请拨打", "账号：本行业务 2024", "电话：（见下）2024",
     "密码：（初始）见下", "密码：（Abc）", "password: (optional) utf8string1", "账号：中国银行",
     "客服…… 2024年3月15日"],
)  # fmt: skip
def test_what_leads_to_no_value_stays(text: str) -> None:
    assert not scan(text.encode())


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("between", ["/", " / ", "、", "和", "或", "与", " and ", " or ", "，", ";", " | "])
def test_every_value_after_a_word_is_found(between: str, count: int) -> None:
    of_login = SAMPLES["LOGIN"].partition("：")[2]
    cases = []
    for word, value in words():
        if "." in value or ("王" in value and between.strip() not in ("/", "、", "，", ";", "|")):
            continue  # two numbers of one place; a character that may be part of a name
        if value == of_login and between.strip() in ("/", "，", ";", "|") and between != " / ":
            continue  # a slash may be in a password, and another field may be behind the others
        cases.append((f"{word}：{between.join([value] * count)}", [value] * count))
    found = found_in([text for text, _ in cases])
    none(
        [
            f"{text} {own}"
            for (text, values), own in zip(cases, found, strict=True)
            if [it.strip() for it in own] != values
        ]
    )
    assert len(cases) > 60


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("电话：02162345678（办公）、02162345679（家）", "电话：[phone]（办公）、[phone]（家）"),
        ("传真：62345678;62345679", "传真：[phone];[phone]"),
        ("电话：62345678，20240315 开通", "电话：[phone]，20240315 开通"),
        ("QQ：12345678，23456789", "QQ：[messenger]，[messenger]"),
        ("密码：Abc12345，请尽快修改", "密码：[secret]，请尽快修改"),
        ("密码：Abc12345 或请联系 admin2024", "密码：[secret] 或请联系 admin2024"),
        ("[密码](https://a.b/c)：Abc12345", "[密码](https://a.b/c)：[secret]"),
        ("护照号码（Passport No.）：E12345678", "护照号码（Passport No.）：[passport]"),
        ("病历号（住院）：A0012345", "病历号（住院）：[medical_record]"),
        (r"见\nQQ：12345678", r"见\nQQ：[messenger]"),
        ("MyQQ：12345678", "MyQQ：[messenger]"),
    ],
)
def test_what_is_beside_a_value_stays(text: str, clean: str) -> None:
    assert mask(text.encode()).data.decode() == clean


@pytest.mark.parametrize(
    "text",
    ["assert secret1 == secret2", "token[0] = token[1]", "result[token[1][0]] = token[1][1]",
     "assert template(secret) == 'hush-3'", "tokens[level][token][:0] = [include('+i6t')]", "tel[1] = 20240315093"],
)  # fmt: skip
def test_program_text_is_none(text: str) -> None:
    assert not scan(text.encode())


@pytest.mark.parametrize(
    ("one", "other"),
    [("‘", "’"), ("《", "》"), ("〈", "〉"), ("«", "»"), ("‹", "›"), ("〔", "〕"), ("〖", "〗"), ("__", "__"),
     ("【", "】"), ("“", "”"), ("「", "」")],
)  # fmt: skip
def test_brackets_around_a_value_hide_no_kind(one: str, other: str) -> None:
    them = [it for it in words() if "王" not in it[1] and "51.5" not in it[1]]
    cases = [(f"{word}{sign}{one}", f"{value}{other}") for (word, value), sign in itertools.product(them, SIGNS)]
    found = found_in([f"见 {text}{value}" for text, value in cases])
    none([
        f"{text}{value}" for (text, value), own in zip(cases, found, strict=True)
        if not any(value.removesuffix(other) in it for it in own)
    ])  # fmt: skip


#: What ends the items of a list, after their values.
ENDS = ("", "；", "。", ";", ",", "（李雷）", " (李雷)", " 李雷", " # office", "  工行")


@pytest.mark.parametrize("mark", ["- {}", "* {}", "{}. ", "（{}）", "({}) ", "{}、"])
@pytest.mark.parametrize("end", ENDS)
def test_every_item_of_a_list_is_found(mark: str, end: str) -> None:
    cases = []
    for word, value in words():
        if "." in value or "王" in value:
            continue
        items = [f"{mark.format(it) if '{}.' not in mark else f'{it}. '}{value}{end}" for it in (1, 2, 3)]
        if "{}" in mark and mark[0] in "-*":
            items = [f"{mark[0]} {value}{end}" for _ in items]
        cases.append((f"{word}：\n" + "\n".join(items), value))
    found = found_in([text for text, _ in cases])
    none([text for (text, value), own in zip(cases, found, strict=True) if sum(value in it for it in own) != 3])
    assert len(cases) > 60
