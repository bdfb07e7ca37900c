"""What is found in texts, and what is not: generated records with traps, and checkers that others wrote."""

from __future__ import annotations

import bisect
import itertools
import random
import string
from collections import Counter
from datetime import date

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from id_validator import validator
from stdnum import luhn as judge_luhn
from stdnum.iso7064 import mod_11_2

from dualtrack.knowledge.pii import numbers, scan
from dualtrack.knowledge.pii.kinds import KINDS
from dualtrack.knowledge.pii.scan import PiiFinding
from tests.support.personal_data import Maker, Text, texts

COUNT = 20_000
#: Between texts, which are looked at together: no window of one reaches into the next one.
PAD = "\n" + "zz " * 60 + "\n"
#: Found where a word or a form gives them away: how many is reported by the bench, not promised.
NOT_PROMISED = {"name", "address"}


def found(text: str) -> list[tuple[str, str]]:
    """Return kinds and values."""
    data = text.encode()
    return [(it.kind, data[it.start : it.end].decode()) for it in scan.scan(data)]


@pytest.fixture(scope="module")
def judged() -> list[tuple[Text, list[tuple[str, int, int]]]]:
    """Texts, and what was found in each, by characters."""
    made = list(texts(seed=1, count=COUNT))
    parts = [f"{PAD}{it.text}".encode() for it in made]
    ends = list(itertools.accumulate(map(len, parts)))
    result: list[tuple[Text, list[tuple[str, int, int]]]] = [(it, []) for it in made]
    for it in scan.scan(b"".join(parts)):
        number = bisect.bisect_right(ends, it.start)
        begin, data = ends[number] - len(parts[number]), parts[number]
        first, last = (len(data[: at - begin].decode()) - len(PAD) for at in (it.start, it.end))
        result[number][1].append((it.kind, first, last))
    return result


@pytest.mark.parametrize("unit", ["".join(it) for it in itertools.product("0OoIl1 -", repeat=2)])
def test_long_texts_of_letters_like_digits_end(unit: str) -> None:
    """By the square of its length a text of `l1` of this size took a quarter of an hour."""
    assert scan.scan((unit * 100_000).encode()) is not None


def test_identifiers_are_found_whole_however_they_are_written(
    judged: list[tuple[Text, list[tuple[str, int, int]]]],
) -> None:
    wanted, whole = Counter[str](), Counter[str]()
    for text, spans in judged:
        for kind, start, end in text.spans:
            wanted[kind] += 1
            whole[kind] += any(first <= start and last >= end for _, first, last in spans)
    assert set(wanted) == set(KINDS) - NOT_PROMISED
    assert sum(whole.values()) >= 0.999 * sum(wanted.values()), wanted - whole
    for kind, count in wanted.items():
        assert whole[kind] >= 0.998 * count, f"{kind}: {whole[kind]} of {count}"


def test_what_only_looks_like_one_is_left_alone(judged: list[tuple[Text, list[tuple[str, int, int]]]]) -> None:
    said, right = Counter[str](), Counter[str]()
    for text, spans in judged:
        for kind, first, last in spans:
            said[kind] += 1
            right[kind] += any(not (last <= start or first >= end) for _, start, end in text.spans)
    for kind, count in said.items():
        assert right[kind] >= 0.99 * count, f"{kind}: {right[kind]} of {count}"


def test_kinds_are_told_apart(judged: list[tuple[Text, list[tuple[str, int, int]]]]) -> None:
    wanted, same = Counter[str](), Counter[str]()
    for text, spans in judged:
        for kind, start, end in text.spans:
            wanted[kind] += 1
            same[kind] += any(it == kind and first <= start and last >= end for it, first, last in spans)
    for kind, count in wanted.items():
        assert same[kind] >= 0.95 * count, f"{kind}: {same[kind]} of {count}"


def test_identity_cards_as_others_judge_them() -> None:
    made = Maker(2)
    right = [made.id_card() for _ in range(500)]
    wrong = [it[:-1] + made.random.choice("0123456789X") for it in right]
    days = ["11010519" + day + "1234567890X"[made.random.randrange(10)] for day in ("0230999", "1301001", "0000123")]
    for number in (*right, *wrong):
        born = number[6:14]
        try:
            date(int(born[:4]), int(born[4:6]), int(born[6:]))
            expected = mod_11_2.is_valid(number)
        except ValueError:
            expected = False
        assert bool(numbers.identity_cards([number])[0]) is expected, number
    assert all(numbers.identity_cards(right))
    assert not any(numbers.identity_cards([it.ljust(18, "0")[:18] for it in days]))
    # The other checker knows the counties, too: what it takes we take.
    taken = [it for it in right if validator.is_valid(it)]
    assert taken
    assert all(numbers.identity_cards(taken))


