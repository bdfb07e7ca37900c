"""Indexes of many vectors: what they say that they find they do, and they are made of a person's own chunks alone."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from dualtrack.data.mirror import artifacts
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """What came out of `tests/support/index_checks.py`, with the limits between kinds set low."""
    done = subprocess.run(
        [artifacts.environment("knowledge"), "-P", ROOT / "tests/support/index_checks.py"], capture_output=True,
        text=True, check=False, timeout=300, env={**os.environ, "PYTHONPATH": str(ROOT / "tools")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("kind", ["flat", "ivf-sq8", "ivf-rabitq"])
def test_what_an_index_says_it_finds(found: dict[str, Any], kind: str) -> None:
    it = found["kinds"][kind]
    assert it["kind"] == kind
    assert it["stated"] >= (1 if kind == "flat" else 0.97)
    assert it["measured"] >= 0.95, "of questions that it has not seen"
    assert 0 < it["asked"] < it["lists"] or kind == "flat"
    assert it["same"], "made again of the same it answers otherwise"
    assert it["nothing"] == 0, "something is near to no number"
    assert it["known"]


def test_texts_that_are_the_same(found: dict[str, Any]) -> None:
    assert found["twins"]["recall"] >= 0.97
    assert found["twins"]["found"] == 100


def test_an_index_that_finds_too_little_is_none(found: dict[str, Any]) -> None:
    assert "of the nearest: too few" in found["too little"]


def test_what_one_may_not_see_changes_nothing(found: dict[str, Any]) -> None:
    assert found["different"] == 0


def test_indexes_are_made_before_people_ask(found: dict[str, Any]) -> None:
    """As many as are kept, of those that most people need."""
    assert found["prepared"] == {"all before": 3, "all asked": 0, "some before": 2, "some asked": 0}
