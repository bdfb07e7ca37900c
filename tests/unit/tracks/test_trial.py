"""What a trial offers, and what keeps it from beginning. It runs in tests/e2e/test_cloud_try.py."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dualtrack.cloud import account, leftovers
from dualtrack.core import paths
from dualtrack.core.errors import External, Interrupted, Refused
from dualtrack.inventory import deployment
from dualtrack.tracks import trial

#: So late in the day that its end is on the next one.
NOW = datetime(2026, 12, 1, 23, 40, tzinfo=UTC)
WHERE = {"stack": "aws", "account": "account 444455556666", "region": "eu-west-1", "name": "dualtrack-try-0a0a0a"}


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(paths, "STATE", tmp_path)
    monkeypatch.setattr(deployment, "STATE", tmp_path)
    monkeypatch.delenv("DUALTRACK_VARIABLES", raising=False)
    monkeypatch.setattr(account, "whoami", lambda: account.Identity("111122223333", "arn:aws:iam::111122223333:user/x"))
    monkeypatch.setattr(leftovers, "find", lambda *_: [])
    return tmp_path


def offer(**more: Any) -> trial.Offer:
    return trial.offer("aws", **{"limit_usd": 1.0, **more})


def test_what_is_offered() -> None:
    found = offer()
    # Two m6i.large at 0.096, two addresses at 0.005, 40 GB at 0.08 a month: for one hour.
    assert found.most_usd == pytest.approx(2 * 0.096 + 2 * 0.005 + 40 * 0.08 / 730, abs=0.0005)
    [pool] = found.variables["pools"].values()
    assert (pool["min"], pool["desired"], pool["max"]) == (0, 2, 2)
    assert found.variables["time_zone"] == {"name": "UTC", "utc_offset": "+00:00"}
    # What is destroyed is what was made, whatever the files say by then.
    assert {"region", "network", "operator_cidrs", "image"} - found.variables.keys() <= {"operator_cidrs", "image"}
    said = "\n".join(found.lines)
    assert all(it in said for it in ("account 111122223333", "us-east-1", "2 × m6i.large", found.name, "US$ 0.21"))
    assert offer().name != found.name


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


def test_a_price_that_only_the_operator_knows() -> None:
    assert offer(instance_type="t3.nano", usd_per_hour=0.0052).most_usd == pytest.approx(0.0104 + 0.0144, abs=0.001)


def test_what_others_left_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "find", lambda name, *_: [f"vpc of {name}"])
    assert offer().lines[-1] == "there already, of a trial that nobody ended: vpc of dualtrack-try-*"


#: What may go wrong in a step, beside an error of ours.
FAILURES = {
    "error": External("no"), "value": ValueError("no"), "key": KeyError("no"),
    "json": json.JSONDecodeError("no", "", 0),
    "interrupted": Interrupted("no"), "ctrl-c": KeyboardInterrupt(), "disk": OSError(28, "No space left on device"),
}  # fmt: skip


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("at", ["plan", "up", "push", "pull", "emptied", "down", "look"])
def test_whatever_fails_the_rest_is_taken_down(
    state: Path, monkeypatch: pytest.MonkeyPatch, at: str, failure: str
) -> None:
    """Each step fails in each way: destroying is tried in any case, and only a clean end forgets the trial."""
    done: list[str] = []

    def step(name: str, value: Any = None) -> Any:
        done.append(name)
        if name == at:
            raise FAILURES[failure]
        return value

    monkeypatch.setattr(trial._Trial, "call", lambda _, *words, **__: step(words[1], "{}"))
    monkeypatch.setattr(trial._Trial, "push", lambda _: step("push", "s3://b/try@v1"))
    monkeypatch.setattr(trial._Trial, "pull", lambda *_: step("pull"))
    monkeypatch.setattr(leftovers, "buckets", lambda *_: step("emptied", []))
    offered = offer()
    monkeypatch.setattr(leftovers, "find", lambda *_: step("look", []))
    stops = failure in ("interrupted", "ctrl-c")
    report = None
    if stops:
        with pytest.raises((Interrupted, KeyboardInterrupt)):
            trial.run(offered, accept_host_keys=False, say=lambda _: None, now=NOW)
    else:
        report = trial.run(offered, accept_host_keys=False, say=lambda _: None, now=NOW)
        assert not report.ok
    began = at in ("plan", "up", "push", "pull")
    if began or not stops:
        assert done[-3:] == ["emptied", "down", "look"]
    assert (state / "try").exists() == (not began)
    if not began:
        assert trial.unfinished() == "aws"


def test_the_hour_begins_when_the_trial_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not when it was offered: the question may be answered an hour later."""
    seen: dict[str, Any] = {}

    def call(it: Any, *words: str, **_: Any) -> str:
        if words[1] == "plan":
            seen.update(json.loads((it.folder / "variables.json").read_text()))
        raise External("enough")

    monkeypatch.setattr(trial._Trial, "call", call)
    trial.run(offer(), accept_host_keys=False, say=lambda _: None, now=NOW)
    assert seen["pools"]["try"]["schedules"] == {"end": {"at": "00:40", "desired": 0}}
    assert {"region", "network"} <= seen.keys()


def test_one_trial_at_a_time(state: Path) -> None:
    (state / "try").mkdir()
    with pytest.raises(Refused, match="dualtrack cloud try --end"):
        offer()


def test_the_labs_addresses_are_taken_while_its_cloud_track_is_up() -> None:
    deployment.remember(stack="emulator")
    with pytest.raises(Refused, match="the lab's cloud track is up"):
        trial.offer("emulator", limit_usd=1)
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


def left(state: Path) -> None:
    (state / "try").mkdir()
    (state / "try/where.json").write_text(json.dumps(WHERE))


def test_a_trial_is_ended_where_it_is_and_by_nobody_elses_credentials(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever stack is named or usual by then."""
    left(state)
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
