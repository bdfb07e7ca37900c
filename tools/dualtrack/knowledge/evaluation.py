"""Asks all questions for somebody, and says how well they are answered: by vectors, by words, and by both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from dualtrack.core.errors import BadInput
from dualtrack.knowledge import fitting, retrieval
from dualtrack.knowledge.fitting import FEWEST, WEIGHTS, Asked
from dualtrack.knowledge.metrics import Judged, Quality, places, quality
from dualtrack.knowledge.questions import Question
from dualtrack.knowledge.retrieval import Figures, Fitted, Refusals
from dualtrack.knowledge.search import Searcher
from dualtrack.knowledge.versions import Entry

Say = Callable[[str], None]


class QuestionResult(msgspec.Struct, frozen=True, kw_only=True):
    """A question: at which place the first right source was by each way, 0 where it was not found.

    ``fused`` and ``refused`` are by a fit on other questions; ``score`` is the best one then.
    """

    question: str
    sources: tuple[str, ...]
    vectors: int
    lexical: int
    fused: int
    score: float
    refused: bool


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """What `dualtrack kb search` does now: by ``retrieval.json``, or by vectors alone. ``note`` is why not by it."""

    weight: float
    least: float | None
    quality: Quality
    refusals: Refusals | None
    note: str = ""


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured; ``fused`` and ``refusals`` on questions that were not fitted on.

    ``weights`` are those of the parts, ``gain`` is fusion's in nDCG@10 with its standard ``error``, and ``weight`` and
    ``least`` are what `--fit` writes. ``unseen`` are sources that are not there, or not to be seen.
    """

    version: str
    questions: int
    vectors: Quality
    lexical: Quality
    fused: Quality
    weights: tuple[float, ...]
    gain: float
    error: float
    wins: bool
    weight: float
    least: float | None
    refusals: Refusals | None
    used: Used
    unseen: tuple[str, ...]
    rows: tuple[QuestionResult, ...]


def evaluate(
    base: Path, searcher: Searcher, questions: Sequence[Question], labels: frozenset[str], *, fit: bool, say: Say
) -> Evaluation:
    """Measure, and with ``fit`` write what came out; BadInput where there are too few questions to fit on."""
    having = sum(bool(it.sources) for it in questions)
    if fit and having < FEWEST:
        raise BadInput(f"{having} questions with an answer are too few to fit on", hint=f"{FEWEST} at least")
    fitted, note = retrieval.load(base, searcher.model.digest)
    asked, now = [], []
    for number, it in enumerate(questions, 1):
        candidates = searcher.candidates(it.question, labels, words=True)
        right = frozenset(it.sources)
        ranked = [_judged(candidates.ranked(weight), right) for weight in WEIGHTS]
        asked.append(Asked(it.question, tuple(found for found, _ in ranked), tuple(best for _, best in ranked)))
        now.append(_judged(candidates.ranked(fitted.weight if fitted else 0.0), right))
        if number % 100 == 0:
            say(f"{number:,} of {len(questions):,} questions asked")
    done = _evaluation(searcher, questions, asked, _used(asked, now, fitted, note), labels)
    if fit:
        figures = Figures(
            version=done.version, vectors=done.vectors, lexical=done.lexical, fused=done.fused, gain=done.gain,
            error=done.error, refusals=done.refusals,
        )  # fmt: skip
        retrieval.save(base, Fitted(model=searcher.model.digest, weight=done.weight, least=done.least, figures=figures))
    return done


def _judged(ranked: Sequence[tuple[float, Entry]], right: frozenset[str]) -> tuple[Judged, float]:
    best = ranked[0][0] if ranked else fitting.NOTHING
    return places([_name(it) for _, it in ranked], right), best


def _name(it: Entry) -> str:
    return f"{it.collection}/{it.source}"


def _used(asked: Sequence[Asked], now: Sequence[tuple[Judged, float]], fitted: Fitted | None, note: str) -> Used:
    least = fitted.least if fitted else None
    limit = fitting.NOTHING if least is None else least
    refused = [best < limit or best == fitting.NOTHING for _, best in now]
    return Used(
        weight=fitted.weight if fitted else 0.0, least=least, quality=quality([it for it, _ in now if it.right]),
        refusals=fitting.refusals(asked, refused), note=note,
    )  # fmt: skip


def _evaluation(
    searcher: Searcher, questions: Sequence[Question], asked: Sequence[Asked], used: Used, labels: frozenset[str]
) -> Evaluation:
    fit = fitting.fit(asked)
    seen = {_name(it) for it in searcher.version.entries if labels & set(it.labels)}
    at = [fit.weights[part] for part in fit.parts]
    having = [(it, place) for it, place in zip(asked, at, strict=True) if it.has_answer]
    rows = []
    for number, (it, question) in enumerate(zip(asked, questions, strict=True)):
        chosen = at[number] if fit.wins else 0
        limit = fit.leasts[fit.parts[number]]
        first = [min(it.judged[place].places, default=0) for place in (0, -1, at[number])]
        rows.append(
            QuestionResult(
                question=it.question, sources=question.sources, vectors=first[0], lexical=first[1], fused=first[2],
                score=it.best[chosen], refused=fitting.refused(it, chosen, limit),
            )
        )  # fmt: skip
    return Evaluation(
        version=searcher.version.id, questions=len(asked), vectors=quality([it.judged[0] for it, _ in having]),
        lexical=quality([it.judged[-1] for it, _ in having]),
        fused=quality([it.judged[place] for it, place in having]),
        weights=tuple(WEIGHTS[it] for it in fit.weights), gain=round(fit.gain, 4), error=round(fit.error, 4),
        wins=fit.wins, weight=WEIGHTS[fit.weight], least=fit.least, refusals=fit.refusals, used=used,
        unseen=tuple(sorted({source for it in questions for source in it.sources} - seen)), rows=tuple(rows),
    )  # fmt: skip
