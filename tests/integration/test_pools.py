"""The watch against an emulated AWS that has no capacity, no quota, throttles and lies."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from botocore.exceptions import ClientError

from dualtrack.lab import credentials
from dualtrack.lab.fault_injection import edit
from tests.conftest import CLI, Cli, wait
from tests.support.pools_testbed import COST, POLICY, Bed, Stack, bed
from tests.support.terraform_testbed import KEY


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with bed(tmp_path_factory.mktemp("aws")) as server:
        yield server


@pytest.fixture
def stack(aws: Bed, tmp_path: Path) -> Stack:
    return aws.stack(tmp_path)


def test_capacity_fails_on_demand_comes_and_goes_when_spot_holds(stack: Stack) -> None:
    stack.rounds(2)
    stack.deny(lifecycle="spot")
    stack.reclaim(1)
    stack.until(lambda: stack.sizes() == (1, 2), what="the fallback")
    assert "raise" in stack.did()
    assert "InsufficientInstanceCapacity" in stack.reasons()
    stack.recover()
    stack.until(lambda: stack.sizes() == (2, 2), what="spot coming back")
    assert "lower" not in stack.did(), "it went before spot had held"
    held = time.monotonic()
    stack.until(lambda: stack.sizes() == (2, 1), what="going again")
    assert time.monotonic() - held >= POLICY.hold_s - 1
    assert [it for it in stack.did() if it in ("raise", "lower")] == ["raise", "lower"]


def test_spot_quota_fails_and_the_ceiling_holds(stack: Stack) -> None:
    stack.watch = stack.new_watch(msgspec.structs.replace(POLICY, ceiling=2 * COST))
    stack.rounds(2)
    stack.deny(lifecycle="spot", error="quota")
    stack.reclaim(2)
    stack.until(lambda: stack.sizes() == (0, 2), what="the fallback")
    stack.rounds(6)
    assert stack.sizes() == (0, 2)
    assert "MaxSpotInstanceCountExceeded" in stack.reasons()
    assert "All P4, P3 and P2 Spot Instance Requests" in stack.reasons()
    assert "is the ceiling" in stack.reasons()
    assert stack.zones() == set(stack.subnets), "a zone was blamed for the account's quota"


def test_on_demand_quota_stops_the_raising(stack: Stack) -> None:
    stack.rounds(2)
    stack.deny(error="quota")
    stack.reclaim(1)
    stack.until(lambda: stack.group("ondemand")["DesiredCapacity"] == 2, what="asking for one")
    stack.reclaim(1)
    stack.rounds(8)
    assert stack.group("ondemand")["DesiredCapacity"] == 2
    assert "no quota left (VcpuLimitExceeded): raise Running On-Demand P instances (L-417A185B)" in stack.reasons()


def test_a_starved_zone_is_avoided_without_ending_a_node_and_comes_back(stack: Stack) -> None:
    nodes = {it["InstanceId"]: it["AvailabilityZone"] for it in stack.group("spot")["Instances"]}
    stack.rounds(2)
    stack.deny(lifecycle="spot", zone="us-east-1c")
    for size in (3, 4, 5, 6):
        stack.scaling.set_desired_capacity(AutoScalingGroupName=f"{stack.name}-spot", DesiredCapacity=size)
    stack.until(lambda: stack.zones() == {"us-east-1a", "us-east-1b"}, what="leaving the zone out")
    suspended = {it["ProcessName"] for it in stack.group("spot")["SuspendedProcesses"]}
    assert suspended == {"AZRebalance"}, "AWS would end the nodes of a zone that is taken out"
    assert nodes.keys() <= {it["InstanceId"] for it in stack.group("spot")["Instances"]}
    stack.recover()
    stack.until(lambda: stack.zones() == set(stack.subnets), what="its return")
    assert "return" in stack.did()
    assert nodes.keys() <= {it["InstanceId"] for it in stack.group("spot")["Instances"]}


def test_a_zone_taken_out_while_aws_balances_ends_its_nodes(stack: Stack) -> None:
    """The trap that the watch avoids is one in this emulator, too."""
    before = {it["InstanceId"] for it in stack.group("spot")["Instances"]}
    stack.scaling.update_auto_scaling_group(
        AutoScalingGroupName=f"{stack.name}-spot", VPCZoneIdentifier=stack.subnets["us-east-1c"]
    )
    assert before.isdisjoint({it["InstanceId"] for it in stack.group("spot")["Instances"]})


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (edit.Throttle(action="DescribeAutoScalingGroups"), "AWS refused DescribeAutoScalingGroups: Throttling"),
        (edit.Throttle(action="DescribeInstances"), "AWS refused DescribeInstances: RequestLimitExceeded"),
        (edit.Throttle(action="DescribeScalingActivities"), "AWS refused DescribeScalingActivities"),
        (edit.Lie(action="DescribeAutoScalingGroups"), "the API knows no group"),
        (edit.Lie(action="DescribeAutoScalingGroups/Instances"), "which EC2 says runs in it"),
        (edit.Lie(action="DescribeInstances"), "of which EC2 knows nothing"),
    ],
    ids=lambda value: f"{type(value).__name__}-{value.action}" if hasattr(value, "action") else "",
)
def test_an_api_that_throttles_or_lies_is_not_read_as_all_gone(stack: Stack, rule: edit.Throttle, said: str) -> None:
    stack.rounds(2)
    before = stack.watch.kept.memory
    edit.add(stack.bed.lab, rule)
    began = time.monotonic()
    while time.monotonic() - began < 3 * POLICY.grace_s:
        stack.rounds(1)
    stack.recover()
    assert stack.did() == []
    assert said in stack.reasons()
    assert stack.watch.kept.memory.pools["spot"].nodes == before.pools["spot"].nodes
    assert stack.sizes() == (2, 1)


def test_a_slow_api_is_no_answer(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dualtrack.cloud.pools.api.TIMEOUT_S", 0.5)
    monkeypatch.setattr("dualtrack.cloud.pools.api.TRIES", 1)
    stack.watch = stack.new_watch()
    stack.rounds(2)
    edit.add(stack.bed.lab, edit.Delay(action="DescribeAutoScalingGroups", seconds=2))
    stack.rounds(2)
    stack.recover()
    assert stack.did() == []
    assert "no action: AWS does not answer" in stack.reasons()


def test_both_answers_empty_at_once_are_not_believed_either(stack: Stack) -> None:
    stack.rounds(2)
    for action in ("DescribeAutoScalingGroups/Instances", "DescribeInstances"):
        edit.add(stack.bed.lab, edit.Lie(action=action))
    stack.rounds(5)
    stack.recover()
    assert stack.did() == []
    assert "disappeared, and EC2 does not say that it ended" in stack.reasons()


def test_all_nodes_really_gone_is_believed(stack: Stack) -> None:
    stack.rounds(2)
    stack.deny(lifecycle="spot")
    stack.reclaim(2)
    stack.until(lambda: stack.sizes() == (0, 3), what="the fallback of both")


def test_a_killed_watch_goes_on_and_lowers_only_what_it_raised(stack: Stack) -> None:
    stack.rounds(2)
    stack.deny(lifecycle="spot")
    stack.reclaim(1)
    stack.until(lambda: stack.sizes() == (1, 2))
    stack.watch = stack.new_watch()
    stack.recover()
    stack.until(lambda: stack.sizes() == (2, 1), what="going again after a restart")


@pytest.mark.parametrize("damage", [b"{broken", None], ids=["broken", "gone"])
def test_a_damaged_memory_is_safe(stack: Stack, damage: bytes | None) -> None:
    stack.rounds(2)
    stack.deny(lifecycle="spot")
    stack.reclaim(1)
    stack.until(lambda: stack.sizes() == (1, 2))
    file = stack.watch.store.file
    file.unlink() if damage is None else file.write_bytes(damage)
    stack.watch = stack.new_watch()
    stack.recover()
    stack.rounds(12)
    assert stack.sizes() == (2, 2), "it lowered what it no longer knew to be its own"


def test_a_refused_action_is_said_and_made_again(stack: Stack) -> None:
    stack.rounds(2)
    stack.deny(lifecycle="spot")
    edit.add(stack.bed.lab, edit.Throttle(action="SetDesiredCapacity", calls=3))
    stack.reclaim(1)
    stack.until(lambda: stack.sizes() == (1, 2), what="the second try")
    assert "raise: AWS refused SetDesiredCapacity" in stack.reasons()


def cli(stack: Stack, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    lab = Cli(stack.folder)
    done = subprocess.run(
        [CLI, "pools", *words, "--inventory", str(stack.inventory_file), "--endpoint", stack.bed.url],
        env=lab.env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done


def test_the_commands(stack: Stack) -> None:
    quick = ("--once", "--grace", "0", "--hold", "0", "--cooldown", "5")
    cli(stack, "watch", "--once", "--dry-run")
    stack.deny(lifecycle="spot")
    stack.reclaim(1)
    dry = cli(stack, "watch", *quick, "--dry-run").stdout
    assert "would raise ondemand: 1 → 2 nodes" in dry
    assert stack.sizes() == (1, 1), "a dry run acted"
    refused = cli(stack, "watch", *quick, "--yes", code=2)
    assert "--ceiling" in refused.stderr
    done = cli(stack, "watch", *quick, "--yes", "--ceiling", "1400", "--json").stdout
    entries = [json.loads(line) for line in done.splitlines()]
    assert {it["schema"] for it in entries} == {"dualtrack.pools-entry/1"}
    assert "raise" in {it["kind"] for it in entries}
    assert stack.sizes() == (1, 2)
    status = json.loads(cli(stack, "status", "--json").stdout)
    rows = {it["pool"]: it for it in status["pools"]}
    assert (rows["ondemand"]["raised"], rows["spot"]["nodes"], status["ceiling"]) == (1, 1, 1400)
    assert status["usd_per_day"] == pytest.approx(2 * COST)
    stack.recover()
    deadline = time.monotonic() + 20
    while stack.sizes() != (2, 1):
        assert time.monotonic() < deadline
        cli(stack, "watch", *quick, "--yes", "--ceiling", "1400")
    lab = Cli(stack.folder)
    report = lab.json("pools", "report")
    assert [it["kind"] for it in report["events"] if it["applied"] and it["kind"] in ("raise", "lower")] == [
        "raise",
        "lower",
    ]
    assert {row["lifecycle"] for row in report["rows"]} == {"spot", "on-demand"}
    assert 0 < report["usd"] < report["usd_on_demand"]
    assert "on-demand replaced spot" in lab("pools", "report").stdout
    assert "on-demand US$ a day" in cli(stack, "status").stdout


def test_the_runbook(stack: Stack, tmp_path: Path) -> None:
    """Every block of the page, on an emulator without hosts: only where it is differs, and bash is told so."""
    lab = Cli(stack.bed.lab)
    stack.bed.retry(0.3)
    # A program and no function of the shell: what a page starts in the background, it must be able to end.
    program, keys = tmp_path / "bin/dualtrack", tmp_path / "aws-credentials"
    credentials.ensure(keys)
    program.parent.mkdir()
    program.write_text(f"""#!/bin/sh
