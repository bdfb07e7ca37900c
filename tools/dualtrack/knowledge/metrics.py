"""How good a ranking is, by the places of the right sources in it (pure).

A question has one or more right sources; ``places`` are those at which they were found, the first is 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec


class Judged(msgspec.Struct, frozen=True):
    """A ranking for a question: the places of the right sources that were found, and how many are right."""

    places: tuple[int, ...]
    right: int


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """Means over questions, from 0 to 1.

    ``recall_at_K`` is the part of the right sources among the first K, ``mrr`` one through the place of the first right
    one, and ``ndcg_at_10`` counts places less the lower they are.
    """

    questions: int
    recall_at_1: float
    recall_at_5: float
    recall_at_10: float
    mrr: float
    ndcg_at_10: float


def places(ranked: Sequence[str], right: frozenset[str]) -> Judged:
    """Return at which places of a ranking the right sources are; a source counts once, where it is first."""
    distinct = dict.fromkeys(ranked)
    return Judged(tuple(place for place, it in enumerate(distinct, 1) if it in right), len(right))


def recall(it: Judged, most: int) -> float:
    """Return the part of the right sources that is among the first ``most``."""
    return sum(place <= most for place in it.places) / it.right


def reciprocal(it: Judged) -> float:
    """Return one through the place of the first right source; 0 where none was found."""
    return 1 / min(it.places) if it.places else 0.0


def ndcg(it: Judged, most: int = 10) -> float:
    """Return the discounted gain of the first ``most``, beside the one of the best order that there is."""
    best = math.fsum(1 / math.log2(place + 1) for place in range(1, min(it.right, most) + 1))
    return math.fsum(1 / math.log2(place + 1) for place in it.places if place <= most) / best


def mean(values: Sequence[float]) -> float:
    """Return the mean, 0 of nothing."""
    return math.fsum(values) / len(values) if values else 0.0


def quality(judged: Sequence[Judged]) -> Quality:
    """Return the means over questions that have right sources."""

    def of(values: Sequence[float]) -> float:
        return round(mean(values), 4)

    return Quality(
        questions=len(judged), recall_at_1=of([recall(it, 1) for it in judged]),
        recall_at_5=of([recall(it, 5) for it in judged]), recall_at_10=of([recall(it, 10) for it in judged]),
        mrr=of([reciprocal(it) for it in judged]), ndcg_at_10=of([ndcg(it) for it in judged]),
    )  # fmt: skip
