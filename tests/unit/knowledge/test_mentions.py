"""Who is mentioned in a text: tolerant to how it is written, and never inside of a longer number or word."""

from __future__ import annotations

import hmac
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.core.errors import BadInput
from dualtrack.knowledge import mentions
from dualtrack.knowledge.mentions import Known, Plain, TooMany, digest, identifiers


def mac(data: bytes) -> bytes:
    return hmac.digest(b"key", data, "sm3")


def count(identifier: str, text: str) -> int:
    """Return what is found by the identifier; by its digest the same must be found."""
    plain = Plain(identifier).text
    found = Plain(text).count(plain)
    assert (Known([digest(plain, mac)], mac).first([text]) is not None) == bool(found)
    return found


@pytest.mark.parametrize(
    ("identifier", "text"),
    [
        ("张三丰", "负责人是张三丰。"),
        ("张三丰", "张 三 丰 签字"),
        ("张三丰", "张\u200b三\n丰"),
        ("张三", "张三一直在这里"),
        ("Li Wei", "signed: LI  WEI,"),
        ("Li Wei", "Ｌｉ－Ｗｅｉ"),
        ("Ли Вэй", "ЛИ ВЭЙ пришёл"),
        ("zhang@corp.cn", "Mail: Zhang@Corp.CN."),
        ("13800138000", "电话138-0013-8000转"),
        ("13800138000", "１３８ ００１３ ８０００"),
        ("138 0013 8000", "一三八〇〇一三八〇〇〇"),
        ("José", "JOSE\u0301 asked"),
        ("E-7781-X", "card e7781x"),
    ],
)
def test_mentioned(identifier: str, text: str) -> None:
    assert count(identifier, text) == 1


@pytest.mark.parametrize(
    ("identifier", "text"),
    [
        ("Li Wei", "Ali Weird"),
        ("Ann", "planning, annex, Joann"),
        ("13800138000", "9138001380001"),
        ("张三丰", "小张，三丰公司"),
        ("张三丰", "张三。丰"),
        ("李四", "李五"),
    ],
)
def test_not_mentioned(identifier: str, text: str) -> None:
    assert count(identifier, text) == 0


def test_nothing_goes_over_parts_of_a_document() -> None:
    known = Known([digest("张3丰", mac)], mac)
    assert known.first(["小张", "三丰"]) is None
    assert known.first(["小张", "张三丰"]) == mac("张3丰".encode())[:16]


WORDS = st.text(st.sampled_from("ab1 张三ＡＢ-，"), min_size=2, max_size=8)


@given(st.lists(WORDS, min_size=1, max_size=4), st.text(st.sampled_from("ab1 张三ＡＢ-，。\u200b"), max_size=60))
def test_digests_find_what_identifiers_find(people: list[str], text: str) -> None:
    plain = [it for it in (Plain(one).text for one in people) if len(it) > 1]
    found = Known([digest(it, mac) for it in plain], mac).first([text])
    assert (found is not None) == any(Plain(text).count(it) for it in plain)


def test_texts_that_take_too_long_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mentions, "MOST_PLACES", 1000)
    known = Known([digest(f"13{it}", mac) for it in ("800138000", "8001", "80013800")], mac)
    assert known.first(["1 2 3 4 5" * 2000]) is None
    with pytest.raises(TooMany):
        known.first([" ".join("13" for _ in range(2000))])
    chance = random.Random(1)
    monkeypatch.setattr(mentions, "MOST_DIGESTS", 100)
    with pytest.raises(TooMany):
        known.first(["".join(chr(chance.randrange(0x4E00, 0x9FA0)) for _ in range(400))])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "has no identifier"),
        (b"\n \n\t\n", "has no identifier"),
        ("张".encode(), "line 1: it is too short"),
        (b"ok then\nLi", "line 2: it is too short"),
        (b"- . -", "line 1: it is too short"),
        ("！！！".encode(), "line 1: it is too short"),
        (b"abc\0def", "line 1: there is a control character"),
        (b"\xff\xfea\0b\0", "not UTF-8 at byte 0"),
        ("张三".encode("gb18030"), "not UTF-8"),
        (b"x" * 200, "line 1: it is longer than 128"),
        (b"\n".join(b"name %d" % it for it in range(1001)), "more than 1000"),
    ],
)
def test_what_is_no_identifier_is_said_and_not_repeated(data: bytes, said: str) -> None:
    with pytest.raises(BadInput) as error:
        identifiers(data)
    assert said in str(error.value)
    for line in data.decode("utf-8", "replace").split("\n"):
        assert not line.strip() or line not in str(error.value)


def test_identifiers_are_taken_once_and_plain() -> None:
    assert identifiers("\ufeff张 三丰\r\n\n张三丰\nLI-Wei\n".encode()) == ["张3丰", "liwei"]
