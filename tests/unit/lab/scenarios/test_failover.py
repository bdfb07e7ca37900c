"""What breaks the contract of the fail-over drill, and what does not."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from dualtrack.lab.scenarios.failover import FAULTS, FailoverReport, FaultOutcome

FINE = FaultOutcome(
    fault="killed", where="cloud", requests=1000, wrong=0, failed={}, refused=0, repeated=0, cut=0, detected_s=12.0,
    slowest_s=1.0, back_s=20.0,
)  # fmt: skip


def report(left: int = 0, **changes: Any) -> FailoverReport:
    return FailoverReport(rows=(FINE, replace(FINE, where="local", **changes)), left=left, bound_s=35.0, seconds=1.0)


@pytest.mark.parametrize(
    "changes",
    [{}, {"refused": 300}, {"repeated": 9}, {"cut": 2}, {"detected_s": None}, {"fault": "lies", "wrong": 500}],
    ids=str,
)
def test_the_contract_holds(changes: dict[str, Any]) -> None:
    assert report(**changes).problems == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"failed": {"status 502": 1}}, "killed (local): 1 failed (status 502)"),
        ({"detected_s": 35.5}, "killed (local): detected after 35.5 s, and 35.0 s are the most"),
        ({"wrong": 1}, "killed (local): 1 wrong answers"),
        ({"left": 3}, "3 requests that must stay came to the cloud track"),
    ],
    ids=str,
)
def test_the_contract_is_broken(changes: dict[str, Any], said: str) -> None:
    assert report(**changes).problems == (said,)


def test_every_fault_is_once() -> None:
    names = [(fault, where) for fault, where, *_ in FAULTS]
    assert len(set(names)) == len(names)
    assert {where for _, where in names} == {"cloud", "local", "link", "everywhere", "gateway"}
