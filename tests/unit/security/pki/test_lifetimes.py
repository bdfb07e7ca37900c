"""How long certificates are valid, and when each is to be renewed: over every kind and every day of its life."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import pytest

from dualtrack.security.pki import authority, lifetimes
from dualtrack.security.pki.lifetimes import Kind, Life, State

NOW = datetime(2026, 11, 25, tzinfo=UTC)
KINDS = get_args(Kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_certificate_is_valid_for_as_long_as_its_kind_says(tmp_path: Path, kind: Kind) -> None:
    found = authority.issue(tmp_path, kind, "one", now=NOW)
    assert found.ends - NOW == timedelta(days=30 if kind in lifetimes.MACHINES else 7)


def test_what_lies_on_hosts_is_a_machine() -> None:
    assert set(KINDS) - lifetimes.MACHINES == {"admin", "person"}


@pytest.mark.parametrize("kind", ["node", "person"])
def test_it_is_renewed_once_on_the_day_that_two_thirds_of_its_life_are_over(tmp_path: Path, kind: Kind) -> None:
    """A timer that runs once a day: the certificate is the same until that day, and never over."""
    issued, renewed = authority.issue(tmp_path, kind, "one", now=NOW), []
    for day in range(1, lifetimes.days(kind) + 1):
        found = authority.issue(tmp_path, kind, "one", now=NOW + timedelta(days=day))
        assert found.ends > NOW + timedelta(days=day)
        if found.changed:
            renewed.append(day)
            issued = found
    assert renewed[0] == {30: 20, 7: 5}[lifetimes.days(kind)]
    assert issued.ends == NOW + timedelta(days=lifetimes.days(kind) + renewed[-1])


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_a_former_release_made_is_replaced(tmp_path: Path, kind: Kind) -> None:
    authority.issue(tmp_path, kind, "one", days=397, now=NOW)
    assert authority.state(tmp_path / kind / "one.pem", NOW) == "due"
    assert authority.issue(tmp_path, kind, "one", now=NOW).changed
    assert not authority.issue(tmp_path, kind, "one", now=NOW).changed


@pytest.mark.parametrize(
    ("left", "machine", "own"),
    [
        (timedelta(days=30), "", "due"),  # longer than one made today
        (timedelta(days=11), "", "due"),
        (timedelta(days=9), "due", "due"),
        (timedelta(days=7), "due", ""),
        (timedelta(days=7) - timedelta(seconds=1), "late", ""),
        (timedelta(days=2), "late", "due"),
        (timedelta(seconds=1), "late", "due"),
        (timedelta(0), "over", "over"),
        (timedelta(days=-400), "over", "over"),
    ],
)
def test_state(left: timedelta, machine: State, own: State) -> None:
    for kind in KINDS:
        life = Life(NOW + left - timedelta(days=lifetimes.days(kind)), NOW + left)
        expected = machine if kind in lifetimes.MACHINES else own
        assert lifetimes.state(kind, life, NOW) == expected, kind


def test_one_of_a_shorter_life_is_not_late_from_its_first_day(tmp_path: Path) -> None:
    """A test, or somebody with a command of their own, may have made one for three days."""
    found = authority.issue(tmp_path, "node", "log-1", days=3, now=NOW)
    life = Life(found.begins, found.ends)
    assert [lifetimes.state("node", life, NOW + timedelta(hours=it)) for it in (1, 49, 71, 72)] == [
        "", "late", "late", "over"
    ]  # fmt: skip


def test_the_authority_itself_is_not_due_for_years(tmp_path: Path) -> None:
    ends = authority.ensure(tmp_path, now=NOW).ends
    seen = [authority.state(tmp_path / "ca.pem", now) for now in (NOW, ends - timedelta(days=1000), ends)]
    assert seen == ["", "due", "over"]
