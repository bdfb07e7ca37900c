"""The cloud track's decisions: which pools are short, and which key instances accept."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from dualtrack.cloud import instances
from dualtrack.core import proc
from dualtrack.core.errors import BadInput, Missing
from dualtrack.inventory import contract, ec2, target
from dualtrack.tracks import cloud
from dualtrack.verify import record


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
    assert instances.missing(found) == short


class Scaling:
    """An autoscaling API of two groups."""

    def describe_auto_scaling_groups(self, AutoScalingGroupNames: list[str]) -> dict[str, Any]:
        return {"AutoScalingGroups": [{"AutoScalingGroupName": name} for name in reversed(AutoScalingGroupNames)]}


def output() -> contract.Output:
    """Return a stack's output of two pools, as far as these functions read it."""
    pools = {name: SimpleNamespace(autoscaling_group=f"dualtrack-{name}") for name in ("spot", "control")}
    return SimpleNamespace(region="us-east-1", pools=pools)  # type: ignore[return-value]


def test_groups_are_called_by_their_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instances.aws, "client", lambda *_: Scaling())
    found = instances.groups(output(), "")
    assert {name: it["AutoScalingGroupName"] for name, it in found.items()} == {
        "spot": "dualtrack-spot",
        "control": "dualtrack-control",
    }


def test_pool_that_stays_short_is_said_and_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALTRACK_PATIENCE", "0.001")
    monkeypatch.setattr(
        instances, "groups", lambda *_: {"spot": group(4, "InService"), "control": group(1, "InService")}
    )
    monkeypatch.setattr(proc, "pause", lambda _: None)
    said: list[str] = []
    cloud.wait_for_capacity(output(), "", said.append)
    [line] = said
    assert line.startswith("pool spot has 1 of 4 instances after ")


def test_key_of_the_operator_or_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(BadInput, match="ssh-keygen"):
        target.of("aws").public_key()
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/id_rsa.pub").write_text("ssh-rsa AAAA ops\n")
    assert target.of("aws").public_key() == "ssh-rsa AAAA ops\n"
    (tmp_path / "other.pub").write_text("ssh-ed25519 BBBB ops\n")
    assert target.of("aws").public_key("~/other.pub") == "ssh-ed25519 BBBB ops\n"


def test_stack_that_never_was_has_no_output(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_: str) -> dict[str, Any]:
        raise Missing("no state")

    monkeypatch.setattr(instances.stacks, "outputs", nothing)
    assert instances.saved_output("emulator") is None
    monkeypatch.setattr(instances.stacks, "outputs", lambda _: {})
    assert instances.saved_output("emulator") is None


class Api:
    """Plays EC2 where others run instances, too."""

    meta = SimpleNamespace(events=SimpleNamespace(register=lambda *_, **__: None))

    def __init__(self, *instances: ec2.Instance) -> None:
        self.found = list(instances)

    def describe_instances(self, **_: object) -> dict[str, Any]:
        return {"Found": self.found}


def instance(number: int, pool: str, deployment: str = "ours") -> ec2.Instance:
    return ec2.Instance(
        id=f"i-{number:017x}",
        type="p4d.24xlarge",
        address=f"10.20.0.{number}",
        zone="us-east-1a",
        lifecycle="",
        tag_pool=pool,
        tag_deployment=deployment,
    )


@pytest.mark.attack("who may tag instances", "has a foreign instance configured", "prevented", "the stack's own groups")
def test_only_members_of_the_stacks_groups_are_its_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not what carries a pool's tag: of another deployment, of somebody who may tag, or of another pool's group."""
    ours, moved = instance(1, "spot"), instance(2, "control")
    others = (instance(3, "spot", "theirs"), instance(4, "spot"), instance(5, ""))
    inside = {"Instances": [{"InstanceId": it.id, "LifecycleState": "InService"} for it in (ours, moved)]}
    monkeypatch.setattr(instances, "groups", lambda *_: {"spot": inside, "control": {"Instances": []}})
    monkeypatch.setattr(instances.aws, "client", lambda *_, **__: Api(ours, moved, *others))
    pools = {
        name: contract.Pool(
            lifecycle=name,
            autoscaling_group=f"dualtrack-{name}",
            instance_types=("p4d.24xlarge",),
            gpus=8,
            roles=("gpu",),
            ssh_user="admin",
            zones=("us-east-1a",),
            min=0,
            desired=2,
            max=8,
        )
        for name in ("spot", "control")
    }
    stack = contract.Output(
        schema=1,
        stack="aws",
        region="us-east-1",
        network=contract.Network("vpc-1", "10.20.0.0/16", {}),
        pools=pools,
        storage={},
    )
    assert [it.instance_id for it in instances.discover(stack)] == [ours.id]


def test_join_takes_the_hosts_that_were_never_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that nobody verified, and one whose verification failed."""
    hosts = [SimpleNamespace(name=name, roles=("gpu",)) for name in ("fine", "red", "new")]
    verified = {"fine": record.Verified("then", ok=True), "red": record.Verified("then", ok=False)}
    (tmp_path / "verified.json").write_bytes(msgspec.json.encode(verified))
    taken: list[str] = []
    monkeypatch.setattr(cloud, "STATE", tmp_path)
    for name, value in {"saved_output": output(), "discover": hosts}.items():
        monkeypatch.setattr(instances, name, lambda *_, value=value: value)
    monkeypatch.setattr(cloud.host_boot, "all_of", lambda *_, **__: None)
    monkeypatch.setattr(cloud.deployment, "write", lambda *_: None)
    monkeypatch.setattr(cloud.provision, "configured", lambda *_, hosts, **__: taken.extend(hosts))
    cloud.join("aws", say=lambda _: None)
    assert taken == ["red", "new"]
    cloud.join("aws", say=lambda _: None, only=["new"])
    assert taken[2:] == ["new"]


@pytest.mark.parametrize("new", ["gateway", "serving", "gpu", "controller", "gateway+gpu"])
def test_gateways_and_engines_are_told_of_each_other(new: str) -> None:
    there = [SimpleNamespace(name=role, roles=(role,)) for role in ("gateway", "serving", "gpu", "controller")]
    it = SimpleNamespace(name="new", roles=tuple(new.split("+")))
    found = [host.name for host in cloud.told([it], [*there, it])]  # type: ignore[list-item]
    assert found == (["gateway", "serving"] if {"gateway", "serving"} & set(it.roles) else [])


def test_what_is_destroyed_is_what_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator's own variables count as they do for `up`: the region above all."""
    (tmp_path / "mine.json").write_text('{"region": "eu-west-1"}')
    monkeypatch.setenv("DUALTRACK_VARIABLES", str(tmp_path / "mine.json"))
    given: dict[str, Any] = {}
    monkeypatch.setattr(cloud.stacks, "down", lambda *_, **more: given.update(more))
    monkeypatch.setattr(cloud.deployment, "hosts_file", lambda *_: tmp_path / "hosts.json")
    monkeypatch.setattr(cloud.deployment, "remember", lambda **_: None)
    monkeypatch.setattr(cloud.serving, "introduce", lambda _: None)
    cloud.down("aws", confirm=lambda *_: True, say=lambda _: None)
    assert given["variables"] == {"region": "eu-west-1"}
