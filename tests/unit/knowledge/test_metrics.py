"""Measures of rankings, by hand and beside their definitions written another way."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.knowledge import metrics
from dualtrack.knowledge.metrics import Judged

SOURCES = st.sampled_from("abcdefghijklmnop")


def test_by_hand() -> None:
    # Two right sources, at the second and the fourth place; one is found twice.
    judged = metrics.places(["x", "a", "x", "y", "a", "b"], frozenset("ab"))
    assert judged == Judged((2, 4), 2)
    assert [metrics.recall(judged, most) for most in (1, 2, 3, 4)] == [0, 0.5, 0.5, 1]
    assert metrics.reciprocal(judged) == 0.5
    # (1/log2(3) + 1/log2(5)) / (1 + 1/log2(3))
    assert metrics.ndcg(judged) == pytest.approx(0.65092, abs=1e-5)
    assert metrics.quality([judged, Judged((), 1), Judged((1,), 1)]) == metrics.Quality(
        questions=3, recall_at_1=0.3333, recall_at_5=0.6667, recall_at_10=0.6667, mrr=0.5, ndcg_at_10=0.5503
    )


def test_of_nothing() -> None:
    assert metrics.quality([]).ndcg_at_10 == 0
    assert metrics.ndcg(Judged((), 3)) == 0


@given(st.lists(SOURCES, max_size=30), st.frozensets(SOURCES, min_size=1, max_size=14))
def test_beside_the_definitions(ranked: list[str], right: frozenset[str]) -> None:
    distinct = sorted(set(ranked), key=ranked.index)
    judged = metrics.places(ranked, right)
    for most in (1, 5, 10):
        assert metrics.recall(judged, most) == len(set(distinct[:most]) & right) / len(right)
    gains = [2 ** (it in right) - 1 for it in distinct[:10]]
    best = [1] * min(len(right), 10)
    wanted = dcg(gains) / dcg(best)
    assert metrics.ndcg(judged) == pytest.approx(wanted)
    assert metrics.reciprocal(judged) == max([1 / n for n, it in enumerate(distinct, 1) if it in right], default=0)


def dcg(gains: list[int]) -> float:
    return sum(gain * math.log(2) / math.log(place + 2) for place, gain in enumerate(gains))
