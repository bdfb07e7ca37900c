"""What lexical scores weigh, and below which score nothing was found: fitted, and evaluated on other questions (pure).

Figures of a fit on the questions that it was made on flatter. So questions are split in five parts; each part is
evaluated by what was fitted on the other four.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import statistics
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from dualtrack.knowledge.metrics import Judged, mean, ndcg
from dualtrack.knowledge.retrieval import Refusals

FOLDS = 5
#: What is tried as the weight of lexical scores.
WEIGHTS = tuple(step / 20 for step in range(21))
#: Fewer questions with an answer, and without one, are not fitted on.
FEWEST, FEWEST_WITHOUT = 20, 10
#: At most this part of the questions that have an answer may be refused, in the questions of the fit.
MOST_WRONGLY = 0.05
#: Fusion wins where its gain is so many standard errors. Of rankings that differ by chance alone, one in twenty does.
SURE = 2.0
#: The best score where nothing was found: below all that is.
NOTHING = -1.0


@dataclass(frozen=True)
class Asked:
    """What a question got, for each of WEIGHTS: how its ranking is evaluated, and its best score."""

    question: str
    judged: tuple[Judged, ...]
    best: tuple[float, ...]

    @property
    def has_answer(self) -> bool:
        """Whether something must be found."""
        return self.judged[0].right > 0


@dataclass(frozen=True)
class Fit:
    """What was fitted on all questions, and what each got from a fit without its part.

    ``weights`` and ``leasts`` are by part, ``parts`` says in which one each question is; ``weight`` is a place in
    WEIGHTS, 0 where fusion does not win.
    """

    parts: tuple[int, ...]
    weights: tuple[int, ...]
    leasts: tuple[float | None, ...]
    gain: float
    error: float
    wins: bool
    weight: int
    least: float | None
    refusals: Refusals | None


def fit(asked: Sequence[Asked]) -> Fit:
    """Return the fit on some questions."""
    parts = split(asked)
    others = [[it for it, at in zip(asked, parts, strict=True) if at != part] for part in range(FOLDS)]
    weights = tuple(weight(it) for it in others)
    gains = [
        ndcg(it.judged[weights[at]]) - ndcg(it.judged[0]) for it, at in zip(asked, parts, strict=True) if it.has_answer
    ]
    gain = mean(gains)
    error = statistics.stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else 0.0
    whole = weight(asked)
    wins = len(gains) >= FEWEST and gain > SURE * error and whole > 0
    # Refusals are those of what will be used: of fused scores only where fusion wins.
    used = weights if wins else (0,) * FOLDS
    leasts = tuple(least(it, used[part]) for part, it in enumerate(others))
    whole = whole if wins else 0
    said = [refused(it, used[at], leasts[at]) for it, at in zip(asked, parts, strict=True)]
    found = refusals(asked, said)
    limit = least(asked, whole) if found and found.rightly > found.wrongly else None
    return Fit(parts, weights, leasts, gain, error, wins, whole, limit, found if set(leasts) != {None} else None)


def split(asked: Sequence[Asked]) -> tuple[int, ...]:
    """Return the part that each question is in, whatever their order; those without an answer are spread as well."""
    parts = [0] * len(asked)
    for has_answer in (True, False):
        places = [place for place, it in enumerate(asked) if it.has_answer == has_answer]
        places.sort(key=lambda place: hashlib.sha256(asked[place].question.encode()).digest())
        for number, place in enumerate(places):
            parts[place] = number % FOLDS
    return tuple(parts)


def weight(asked: Sequence[Asked]) -> int:
    """Return the place in WEIGHTS of the best one by nDCG@10; of like ones that which counts words the least."""
    having = [it for it in asked if it.has_answer]
    return max(range(len(WEIGHTS)), key=lambda at: (round(mean([ndcg(it.judged[at]) for it in having]), 9), -at))


def least(asked: Sequence[Asked], at: int) -> float | None:
    """Return the score below which nothing was found: it tells best what has an answer from what has none.

    It lies in the middle between two scores that were seen. None where there are too few questions, or none that tells.
    """
    having = sorted(it.best[at] for it in asked if it.has_answer)
    lacking = sorted(it.best[at] for it in asked if not it.has_answer)
    if len(having) < FEWEST * (FOLDS - 1) // FOLDS or len(lacking) < FEWEST_WITHOUT * (FOLDS - 1) // FOLDS:
        return None
    best, found = 0.0, None
    for low, high in itertools.pairwise(sorted({*having, *lacking})):
        limit = round((low + high) / 2, 5)
        wrongly, rightly = bisect_left(having, limit) / len(having), bisect_left(lacking, limit) / len(lacking)
        if wrongly <= MOST_WRONGLY and rightly - wrongly > best:
            best, found = rightly - wrongly, limit
    return found


def refusals(asked: Sequence[Asked], refused: Sequence[bool]) -> Refusals | None:
    """Return which parts were refused; None where all questions have an answer, or none has."""
    wrongly = [said for it, said in zip(asked, refused, strict=True) if it.has_answer]
    rightly = [said for it, said in zip(asked, refused, strict=True) if not it.has_answer]
    if not wrongly or not rightly:
        return None
    return Refusals(
        without_answer=len(rightly), with_answer=len(wrongly), rightly=round(mean(rightly), 4),
        wrongly=round(mean(wrongly), 4),
    )  # fmt: skip


def refused(it: Asked, at: int, limit: float | None) -> bool:
    """Return whether a question gets no answer: its best score is below a limit, or there is nothing at all."""
    return it.best[at] < limit if limit is not None else it.best[at] == NOTHING