case "$1 $2" in
  "pools watch" | "pools status")
    exec {CLI} "$@" --inventory {stack.inventory_file} --endpoint {stack.bed.url} ;;
  "lab status") echo '{{"aws_endpoint": "{stack.bed.url}", "aws_credentials_file": "{keys}"}}' ;;
  *) exec {CLI} "$@" ;;
esac
""")
    program.chmod(0o755)
    settings = tmp_path / "settings.sh"
    settings.write_text(f'PATH="{program.parent}:$PATH"\n')
    lab.env["BASH_ENV"] = str(settings)
    said = lab.runbook("watch-pools.md")
    assert "raise" in said
    assert "lower" in said
    assert "on-demand replaced spot for" in said


def test_the_emulators_groups_launch_as_awss_do(stack: Stack) -> None:
    """Over the zones, spot marked as such, each launch told; the second type where the first cannot be had."""
    stack.deny(lifecycle="spot", instance_type="p4de.24xlarge", zone="us-east-1c")
    stack.scaling.set_desired_capacity(AutoScalingGroupName=f"{stack.name}-spot", DesiredCapacity=3)
    nodes = {it["AvailabilityZone"]: it for it in stack.group("spot")["Instances"]}
    assert {zone: it["InstanceType"] for zone, it in nodes.items()} == {
        "us-east-1a": "p4de.24xlarge",
        "us-east-1b": "p4de.24xlarge",
        "us-east-1c": "p4d.24xlarge",
    }
    for pool, mark in (("spot", "spot"), ("ondemand", None)):
        ids = [it["InstanceId"] for it in stack.group(pool)["Instances"]]
        found = stack.ec2.describe_instances(InstanceIds=ids)["Reservations"]
        assert {it.get("InstanceLifecycle") for r in found for it in r["Instances"]} == {mark}
    pages = stack.scaling.get_paginator("describe_scaling_activities").paginate(
        AutoScalingGroupName=f"{stack.name}-spot", PaginationConfig={"PageSize": 1}
    )
    told = [it for page in pages for it in page["Activities"]]
    assert [it["StatusCode"] for it in told] == ["Successful"] * 3
    assert told[0]["StartTime"] >= told[-1]["StartTime"], "newest first"


def test_nodes_protected_from_scale_in_end_when_they_are_so_no_more(stack: Stack) -> None:
    stack.bed.retry(0.3)
    name = f"{stack.name}-ondemand"
    stack.scaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=2)
    ids = [it["InstanceId"] for it in stack.group("ondemand")["Instances"]]
    protect = {"AutoScalingGroupName": name, "InstanceIds": ids}
    stack.scaling.set_instance_protection(**protect, ProtectedFromScaleIn=True)
    stack.scaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=1)
    time.sleep(1)
    assert len(stack.group("ondemand")["Instances"]) == 2
    stack.scaling.set_instance_protection(**protect, ProtectedFromScaleIn=False)
    wait(lambda: len(stack.group("ondemand")["Instances"]) == 1, 10, "the end of one")


def test_the_emulator_answers_prices_and_scores(stack: Stack, tmp_path: Path) -> None:
    at = "2026-11-01T00:00:00Z"
    row = {"instance_type": "p4de.24xlarge", "at": at}
    (tmp_path / "scenario.json").write_text(json.dumps({
        "prices": [{**row, "zone": f"us-east-1{it}", "usd": usd} for it, usd in (("a", 9.73), ("b", 14.26))],
        "scores": [{"zone": "us-east-1a", "score": 3}, {"zone": "us-east-1b", "score": 7}],
    }))  # fmt: skip
    edit.replace(stack.bed.lab, tmp_path / "scenario.json")
    found = stack.ec2.describe_spot_price_history(InstanceTypes=["p4de.24xlarge"], AvailabilityZone="us-east-1b")
    assert [(it["AvailabilityZone"], float(it["SpotPrice"])) for it in found["SpotPriceHistory"]] == [
        ("us-east-1b", 14.26)
    ]
    zones = stack.ec2.describe_availability_zones()["AvailabilityZones"]
    ids = {it["ZoneId"]: it["ZoneName"] for it in zones}
    scores = stack.ec2.get_spot_placement_scores(TargetCapacity=1, SingleAvailabilityZone=True)["SpotPlacementScores"]
    assert {ids[it["AvailabilityZoneId"]]: it["Score"] for it in scores} == {"us-east-1a": 3, "us-east-1b": 7}


def test_objects_pass_where_a_policy_insists_on_tls(aws: Bed) -> None:
    """The emulator has no TLS and stands for an endpoint that has; what else a policy refuses is refused."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="tls-only")
    arns = ["arn:aws:s3:::tls-only", "arn:aws:s3:::tls-only/*"]
    whole = {"Effect": "Deny", "Principal": "*", "Resource": arns}
    tls = {**whole, "Action": "s3:*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}

    def ordain(*statements: dict[str, object]) -> str:
        text = json.dumps({"Version": "2012-10-17", "Statement": statements})
        s3.put_bucket_policy(Bucket="tls-only", Policy=text)
        return text

    text = ordain(tls)
    s3.put_object(Bucket="tls-only", Key="a", Body=b"text")
    assert s3.get_object(Bucket="tls-only", Key="a")["Body"].read() == b"text"
    assert s3.get_bucket_policy(Bucket="tls-only")["Policy"] == text, "the policy itself stays as it is"
    ordain(tls, {**whole, "Action": "s3:GetObject"})
    with pytest.raises(ClientError):
        s3.get_object(Bucket="tls-only", Key="a")


def test_a_second_watch_is_refused(stack: Stack) -> None:
    from dualtrack.cloud.pools.state import Store

    with Store(stack.folder / "state/pools/emulator").alone():
        done = cli(stack, "watch", "--once", "--yes", "--ceiling", "0", code=5)
    assert "another watch is at work" in done.stderr


def test_a_real_stack_stands_on_these_conditions(
    aws: Bed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """OpenTofu and the AWS provider see no difference, also after the watch has been at work."""
    from dualtrack.cloud import stack as stacks
    from dualtrack.cloud.pools import context as pools
    from dualtrack.core import paths

    monkeypatch.setattr(paths, "STATE", tmp_path)
    edit.clear(aws.lab)
    aws.retry(0.3)

    def up() -> stacks.Up:
        return stacks.up("emulator", endpoint=aws.url, ssh_public_key=KEY, confirm=lambda *_: True)

    edit.add(aws.lab, edit.Denial(lifecycle="spot", zone="us-east-1b"))
    assert up().changed
    assert up().plan.summary == "No changes"
    where = pools.place("emulator", endpoint=aws.url)
    allowed = pools.policy(
        where.output, pools.prices(None), ceiling=2000, grace=0, hold=3600, cooldown=3600, interval=1
    )
    edit.clear(aws.lab)
    edit.add(aws.lab, edit.Denial(lifecycle="spot", error="quota"))
    scaling = aws.client("autoscaling")
    scaling.set_desired_capacity(AutoScalingGroupName="dualtrack-spot", DesiredCapacity=3)
    for _ in range(3):
        pools.watch(where, allowed, apply=True, once=True, interval=1, say=lambda _: None)
    status = {it.pool: it for it in pools.status(where, pools.prices(None)).pools}
    assert (status["ondemand"].desired, status["ondemand"].raised) == (2, 1)
    assert up().plan.summary == "No changes", "the size that the watch set is drift to OpenTofu"
