"""The cloud track: OpenTofu's stack, its instances as hosts, configured and verified."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dualtrack.cloud import stack as stacks
from dualtrack.cloud import variables
from dualtrack.cloud.plan import Plan
from dualtrack.core import aws, waiting
from dualtrack.core.errors import BadInput, Missing
from dualtrack.core.paths import LAB
from dualtrack.core.task_graph import Say
from dualtrack.inventory import connect, contract, ec2
from dualtrack.inventory.model import Host, check
from dualtrack.inventory.render import Connection
from dualtrack.lab import control, removal, site_models
from dualtrack.tracks import deployment, host_boot, provision, serving
from dualtrack.verify import record

Confirm = Callable[[Plan, str], bool]


def public_key(stack: str, path: str = "") -> str:
    """Return the public key that instances shall accept: the lab's own, or the operator's."""
    if stack == "emulator":
        return control.store().public_key()
    candidates = (
        [Path(path).expanduser()]
        if path
        else [Path.home() / ".ssh" / name for name in ("id_ed25519.pub", "id_rsa.pub")]
    )
    for candidate in candidates:
        if candidate.is_file():
            return candidate.read_text()
    raise BadInput(
        f"no ssh public key in {candidates[0]}", hint="ssh-keygen -t ed25519 makes one; --ssh-public-key names another"
    )


def own_variables() -> dict[str, Any]:
    """Return the variables that the operator set for this run, over those of the stack."""
    return variables.chosen(os.environ.get("DUALTRACK_VARIABLES", ""))


def plan(stack: deployment.Stack, *, confirm: Confirm, say: Say, key: str = "") -> str:
    """Return what `up` would change in the stack, in one line; nothing is changed."""
    endpoint = control.endpoint() if stack == "emulator" else None
    return stacks.up(
        stack, endpoint=endpoint, ssh_public_key=public_key(stack, key), confirm=confirm, progress=say, plan_only=True,
        variables=own_variables(),
    ).plan.summary  # fmt: skip


def up(stack: deployment.Stack, *, confirm: Confirm, say: Say, key: str = "", full: bool = False) -> provision.Settled:
    """Bring the cloud track up, from nothing or from whatever is there, and return what it took."""
    endpoint = control.up(say).aws_endpoint if stack == "emulator" else ""
    result = stacks.up(
        stack, endpoint=endpoint or None, ssh_public_key=public_key(stack, key), confirm=confirm, progress=say,
        variables=own_variables(),
    )  # fmt: skip
    output = contract.parse(result.outputs.get("inventory"))
    if stack == "emulator" and any("serving" in pool.roles for pool in output.pools.values()):
        site_models.push(say)
    say("waiting for the pools to be filled")
    wait_for_capacity(output, endpoint, say)
    hosts, connection = discover(output, endpoint), connection_for(stack)
    say(f"waiting until {len(hosts)} instances have booted and let us in")
    host_boot.all_of(hosts, connection, control.store(), say)
    environment = deployment.cloud_environment(stack)
    deployment.write(environment, "cloud", hosts, connection)
    deployment.remember(stack=stack)
    settled = provision.configured("cloud", environment, say, changed=result.changed, full=full)
    serving.introduce(say)
    return settled


def join(stack: deployment.Stack, *, say: Say) -> provision.Settled | None:
    """Configure and verify the instances that were never found in order, and only those; None when there are none.

    For the pools' own comings and goings: nothing is applied, and hosts that were in order are not touched.
    """
    output = saved_output(stack)
    if output is None:
        raise Missing(f"the cloud track's stack ({stack}) is not up", hint="make cloud-up")
    endpoint = control.endpoint() if stack == "emulator" else ""
    environment = deployment.cloud_environment(stack)
    hosts, connection = discover(output, endpoint), connection_for(stack)
    # Not "is in the inventory": a host whose configuration was interrupted is there, and is not done. The names of
    # instances are made of their ids, so that a name is that instance.
    verified = record.load(LAB / "verified.json")
    new = [host for host in hosts if host.name not in verified or not verified[host.name].ok]
    if not new:
        return None
    say(f"waiting until {', '.join(host.name for host in new)} have booted and let us in")
    host_boot.all_of(new, connection, control.store(), say)
    deployment.write(environment, "cloud", hosts, connection)
    settled = provision.configured("cloud", environment, say, changed=True, hosts=[host.name for host in new])
    serving.introduce(say)
    return settled


def connection_for(stack: str) -> Connection:
    """Return how hosts of a stack are reached."""
    return (
        connect.via_lab(control.store())
        if stack == "emulator"
        else connect.direct(control.store(), os.environ.get("DUALTRACK_SSH_KEY", ""))
    )


def discover(output: contract.Output, endpoint: str = "") -> list[Host]:
    """Return the instances of the stack that run now: those in its scaling groups, whatever tags others carry.

    Whoever may run or tag an instance could have it configured else, with the keys of hosts.
    """
    members = {it["InstanceId"]: name for name, group in groups(output, endpoint).items() for it in group["Instances"]}
    every = ec2.instances(aws.client("ec2", output.region, endpoint))
    hosts = ec2.hosts(
        [i for i in every if i.tag_pool and members.get(i.id) == i.tag_pool],
        output.pools, output.traffic, output.network.vpc_id,
    )  # fmt: skip
    check(hosts)
    return hosts


def saved_output(stack: deployment.Stack) -> contract.Output | None:
    """Return the stack's output `inventory` as last applied, None when it never was."""
    try:
        value = stacks.outputs(stack).get("inventory")
    except Missing:
        return None
    return contract.parse(value) if value else None


#: How long no instance of a pool that is short may come until the track goes on without, in seconds.
CAPACITY_STALL_S = 300.0


def wait_for_capacity(output: contract.Output, endpoint: str, say: Say) -> None:
    """Wait until every pool has as many running instances as it asks for; a pool that stays short is only said."""
    short: dict[str, tuple[int, int]] = {}

    def filled() -> bool:
        nonlocal short
        short = missing(groups(output, endpoint))
        return not short

    try:
        waiting.until(filled, "the pools", stall=CAPACITY_STALL_S, limit=3600, progress=lambda: short, interval=2)
    except waiting.GaveUp as error:
        for name, (running, wanted) in short.items():
            say(
                f"pool {name} has {running} of {wanted} instances after {error.seconds:.0f} s: going on with those"
                " (no capacity or quota?)"
            )


def groups(output: contract.Output, endpoint: str) -> dict[str, dict[str, Any]]:
    """Return the autoscaling group of each pool as the API describes it."""
    api = aws.client("autoscaling", output.region, endpoint)
    names = {pool.autoscaling_group: name for name, pool in output.pools.items()}
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


def down(stack: deployment.Stack, *, confirm: Confirm, say: Say) -> bool:
    """Take the cloud track down; return whether there was anything. The lab goes too when nothing else needs it."""
    now = control.status()
    there = stacks.down(stack, endpoint=now.aws_endpoint or None, confirm=confirm, progress=say)
    if stack == "emulator":
        removal.see_off([host.name for host in now.hosts if host.instance_id], say)
    deployment.hosts_file(deployment.cloud_environment(stack), "cloud").unlink(missing_ok=True)
    deployment.remember(stack="")
    serving.introduce(say)  # a gateway of the local track must not ask engines that are gone
    if stack == "emulator":
        provision.close_lab(say)
    return there
