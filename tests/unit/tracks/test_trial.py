"""What a trial offers, and what keeps it from beginning. It runs in tests/e2e/test_cloud_try.py."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dualtrack.cloud import account
from dualtrack.core import paths
from dualtrack.core.errors import Refused
from dualtrack.inventory import deployment
from dualtrack.tracks import trial

#: So late in the day that its end is on the next one.
NOW = datetime(2026, 12, 1, 23, 40, tzinfo=UTC)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(paths, "STATE", tmp_path)
    monkeypatch.setattr(deployment, "STATE", tmp_path)
    monkeypatch.delenv("DUALTRACK_VARIABLES", raising=False)
    monkeypatch.setattr(account, "whoami", lambda: account.Identity("111122223333", "arn:aws:iam::111122223333:user/x"))
    return tmp_path


def offer(**more: Any) -> trial.Offer:
    return trial.offer("aws", **{"limit_usd": 1.0, "now": NOW, **more})


def test_what_is_offered() -> None:
    found = offer()
    # Two m6i.large at 0.096, two addresses at 0.005, 40 GB at 0.08 a month: for one hour.
    assert found.most_usd == pytest.approx(2 * 0.096 + 2 * 0.005 + 40 * 0.08 / 730, abs=0.0005)
    [pool] = found.variables["pools"].values()
    assert (pool["min"], pool["desired"], pool["max"]) == (0, 2, 2)
    assert pool["schedules"] == {"end": {"at": "00:40", "desired": 0}}
    assert found.variables["time_zone"] == {"name": "UTC", "utc_offset": "+00:00"}
    said = "\n".join(found.lines)
    assert all(it in said for it in ("account 111122223333", "us-east-1", "2 × m6i.large", "00:40 UTC", "US$ 0.21"))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"limit_usd": 0.1}, r"may cost US\$ 0\.21, and the limit is 0\.10"),
        ({"instance_type": "p4d.24xlarge"}, r"may cost US\$ 43\.\d\d, and the limit is 1\.00"),
        ({"instance_type": "t3.nano"}, "no price is known for t3.nano in us-east-1"),
    ],
)
def test_a_price_that_is_too_high_or_not_known_is_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused, match=said):
        offer(**more)


def test_one_trial_at_a_time(state: Path) -> None:
    (state / "try").mkdir()
    with pytest.raises(Refused, match="dualtrack cloud try --end"):
        offer()


def test_the_labs_addresses_are_taken_while_its_cloud_track_is_up() -> None:
    deployment.remember(stack="emulator")
    with pytest.raises(Refused, match="the lab's cloud track is up"):
        trial.offer("emulator", limit_usd=1, now=NOW)
    assert offer().stack == "aws"  # an account has room for both


def test_a_report_says_what_was_not_proven() -> None:
    steps = (
        trial.Step(what="one", ok=True, seconds=3.2),
        trial.Step(what="two", ok=False, seconds=0.1, error="no | way"),
    )
    report = trial.Report(
        began="now", stack="aws", account="account 1", region="us-east-1", instance_type="m6i.large", most_usd=0.2,
        steps=steps, left=("instance i-1",),
    )  # fmt: skip
    said = trial.markdown(report)
    assert "| one | yes | 3 s |" in said
    assert r"| two | NO: no \| way | 0 s |" in said
    assert "Left in the account: instance i-1." in said
    assert not report.ok


def left(state: Path, **where: str) -> None:
    (state / "try").mkdir()
    (state / "try/where.json").write_text(json.dumps(where))


def test_a_trial_is_ended_where_it_is_and_by_nobody_elses_credentials(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever stack is named or usual by then."""
    left(state, stack="aws", account="account 444455556666", region="eu-west-1")
    assert trial.unfinished() == "aws"
    with pytest.raises(
        Refused, match="the trial is in account 444455556666, and these credentials are of account 1111"
    ):
        trial.end(lambda _: None)
    left_there: list[tuple[str, str]] = []
    monkeypatch.setattr(trial._Trial, "end", lambda it: left_there.append((it.stack, it.region)))
    monkeypatch.setattr(account, "whoami", lambda: account.Identity("444455556666", "arn:aws:iam::444455556666:user/y"))
    trial.end(lambda _: None)
    assert left_there == [("aws", "eu-west-1")]


def test_a_trial_that_was_killed_before_it_made_anything_is_forgotten(state: Path) -> None:
    (state / "try").mkdir()
    assert trial.unfinished() is None
    assert trial.end(lambda _: None) == ()
    assert not (state / "try").exists()
    assert offer().stack == "aws"
