"""The cloud track's decisions: which pools are short, and which key instances accept."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dualtrack import proc
from dualtrack.errors import BadInput, Missing
from dualtrack.inventory import contract
from dualtrack.tracks import cloud


def group(desired: int, *states: str) -> dict[str, Any]:
    return {"DesiredCapacity": desired, "Instances": [{"LifecycleState": state} for state in states]}


@pytest.mark.parametrize(
    ("found", "short"),
    [
        ({}, {}),
        ({"spot": group(2, "InService", "InService")}, {}),
        ({"spot": group(0)}, {}),
        ({"spot": group(2, "InService", "Pending")}, {"spot": (1, 2)}),
        ({"spot": group(1, "Terminating")}, {"spot": (0, 1)}),
        ({"spot": group(1, "InService", "InService")}, {}),  # being made smaller
        ({"spot": group(1), "ondemand": group(1, "InService")}, {"spot": (0, 1)}),
    ],
)
def test_missing(found: dict[str, Any], short: dict[str, tuple[int, int]]) -> None:
    assert cloud.missing(found) == short


class Scaling:
    """An autoscaling API of two groups."""

    def describe_auto_scaling_groups(self, AutoScalingGroupNames: list[str]) -> dict[str, Any]:
        return {"AutoScalingGroups": [{"AutoScalingGroupName": name} for name in reversed(AutoScalingGroupNames)]}


def output() -> contract.Output:
    """Return a stack's output of two pools, as far as these functions read it."""
    pools = {name: SimpleNamespace(autoscaling_group=f"dualtrack-{name}") for name in ("spot", "control")}
    return SimpleNamespace(region="us-east-1", pools=pools)  # type: ignore[return-value]


def test_groups_are_called_by_their_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud.aws, "client", lambda *_: Scaling())
    found = cloud.groups(output(), "")
    assert {name: it["AutoScalingGroupName"] for name, it in found.items()} == {
        "spot": "dualtrack-spot",
        "control": "dualtrack-control",
    }


def test_pool_that_stays_short_is_said_and_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALTRACK_PATIENCE", "0.001")
    monkeypatch.setattr(cloud, "groups", lambda *_: {"spot": group(4, "InService"), "control": group(1, "InService")})
    monkeypatch.setattr(proc, "pause", lambda _: None)
    said: list[str] = []
    cloud.wait_for_capacity(output(), "", said.append)
    [line] = said
    assert line.startswith("pool spot has 1 of 4 instances after ")


def test_key_of_the_operator_or_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(BadInput, match="ssh-keygen"):
        cloud.public_key("aws")
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/id_rsa.pub").write_text("ssh-rsa AAAA ops\n")
    assert cloud.public_key("aws") == "ssh-rsa AAAA ops\n"
    (tmp_path / "other.pub").write_text("ssh-ed25519 BBBB ops\n")
    assert cloud.public_key("aws", "~/other.pub") == "ssh-ed25519 BBBB ops\n"


def test_stack_that_never_was_has_no_output(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_: str) -> dict[str, Any]:
        raise Missing("no state")

    monkeypatch.setattr(cloud.stacks, "outputs", nothing)
    assert cloud.saved_output("emulator") is None
    monkeypatch.setattr(cloud.stacks, "outputs", lambda _: {})
    assert cloud.saved_output("emulator") is None