@given(st.lists(st.text(string.digits, min_size=2, max_size=19), min_size=1, max_size=20))
def test_check_digits_of_cards_as_another_judges_them(rows: list[str]) -> None:
    assert list(numbers.luhn(rows)) == [judge_luhn.is_valid(it) for it in rows]


def test_mobile_telephones_as_another_judges_them() -> None:
    differ = []
    for prefix in range(1000, 2000):
        number = phonenumbers.parse(f"{prefix}1234567", "CN")
        theirs = phonenumbers.is_valid_number(number) and phonenumbers.number_type(number) == 1
        if bool(numbers.MOBILE.match(str(prefix))) != theirs:
            differ.append(prefix)
    # What we take beyond theirs costs precision, what they take and we do not would cost recall.
    missed = [it for it in differ if not numbers.MOBILE.match(str(it))]
    assert not missed, missed
    assert len(differ) <= 60, differ


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("请联系13812345678。", [("phone", "13812345678")]),
        ("2024-01-05 13812345678", [("phone", "13812345678")]),
        ("密码：hunter22", [("secret", "hunter22")]),
        ("password: <abc1>defg2", [("secret", "<abc1>defg2")]),
        ("password: <abc1>, $ABC1, ${ABC1}", []),
        ('"password": "s3cr3tly"', [("secret", "s3cr3tly")]),
        ("-----BEGIN PRIVATE KEY-----\n" + "QUJD" * 500 + "\n-----END PRIVATE KEY-----\nx", None),
        ("-----BEGIN RSA PRIVATE KEY-----\n" + "QUJD" * 500 + "\n\n这里断了", None),
        ("姓名：欧阳明日", [("name", "欧阳明日")]),
        ("李明先生", [("name", "李明")]),
        ("浙江省杭州市西湖区文三路123号5幢402室", [("address", "浙江省杭州市西湖区文三路123号5幢402室")]),
        ("13812345678\x00\x01\x02 1\x0138\x02", [("phone", "13812345678")]),
        ("", []),
    ],
)
def test_examples(text: str, expected: list[tuple[str, str]] | None) -> None:
    if expected is None:
        [(kind, value)] = found(text)
        assert kind == "secret"
        assert value.count("QUJD") == 500
    else:
        assert found(text) == expected


def test_what_is_no_text_is_not_called_clean() -> None:
    for data in (b"\xff", b"13812345678 \x80", "电话".encode()[:-1], "张".encode("gb18030")):
        with pytest.raises(UnicodeDecodeError):
            scan.scan(data)


def test_a_private_key_over_the_end_of_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    key = b"-----BEGIN PRIVATE KEY-----\n" + b"QUJD" * 3500 + b"\n-----END PRIVATE KEY-----"
    data = b"x " * 9_000 + key + b" after"
    monkeypatch.setattr(scan, "PART", 20_000)
    [it] = scan.scan(data)
    assert data[it.start : it.end] == key


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32), st.integers(9_000, 12_000))
def test_long_texts_are_read_in_parts_as_if_they_were_one(seed: int, part: int) -> None:
    made = texts(seed, 400)
    data = "".join(it.text for it in made).encode()
    whole = scan.scan(data)
    assert whole
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "PART", part)
        assert scan.scan(data) == whole


@settings(deadline=None, max_examples=200)
@given(st.text(st.sampled_from("0123456789Xx -.\n一二三〇①１\u200b@a京A密码:卡号"), max_size=300))
def test_nothing_that_is_found_is_odd(text: str) -> None:
    last = 0
    for it in scan.scan(text.encode()):
        assert isinstance(it, PiiFinding)
        assert last <= it.start < it.end
        assert text.encode()[it.start : it.end].decode()
        assert it.kind in KINDS
        last = it.end


def test_a_recogniser_of_ones_own() -> None:
    def staff(text: str) -> list[tuple[str, int, int]]:
        place = text.find("工号")
        return [("name", place, place + 6)] if place >= 0 else []

    data = "电话13812345678，工号1234".encode()
    spans = scan.scan(data, (lambda text: iter(staff(text)),))
    assert [data[it.start : it.end].decode() for it in spans] == ["13812345678", "工号1234"]


def test_random_digits_are_mostly_nothing() -> None:
    chance = random.Random(3)
    text = "，".join("".join(chance.choices(string.digits, k=chance.randint(12, 17))) for _ in range(5000))
    assert len(found(text)) < 100
