"""Persons of all gateways are added up, and held against the limits of the rules of 2024."""

from __future__ import annotations

import pytest

from dualtrack.serving.residency import Counted, report

LIMITS = {"persons": (100_000, 1_000_000), "sensitive": (1, 10_000)}


def people(count: int, first: int = 0) -> frozenset[str]:
    return frozenset(f"{it:016x}" for it in range(first, first + count))


def counted(named: int = 0, sensitive: int = 0, *, first: int = 0, year: int = 2026) -> Counted:
    return Counted(year=year, limits=LIMITS, named=people(named, first), sensitive_named=people(sensitive, first))


def test_whom_two_gateways_know_is_one_person() -> None:
    found = report(2026, [counted(10), counted(10, first=5), counted(99, year=2025)])
    assert [it.persons for it in found.kinds] == [15, 0]
    keys = report(2026, [Counted(year=2026, limits=LIMITS, named=people(2), keys=people(3, 50))])
    assert (keys.kinds[0].persons, keys.kinds[0].by_key) == (5, 3)


@pytest.mark.parametrize(
    ("persons", "sensitive", "asked", "near"),
    [
        (0, 0, "nothing", []), (79_999, 0, "nothing", []), (80_000, 0, "nothing", ["persons"]),
        (100_000, 0, "a standard contract or a certification", []),
        (1, 1, "a standard contract or a certification", []),
        (1, 8_000, "a standard contract or a certification", ["sensitive"]),
        (1, 10_000, "a security assessment", []), (1_000_000, 0, "a security assessment", []),
    ],
)  # fmt: skip
def test_what_is_asked_follows_from_the_limits(persons: int, sensitive: int, asked: str, near: list[str]) -> None:
    found = report(2026, [counted(persons, sensitive)])
    assert found.asked == asked
    assert [it.kind for it in found.kinds if it.near] == near


def test_without_a_gateway_nobody_is_counted() -> None:
    found = report(2026, [], ["gateway-1: away"])
    assert (found.kinds[0].persons, found.kinds[0].next_limit, found.problems) == (0, None, ("gateway-1: away",))
