"""`dualtrack drill audit`: what becomes a row, and what the rows come to."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dualtrack.lab.scenarios import attacks
from dualtrack.lab.scenarios.attacks import Attack, report

pytest_plugins = ["pytester"]

SUITE = """
import pytest

@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.attack("root", "edits", "found", "verify")
def test_marked(n):
    assert n == 1

@pytest.mark.attack("root", "prays", "prevented", "nobody")
def test_that_cannot_be_tried(absent):
    pass

@pytest.mark.attack
def test_that_says_it_itself(record_property):
    record_property("attack", {"who": "a thief", "what": "reads", "outcome": "prevented", "by": "rights", "seconds": 1})
    record_property("other", 1)

def test_that_is_none():
    pass
"""


def test_each_test_tells_what_it_tried(pytester: pytest.Pytester, tmp_path: Path) -> None:
    path = tmp_path / "events"
    with path.open("w") as file:
        pytester.makeini("[pytest]\nmarkers = attack")
        pytester.makepyfile(SUITE)
        descriptor = os.dup(file.fileno())
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DUALTRACK_EVENTS_FD", str(descriptor))
            pytester.runpytest_inprocess("-p", "dualtrack.lab.scenarios.collect", "-m", "attack", "-q")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(it["who"], it["what"], it["outcome"], it["ways"]) for it in rows] == [
        ("root", "edits", "found", 1),
        ("root", "edits", "missed", 1),
        ("root", "prays", "not tried", 1),
        ("a thief", "reads", "prevented", 1),
    ]


def test_variants_are_one_row_and_as_bad_as_the_worst() -> None:
    rows = [
        Attack(who="root", what="edits", outcome=it, by="verify", seconds=1.5) for it in ("found", "missed", "found")
    ]
    found = report([*rows, Attack(who="a thief", what="reads", outcome="prevented", by="rights", seconds=1)], "", 9.04)
    assert [(it.what, it.outcome, it.ways, it.seconds) for it in found.rows] == [
        ("edits", "missed", 3, 4.5),
        ("reads", "prevented", 1, 1),
    ]
    assert found.headline == "2 attacks in 4 ways: 1 prevented, 1 missed"
    assert not found.ok


@pytest.mark.parametrize(
    ("outcomes", "broken", "ok"),
    [
        (("found", "prevented"), "", True),
        (("found",), "another test failed", False),
        (("found", "not tried"), "", False),
        ((), "", False),
    ],
)
def test_ok_is_all_that_was_tried_and_nothing_else_broken(outcomes: tuple[str, ...], broken: str, ok: bool) -> None:
    rows = [Attack(who="root", what=f"does {it}", outcome=it, by="x", seconds=0) for it in outcomes]  # type: ignore[arg-type]
    assert report(rows, broken, 1).ok == ok


def test_a_scenario_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "ci/scenario.sh"
    program.parent.mkdir()
    monkeypatch.setattr(attacks, "ROOT", tmp_path)
    rows = [Attack(who="root", what="edits", outcome="prevented", by="x", seconds=0)]
    for code, outcome, why in ((0, "prevented", ""), (1, "missed", "molecule's base: fatal: [h]: FAILED!")):
        program.write_text(f"#!/bin/sh\nprintf 'TASK\\n--- why:\\nfatal: [h]: FAILED!\\nmore\\n'\nexit {code}\n")
        program.chmod(0o755)
        told: list[str] = []
        [row], said = attacks.scenario("base", rows, told.append)
        assert (row.outcome, said) == (outcome, why)
        assert ("molecule's base: more" in told) == bool(code)
