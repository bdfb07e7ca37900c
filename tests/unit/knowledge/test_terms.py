"""What texts are taken apart into: the same for every way to write them, and nothing lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.knowledge.terms import terms


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("磁盘阵列", ["磁盘", "盘阵", "阵列"]),
        ("盘", ["盘"]),
        ("磁盘，阵", ["磁盘", "阵"]),
        ("RAID10阵列MD-5", ["raid10", "阵列", "md", "5"]),
        ("ＲＡＩＤ １０", ["raid", "10"]),
        ("snake_case CamelCase", ["snake", "case", "camelcase"]),
        ("㈱ かな 𠀀𠀁", ["株", "かな", "𠀀𠀁"]),
        ("naïve Ярус", ["naïve", "ярус"]),
        ("，。… \x00\n", []),
        ("", []),
    ],
)
def test_terms(text: str, found: list[str]) -> None:
    assert list(terms(text)) == found


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    found = list(terms(text))
    assert all(found)
    assert not any(it.isspace() for word in found for it in word)
    # Taken apart once more, terms stay what they are.
    assert [again for it in found for again in terms(it)] == found


@given(st.text(st.sampled_from("磁盘阵列的更换"), min_size=2, max_size=30))
def test_a_run_is_its_pairs(text: str) -> None:
    found = list(terms(text))
    assert len(found) == len(text) - 1
    assert found[0][0] + "".join(it[1] for it in found) == text
