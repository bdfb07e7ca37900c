"""The AWS calls of the watch: one look at all pools, and the two things that it changes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from dualtrack.cloud.pools import activities, consistency
from dualtrack.cloud.pools.model import Action, Failure, Group, Node, Observation, PoolState, Resize, State
from dualtrack.core import aws
from dualtrack.core.errors import External
from dualtrack.inventory import contract

#: Tries and seconds of one call. A look that takes longer is none: the next one comes soon.
TRIES, TIMEOUT_S = 3, 15.0
#: Activities older than this are not read, in seconds; AWS keeps six weeks of them.
ACTIVITIES_S = 7200.0
#: Instances asked for in one call: the limit of a filter's values.
CHUNK = 200
GROUP_TAG = "aws:autoscaling:groupName"


class Api:
    """The watch's clients of one region; ``endpoint`` is the emulator's URL, '' the real AWS."""

    def __init__(self, region: str, endpoint: str = "") -> None:
        self.scaling = aws.client("autoscaling", region, endpoint, attempts=TRIES, timeout=TIMEOUT_S)
        self.ec2 = aws.client("ec2", region, endpoint, attempts=TRIES, timeout=TIMEOUT_S)

    def observe(self, output: contract.Output, memory: State) -> Observation:
        """Return how the GPU pools of a stack are now; External when the API fails or is too slow.

        What the API says without failing may still be wrong: such groups carry a `inconsistency`.
        """
        wanted = {pool.autoscaling_group: name for name, pool in output.pools.items() if pool.gpus}
        with _errors():
            page = self.scaling.describe_auto_scaling_groups(
                AutoScalingGroupNames=list(wanted), MaxRecords=max(1, min(100, len(wanted)))
            )
            at, skew = _clock(page)
            found = {wanted[it["AutoScalingGroupName"]]: it for it in page["AutoScalingGroups"]}
            while page.get("NextToken"):
                page = self.scaling.describe_auto_scaling_groups(
                    AutoScalingGroupNames=list(wanted), NextToken=page["NextToken"]
                )
                found |= {wanted[it["AutoScalingGroupName"]]: it for it in page["AutoScalingGroups"]}
            ids = {i["InstanceId"] for it in found.values() for i in it["Instances"]}
            ids |= {i for name in found for i in memory.pools.get(name, PoolState(at=0)).nodes}
            instances = {it["InstanceId"]: it for it in self._instances(sorted(ids))}
            groups = {}
            for name in wanted.values():
                if name not in found:
                    groups[name] = missing(output, name)
                    continue
                group = describe(output, name, found[name], instances, memory.pools.get(name), at)
                told = list(self._activities(group.group, at))
                groups[name] = with_activities(group, told)
        return Observation(at, groups, skew)

    def _instances(self, ids: list[str]) -> Iterator[dict[str, Any]]:
        for begin in range(0, len(ids), CHUNK):
            filters = [{"Name": "instance-id", "Values": ids[begin : begin + CHUNK]}]
            for page in self.ec2.get_paginator("describe_instances").paginate(Filters=filters):
                for reservation in page["Reservations"]:
                    yield from reservation["Instances"]

    def _activities(self, group: str, now: float) -> Iterator[dict[str, Any]]:
        pages = self.scaling.get_paginator("describe_scaling_activities").paginate(AutoScalingGroupName=group)
        for page in pages:
            for activity in page["Activities"]:
                if now - activity["StartTime"].timestamp() > ACTIVITIES_S:
                    return  # newest first
                yield activity

    def act(self, action: Action) -> None:
        """Do one thing; External when AWS refuses or does not answer."""
        with _errors():
            if isinstance(action, Resize):
                self.scaling.set_desired_capacity(
                    AutoScalingGroupName=action.group, DesiredCapacity=action.to, HonorCooldown=False
                )
                return
            if action.hold:
                self.scaling.suspend_processes(AutoScalingGroupName=action.group, ScalingProcesses=["AZRebalance"])
            self.scaling.update_auto_scaling_group(
                AutoScalingGroupName=action.group, VPCZoneIdentifier=",".join(action.subnets)
            )


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    """Turn what boto3 raises into one line, and an answer without what it must have."""
    try:
        with aws.errors():
            yield
    except KeyError as error:
        raise External(f"AWS answered without {error}") from None


def _clock(page: dict[str, Any]) -> tuple[float, float]:
    """Return AWS's time of an answer, and how far ours is ahead of it; ours where the answer has none."""
    ours = time.time()
    try:
        theirs = parsedate_to_datetime(page["ResponseMetadata"]["HTTPHeaders"]["date"]).timestamp()
    except (KeyError, ValueError, TypeError):
        return ours, 0.0
    # The header has whole seconds; keep our fraction where the clocks agree, so that time does not stand still.
    skew = ours - theirs
    return (ours, 0.0) if abs(skew) < 2 else (theirs, skew)


