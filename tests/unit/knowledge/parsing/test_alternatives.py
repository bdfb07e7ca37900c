"""Forms of one mail: what one has beside another is kept, as lines, and each label with its value."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.knowledge.parsing import alternatives
from dualtrack.knowledge.parsing.blocks import Block


def new(said: list[str], others: list[str]) -> list[str]:
    known = alternatives.Said()
    known.add([Block(kind="text", text="\n".join(said))])
    return [it.text for it in known.new([Block(kind="text", text=it) for it in others])]


@pytest.mark.parametrize(
    ("said", "others", "kept"),
    [
        (["密码：见网页版"], ["密码：", "Abc12345"], ["密码：", "Abc12345"]),
        (["结论：不同意该方案。"], ["结论：", "同意"], ["结论：", "同意"]),
        (["金额 100"], ["金额", "10"], ["金额", "10"]),
        (["100"], ["10"], ["10"]),
        (["-100"], ["100"], ["100"]),
        (["one two", "three"], ["One  two three"], []),
        (["- 甲", "2. *乙*", "> 丙"], ["甲", "乙", "丙"], []),
        (["甲", "乙"], ["甲乙"], []),
        (["甲"], ["甲", "甲"], ["甲"]),
        (["一：", "不同意", "二：", "同意"], ["一：", "同意", "二：", "同意"], ["一：", "同意"]),
        (["密码", "Abc12345"], ["密码", "Abc12345"], []),
        (["手机：139", "见网页"], ["手机：139", "12345678"], ["手机：139", "12345678"]),
        (["正文", "见网页"], ["正文", "附文"], ["附文"]),
        (["✓"], ["✗"], ["✗"]),
        ([], ["甲"], ["甲"]),
    ],
)
def test_what_another_form_has(said: list[str], others: list[str], kept: list[str]) -> None:
    assert new(said, others) == kept


LINES = st.lists(
    st.sampled_from(["一：", "二：", "密码", "同意", "不同意", "10", "100", "-10", "甲 乙", "甲", "乙"]), max_size=8
)


@given(LINES, LINES)
def test_no_line_is_lost_and_no_value_loses_its_label(said: list[str], others: list[str]) -> None:
    both = [*said, "", *new(said, others)]
    whole = "|".join(["", *("".join(it.split()) for it in both), ""])
    for it in others:
        assert f"|{it.replace(' ', '')}|" in whole or it.replace(" ", "") in whole.replace("|", "")
        assert max(said.count(it), others.count(it)) <= both.count(it) or it in ("甲 乙", "甲", "乙")
    for label, value in itertools.pairwise(others):
        if label in ("一：", "二：", "密码") and value not in ("一：", "二：", "密码", "甲 乙", "甲", "乙"):
            assert f"|{label}|{value}|" in whole


def test_many_lines_are_compared_in_time() -> None:
    """A line that is there a hundred thousand times is compared at a few of its places, and each time once."""
    assert len(new(["a"] * 100_000, ["aab"] * 2_000)) == 2_000
    assert new(["a"] * 1_000, ["a"] * 1_001) == ["a"]
