"""Weights and least scores: fitted where they win, and evaluated on other questions."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.core.errors import BadInput
from dualtrack.knowledge import fitting, retrieval
from dualtrack.knowledge.fitting import WEIGHTS, Asked
from dualtrack.knowledge.metrics import Judged, quality
from dualtrack.knowledge.retrieval import Figures, Fitted, Refusals


def asked(name: str, places: tuple[int, ...], scores: float | tuple[float, ...]) -> Asked:
    """Return a question with its place by vectors, in the middle of the weights, and by words; 0 has no answer."""
    third = len(WEIGHTS) // 3
    by = [places[0] if at <= third else places[1] if at <= 2 * third else places[2] for at in range(len(WEIGHTS))]
    best = scores if isinstance(scores, tuple) else (scores,) * len(WEIGHTS)
    return Asked(name, tuple(Judged((it,), 1) if it else Judged((), 0) for it in by), best)


def many(count: int, *kinds: tuple[tuple[int, ...], float]) -> list[Asked]:
    return [asked(f"{number}", *kinds[number % len(kinds)]) for number in range(count)]


def test_fusion_wins_where_it_is_better() -> None:
    # Vectors and words find half each at once; both together all.
    found = fitting.fit(many(60, ((1, 1, 9), 0.8), ((9, 1, 1), 0.8)))
    assert found.wins
    assert WEIGHTS[found.weight] == 0.4  # the least of those that are alike
    assert found.gain > 0.3
    assert set(found.weights) == {found.weight}


@pytest.mark.parametrize(
    "kinds",
    [
        [((1, 1, 1), 0.8)],  # nothing to win
        [((1, 2, 3), 0.8)],  # worse
        # Better and worse by chance: what wins in four parts is not better in the fifth.
        [((2, 1, 1), 0.8), ((1, 2, 1), 0.8), ((1, 1, 2), 0.8), ((1, 1, 1), 0.8), ((1, 2, 2), 0.8)],
    ],
)
def test_fusion_is_off_where_it_does_not_win(kinds: list[tuple[tuple[int, ...], float]]) -> None:
    found = fitting.fit(many(60, *kinds))
    assert not found.wins
    assert found.weight == 0


def test_noise_does_not_win() -> None:
    """Of rankings that differ by chance alone, one in twenty may seem to win; here twice as many are let pass."""
    wins = 0
    for seed in range(60):
        chance = random.Random(seed)
        wins += fitting.fit([asked(str(n), tuple(chance.choices(range(1, 12), k=3)), 0.5) for n in range(40)]).wins
    assert wins <= 6, wins


def test_few_questions_are_not_fitted_on() -> None:
    few = fitting.fit(many(fitting.FEWEST - 1, ((9, 1, 1), 0.8)))
    assert (few.wins, few.weight, few.least) == (False, 0, None)
    assert few.gain > 0.5


def test_least_score_tells_what_has_no_answer() -> None:
    chance = random.Random(2)
    having = [asked(f"a{n}", (1, 1, 1), 0.6 + chance.random() / 4) for n in range(40)]
    lacking = [asked(f"b{n}", (0, 0, 0), 0.3 + chance.random() / 4) for n in range(20)]
    found = fitting.fit(having + lacking)
    assert found.least is not None
    assert 0.55 <= found.least <= 0.6 + 0.25 / 10
    assert found.refusals == Refusals(without_answer=20, with_answer=40, rightly=1, wrongly=0)
    # Scores that tell nothing give no least score.
    mixed = [asked(f"c{n}", (n % 2,) * 3, (n // 2) / 100) for n in range(60)]
    assert fitting.fit(mixed).least is None


def test_least_score_refuses_few_that_have_an_answer() -> None:
    having = [asked(f"a{n}", (1, 1, 1), n / 100) for n in range(100)]
    lacking = [asked(f"b{n}", (0, 0, 0), 0.2 + n / 1000) for n in range(100)]
    limit = fitting.least(having + lacking, 0)
    assert limit is None  # what lacks an answer scores better than a twentieth of the others
    low = [asked(f"b{n}", (0, 0, 0), 0.0005 * n) for n in range(100)]
    limit = fitting.least(having + low, 0)
    assert limit is not None
    assert sum(it.best[0] < limit for it in having) <= fitting.MOST_WRONGLY * 100


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.randoms())
def test_split(answers: list[bool], chance: random.Random) -> None:
    every = [asked(f"{n}", (int(it),) * 3, 0.5) for n, it in enumerate(answers)]
    parts = dict(zip((it.question for it in every), fitting.split(every), strict=True))
    for has_answer in (True, False):
        sizes = [sum(parts[it.question] == part for it in every if it.has_answer == has_answer) for part in range(5)]
        assert max(sizes) - min(sizes) <= 1
    chance.shuffle(every)
    assert dict(zip((it.question for it in every), fitting.split(every), strict=True)) == parts


def fitted(model: str = "m") -> Fitted:
    none = quality([])
    figures = Figures(version="v", vectors=none, lexical=none, fused=none, gain=0, error=0, refusals=None)
    return Fitted(model=model, weight=0.35, least=0.5, figures=figures)


def test_file_of_another_model_is_not_used(tmp_path: Path) -> None:
    assert retrieval.load(tmp_path, "m") == (None, "")
    retrieval.save(tmp_path, fitted())
    assert retrieval.load(tmp_path, "m") == (fitted(), "")
    for model, terms, said in (
        ("n", "bigrams-1", "another model"),
        ("m", "words-0", "another version of this program"),
    ):
        retrieval.save(tmp_path, msgspec.structs.replace(fitted(model), terms=terms))
        found, note = retrieval.load(tmp_path, "m")
        assert found is None
        assert said in note


@pytest.mark.parametrize("change", [{"weight": 1.1}, {"weight": "x"}, {"least": 2}, {"more": 1}, {"figures": None}])
def test_damaged_file_is_said(tmp_path: Path, change: dict[str, object]) -> None:
    data = {**msgspec.to_builtins(fitted()), **change}
    (tmp_path / retrieval.NAME).write_bytes(msgspec.json.encode(data))
    with pytest.raises(BadInput, match=r"retrieval\.json is damaged"):
        retrieval.load(tmp_path, "m")