def missing(output: contract.Output, name: str) -> Group:
    """Return the pool of a group that the API does not know: nothing about it is believed."""
    pool = output.pools[name]
    return Group(
        pool=name,
        group=pool.autoscaling_group,
        lifecycle=_lifecycle(pool),
        gpus=pool.gpus,
        types=pool.instance_types,
        roles=pool.roles,
        desired=0,
        min=pool.min,
        max=pool.max,
        zones={},
        subnets=(),
        inconsistency=f"the API knows no group {pool.autoscaling_group}",
    )


def _lifecycle(pool: contract.Pool) -> Any:
    return "spot" if pool.lifecycle == "spot" else "on-demand"


def describe(
    output: contract.Output,
    name: str,
    group: dict[str, Any],
    instances: dict[str, dict[str, Any]],
    memory: PoolState | None,
    at: float,
) -> Group:
    """Return a pool as its group, its instances and what is remembered of it show it. Pure."""
    pool = output.pools[name]
    states = {key: _state(it, pool.autoscaling_group) for key, it in instances.items()}
    listed = frozenset(it["InstanceId"] for it in group["Instances"])
    remembered = memory or PoolState(at=at)
    suspended = {it["ProcessName"] for it in group.get("SuspendedProcesses", [])}
    nodes = [
        Node(
            id=it["InstanceId"], zone=it["AvailabilityZone"], type=str(it.get("InstanceType") or ""),
            serves=it["LifecycleState"] == "InService",
            bought=instances.get(it["InstanceId"], {}).get("InstanceLifecycle") != "spot",
        )
        for it in group["Instances"]
        if it["LifecycleState"].startswith(("InService", "Pending"))
        and states.get(it["InstanceId"]) not in consistency.OVER
    ]  # fmt: skip
    subnets = tuple(it for it in str(group.get("VPCZoneIdentifier") or "").split(",") if it)
    return Group(
        pool=name,
        group=pool.autoscaling_group,
        lifecycle=_lifecycle(pool),
        gpus=pool.gpus,
        types=pool.instance_types,
        roles=pool.roles,
        desired=group["DesiredCapacity"],
        min=group["MinSize"],
        max=group["MaxSize"],
        zones={zone: output.network.subnets[zone].id for zone in pool.zones if zone in output.network.subnets},
        subnets=subnets,
        nodes=tuple(nodes),
        balances="AZRebalance" not in suspended,
        launches="Launch" not in suspended,
        inconsistency=consistency.inconsistency(remembered.nodes, remembered.at, listed, states, at),
    )


def _state(instance: dict[str, Any], group: str) -> str:
    state = str(instance["State"]["Name"])
    tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
    return "detached" if state in ("running", "pending") and tags.get(GROUP_TAG) != group else state


def with_activities(group: Group, told: list[dict[str, Any]]) -> Group:
    """Return a group with what its activities tell. Pure."""
    failures = [it for it in map(activities.failure, told) if isinstance(it, Failure)]
    successes = [it for it in map(activities.success, told) if it is not None]
    return msgspec.structs.replace(group, failures=tuple(failures), successes=tuple(successes))
