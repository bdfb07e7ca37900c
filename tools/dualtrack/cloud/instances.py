"""The stack's instances: which there are now, in which scaling groups, and how many are missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dualtrack.cloud import stack as stacks
from dualtrack.core import aws
from dualtrack.core.errors import Missing
from dualtrack.inventory import contract, ec2
from dualtrack.inventory.model import Host, check
from dualtrack.inventory.target import Stack
from dualtrack.remote import host_keys


def discover(output: contract.Output, endpoint: str = "") -> list[Host]:
    """Return the instances of the stack that run now: those in its scaling groups, whatever tags others carry.

    Whoever may run or tag an instance could have it configured else, with the keys of hosts.
    """
    members = {it["InstanceId"]: name for name, group in groups(output, endpoint).items() for it in group["Instances"]}
    every = ec2.instances(aws.client("ec2", output.region, endpoint))
    hosts = ec2.hosts(
        [i for i in every if i.tag_pool and members.get(i.id) == i.tag_pool],
        output.pools, output.traffic, output.network, output.connection, output.entrance,
    )  # fmt: skip
    check(hosts)
    return hosts


def console_keys(host: Host, output: contract.Output, endpoint: str = "") -> list[str]:
    """Return the host keys that an instance has printed to its console, which only the account's owner can read.

    [] where there are none, or none yet: EC2 shows what was printed after one to five minutes.
    """
    with aws.errors():
        api = aws.client("ec2", output.region, endpoint)
        try:
            found = api.get_console_output(InstanceId=host.instance_id, Latest=True)
        except api.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "UnsupportedOperation":  # `Latest` is for instances on Nitro
                raise
            found = api.get_console_output(InstanceId=host.instance_id)
    return host_keys.printed(found.get("Output", ""))


def applied_output(stack: Stack) -> contract.Output:
    """Return the stack's output `inventory` as last applied; Missing when it never was."""
    if not (value := stacks.outputs(stack).get("inventory")):
        raise Missing(f"the cloud track's stack ({stack}) has no output `inventory`", hint="make cloud-up")
    return contract.parse(value)


def saved_output(stack: Stack) -> contract.Output | None:
    """Return the same, None when it never was applied."""
    try:
        return applied_output(stack)
    except Missing:
        return None


def groups(output: contract.Output, endpoint: str) -> dict[str, dict[str, Any]]:
    """Return the autoscaling group of each pool as the API describes it."""
    names = {pool.autoscaling_group: name for name, pool in output.pools.items()}
    with aws.errors():
        api = aws.client("autoscaling", output.region, endpoint)
        found = api.describe_auto_scaling_groups(AutoScalingGroupNames=list(names))["AutoScalingGroups"]
    return {names[group["AutoScalingGroupName"]]: dict(group) for group in found}


def missing(found: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[int, int]]:
    """Return the pools that run fewer instances than desired: name to (running, desired)."""
    short = {}
    for name, group in found.items():
        running = sum(i["LifecycleState"] == "InService" for i in group["Instances"])
        if running < group["DesiredCapacity"]:
            short[name] = (running, group["DesiredCapacity"])
    return short
