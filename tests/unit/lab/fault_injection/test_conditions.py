"""The conditions of the emulated AWS: what a scenario may say, when it counts, and what an operator sees of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dualtrack.core.errors import BadInput
from dualtrack.lab.fault_injection import edit, scenario
from dualtrack.lab.fault_injection.rules import Rules, used
from dualtrack.lab.fault_injection.scenario import Delay, Denial, Lie, Price, Scenario, Throttle
from tests.conftest import CLI

START = datetime(2026, 11, 1, tzinfo=UTC)


def write(lab: Path, **what: Any) -> None:
    (lab / scenario.FILE).write_text(json.dumps(what))


@pytest.mark.parametrize(
    "what",
    [
        {"denials": [{"error": "bad luck"}]},
        {"denials": [{"launches": 0}]},
        {"denials": [{"zone": 1}]},
        {"delays": [{"action": "DescribeInstances", "seconds": -1}]},
        {"delays": [{"action": "DescribeInstances", "seconds": 1e9}]},
        {"lies": [{"action": "RunInstances"}]},
        {"throttles": [{}]},
        {"prices": [{"instance_type": "p4de.24xlarge", "zone": "us-east-1a", "at": "2026-11-01T00:00:00Z", "usd": 0}]},
        {"prices": [{"instance_type": "p4de.24xlarge", "zone": "us-east-1a", "at": "2026-11-01T00:00:00", "usd": 1}]},
        {"scores": [{"zone": "us-east-1a", "score": 11}]},
        {"retry_s": 0},
        {"weather": "rain"},
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_a_wrong_scenario_is_refused_by_name(tmp_path: Path, what: dict[str, Any]) -> None:
    write(tmp_path, **what)
    with pytest.raises(BadInput, match=re.escape(scenario.FILE)):
        scenario.load(tmp_path / scenario.FILE)


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff", b"[]", b'{"denials": [{"error": "weather"}]}'])
def test_of_a_damaged_file_the_one_before_it_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: bytes
) -> None:
    write(tmp_path, denials=[{"lifecycle": "spot"}])
    rules = Rules(tmp_path)
    assert rules.denial("spot", "p4de.24xlarge", "us-east-1a")
    (tmp_path / scenario.FILE).write_bytes(damage)
    for _ in range(5):
        assert rules.denial("spot", "p4de.24xlarge", "us-east-1a")
    assert len(caplog.records) == 1, "said once, not at every call"
    write(tmp_path)
    assert rules.denial("spot", "p4de.24xlarge", "us-east-1a") is None
    (tmp_path / scenario.FILE).unlink()
    assert rules.now() == Scenario()


@pytest.mark.parametrize(
    ("rule", "launch", "matches"),
    [
        (Denial(), ("spot", "p4de.24xlarge", "us-east-1a"), True),
        (Denial(lifecycle="spot"), ("on-demand", "p4de.24xlarge", "us-east-1a"), False),
        (Denial(zone="us-east-1b"), ("spot", "p4de.24xlarge", "us-east-1a"), False),
        (Denial(instance_type="p4d.24xlarge"), ("spot", "p4de.24xlarge", "us-east-1a"), False),
        (Denial(instance_type="p4d.24xlarge", zone="us-east-1a"), ("spot", "p4d.24xlarge", "us-east-1a"), True),
    ],
)
def test_a_denial_is_about_what_it_names(rule: Denial, launch: tuple[Any, str, str], matches: bool) -> None:
    assert rule.matches(*launch) is matches


def test_a_rule_counts_down_and_a_change_of_another_does_not_start_it_anew(tmp_path: Path) -> None:
    rules = Rules(tmp_path)
    edit.add(tmp_path, Throttle(action="DescribeInstances", calls=2))
    assert rules.take(rules.now().throttles, "DescribeInstances")
    assert not rules.take(rules.now().throttles, "DescribeAutoScalingGroups")
    edit.add(tmp_path, Denial(launches=1))
    assert rules.take(rules.now().throttles, "DescribeInstances")
    assert not rules.take(rules.now().throttles, "DescribeInstances")
    edit.add(tmp_path, Throttle(action="DescribeInstances", calls=2))
    assert rules.take(rules.now().throttles, "DescribeInstances"), "the second rule has a count of its own"
    assert [(it.kind, it.left, it.used) for it in edit.show(tmp_path).rules] == [
        ("denial", 1, 0),
        ("throttle", 0, 2),
        ("throttle", 1, 1),
    ]


def test_a_throttle_and_a_lie_about_one_call_have_counts_of_their_own(tmp_path: Path) -> None:
    write(
        tmp_path,
        throttles=[{"action": "DescribeInstances", "calls": 1}],
        lies=[{"action": "DescribeInstances", "calls": 1}],
    )
    rules = Rules(tmp_path)
    assert rules.take(rules.now().throttles, "DescribeInstances")
    assert rules.take(rules.now().lies, "DescribeInstances")
    assert sorted(used(tmp_path).values()) == [1, 1]


def test_a_status_message_is_as_long_as_the_api_lets_it_be() -> None:
    for lifecycle, failure in scenario.CODES:
        text = scenario.status_message(lifecycle, failure, "p4de.24xlarge", "us-east-1a")
        assert text.startswith(f"Could not launch {'Spot' if lifecycle == 'spot' else 'On-Demand'} Instances. ")
        assert len(text) <= 255
        assert "{" not in text


def price(hours: float, usd: float, zone: str = "us-east-1a") -> Price:
    return Price(instance_type="p4de.24xlarge", zone=zone, at=START + timedelta(hours=hours), usd=usd)


def test_price_history_is_answered_as_aws_does() -> None:
    from dualtrack.lab.fault_injection.responses import history, paged

    curve = [price(0, 9.0), price(10, 10.0), price(20, 11.0), price(5, 8.0, "us-east-1b"), price(99, 1.0)]
    found = history(curve, START + timedelta(hours=12), START + timedelta(hours=30))
    assert [(it.usd, it.zone) for it in found] == [(11.0, "us-east-1a"), (10.0, "us-east-1a"), (8.0, "us-east-1b")]
    assert [it.usd for it in history(curve, None, START + timedelta(hours=15))] == [10.0, 8.0]
    seen: list[int] = []
    token: str | None = None
    while True:
        page, token = paged(list(range(7)), token, 3)
        seen += page
        if token is None:
            break
    assert seen == list(range(7))


def test_prices_may_lie_in_a_file_beside_the_scenario(tmp_path: Path) -> None:
    folder, lab = tmp_path / "mine", tmp_path / "lab"
    folder.mkdir()
    lab.mkdir()
    rows = [{"instance_type": "p4de.24xlarge", "zone": "us-east-1a", "at": "2026-11-01T00:00:00Z", "usd": 9.73}]
    (folder / "prices.json").write_text(json.dumps(rows))
    (folder / "scenario.yml").write_text(
        "source: the test\nprice_file: prices.json\nscores: [{zone: us-east-1a, score: 3}]\n"
    )
    edit.replace(lab, folder / "scenario.yml")
    assert [it.usd for it in Rules(lab).prices()] == [9.73]
    (folder / "scenario.yml").write_text("price_file: none.json\n")
    with pytest.raises(BadInput, match=r"no price file none\.json"):
        edit.replace(lab, folder / "scenario.yml")


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "DUALTRACK_LAB_DIR": str(folder)}
    return subprocess.run([CLI, "lab", "aws", *words], env=env, capture_output=True, text=True, check=False, timeout=60)


def test_the_commands(tmp_path: Path) -> None:
    assert "nothing out of the ordinary" in run(tmp_path, "show").stdout
    for words in (
        ("deny", "--lifecycle", "spot", "--zone", "us-east-1a", "--error", "capacity", "--launches", "3"),
        ("throttle", "DescribeAutoScalingGroups", "--calls", "5"),
        ("slow", "DescribeScalingActivities", "--seconds", "2"),
        ("lie", "DescribeInstances"),
    ):
        assert run(tmp_path, *words).returncode == 0
    found = json.loads(run(tmp_path, "show", "--json").stdout)
    assert [(it["kind"], it["left"]) for it in found["rules"]] == [
        ("denial", 3),
        ("throttle", 5),
        ("delay", None),
        ("lie", None),
    ]
    now = scenario.load(tmp_path / scenario.FILE)
    assert (now.denials[0].zone, now.denials[0].lifecycle, now.delays[0].seconds) == ("us-east-1a", "spot", 2)
    assert "DescribeScalingActivities by 2 s" in run(tmp_path, "show").stdout
    assert run(tmp_path, "clear").returncode == 0
    assert not (tmp_path / scenario.FILE).exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("lie", "RunInstances"), "RunInstances cannot be answered with a lie"),
        (("deny", "--error", "weather"), "weather"),
        (("throttle", "DescribeInstances", "--calls", "0"), "--calls"),
        (("set", "/nonexistent.json"), "cannot read /nonexistent.json"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_line_and_changes_nothing(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    done = run(tmp_path, *words)
    assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (2, True, False), done.stderr
    assert not (tmp_path / scenario.FILE).exists()


def test_a_damaged_scenario_is_named_and_can_be_cleared(tmp_path: Path) -> None:
    (tmp_path / scenario.FILE).write_text("{broken")
    assert "dualtrack lab aws clear removes it" in run(tmp_path, "show").stderr
    assert run(tmp_path, "clear").returncode == 0
    assert run(tmp_path, "show").returncode == 0


def test_the_layer_is_not_in_the_controllers() -> None:
    """What is under test must not know what it is tested with: the watch imports nothing of the lab's conditions."""
    modules = ", ".join(f"dualtrack.cloud.pools.{name}" for name in ("api", "controller", "context"))
    code = f"import sys, {modules}; print(' '.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not [it for it in loaded if it.startswith(("moto", "dualtrack.lab.fault_injection"))]


def test_rules_of_every_kind_have_names_for_people() -> None:
    assert edit.about(Denial(error="quota", lifecycle="spot")) == "quota: spot, any type, any zone"
    assert edit.about(Delay(action="DescribeInstances", seconds=1.5)) == "DescribeInstances by 1.5 s"
    assert edit.about(Lie(action="DescribeInstances")) == "DescribeInstances"
