"""The cloud track: OpenTofu's stack, its instances as hosts, configured and verified."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from dualtrack.cloud import instances, variables
from dualtrack.cloud import stack as stacks
from dualtrack.cloud.plan import TofuPlan
from dualtrack.core import waiting
from dualtrack.core.errors import Missing
from dualtrack.core.paths import STATE
from dualtrack.core.task_graph import Say
from dualtrack.inventory import contract, deployment
from dualtrack.inventory import target as targets
from dualtrack.inventory.model import Host
from dualtrack.inventory.target import Stack
from dualtrack.tracks import host_boot, provision, serving
from dualtrack.verify import record

Confirm = Callable[[TofuPlan, str], bool]


def endpoint(stack: Stack) -> str:
    """Return the address of a stack's cloud API, '' for AWS's own."""
    return targets.of(stack).endpoint()


def plan(stack: Stack, *, confirm: Confirm, say: Say, key: str = "") -> TofuPlan:
    """Return what `up` would change in the stack, and with which variables; nothing is changed."""
    target = targets.of(stack)
    return stacks.up(
        stack, endpoint=target.endpoint(), ssh_public_key=target.public_key(key), confirm=confirm, progress=say,
        plan_only=True, variables=variables.own(),
    ).plan  # fmt: skip


def up(
    stack: Stack,
    *,
    confirm: Confirm,
    accept: host_boot.Accept = host_boot.refuse,
    say: Say,
    key: str = "",
    full: bool = False,
) -> provision.Settled:
    """Bring the cloud track up, from nothing or from whatever is there, and return what it took."""
    target = targets.of(stack)
    target.up(say)
    endpoint = target.endpoint()
    result = stacks.up(
        stack, endpoint=endpoint, ssh_public_key=target.public_key(key), confirm=confirm, progress=say,
        variables=variables.own(),
    )  # fmt: skip
    output = contract.parse(result.outputs.get("inventory"))
    target.seed({role for pool in output.pools.values() for role in pool.roles}, say)
    say("waiting for the pools to be filled")
    wait_for_capacity(output, endpoint, say)
    hosts, connection = instances.discover(output, endpoint), target.connection()
    say(f"waiting until {len(hosts)} instances have booted and let us in")
    host_boot.all_of(hosts, connection, target, say, accept=accept, vouch=by_console(output, endpoint, say))
    deployment.write(target, "cloud", hosts, connection)
    deployment.remember(stack=stack)
    settled = provision.configured("cloud", target.environment, say, changed=result.changed, full=full)
    serving.introduce(say)
    return settled


#: How long an instance's console may show no host keys: EC2 shows what was printed after one to five minutes.
CONSOLE_STALL_S = 420.0


def by_console(output: contract.Output, endpoint: str, say: Say) -> host_boot.Vouch:
    """Return what reads the host keys that an instance printed at its first boot, and waits until they are there."""

    def vouch(host: Host) -> Sequence[str]:
        say(f"waiting for the host keys on the console of {host.name}, up to {CONSOLE_STALL_S / 60:.0f} minutes")
        try:
            return waiting.until(
                lambda: instances.console_keys(host, output, endpoint), f"the console of {host.name}",
                stall=CONSOLE_STALL_S, limit=CONSOLE_STALL_S, interval=5,
            )  # fmt: skip
        except waiting.GaveUp:  # an image without cloud-init, or one that prints none
            return []

    return vouch


def newcomers(hosts: Sequence[Host]) -> list[Host]:
    """Return the hosts that were never found in order.

    Not those that are missing in the inventory: a host whose configuration was interrupted is there, and is not done.
    The names of instances are made of their ids, so that a name is that instance.
    """
    verified = record.load(STATE / "verified.json")
    return [host for host in hosts if host.name not in verified or not verified[host.name].ok]


#: Gateways know the engines, and engines let gateways in by their addresses.
TALKING = frozenset({"gateway", "serving"})


def told(new: Sequence[Host], hosts: Sequence[Host]) -> list[Host]:
    """Return the hosts beside the ``new`` ones that must be told of them: engines of a gateway, gateways of an engine.

    Nodes of the scheduler register themselves, and nobody else is told of them.
    """
    if not any(TALKING.intersection(host.roles) for host in new):
        return []
    return [host for host in hosts if host not in new and TALKING.intersection(host.roles)]


def join(
    stack: Stack, *, accept: host_boot.Accept = host_boot.refuse, say: Say, only: Collection[str] | None = None
) -> provision.Settled | None:
    """Configure and verify the instances that were never found in order, and only those; None when there are none.

    For the pools' own comings and goings: nothing is applied, and hosts that were in order are not touched, but those
    that must be told (`told`). ``only`` leaves others aside.
    """
    output = instances.saved_output(stack)
    if output is None:
        raise Missing(f"the cloud track's stack ({stack}) is not up", hint="make cloud-up")
    target = targets.of(stack)
    hosts, connection = instances.discover(output, target.endpoint()), target.connection()
    new = [host for host in newcomers(hosts) if only is None or host.name in only]
    if not new:
        return None
    say(f"waiting until {', '.join(host.name for host in new)} have booted and let us in")
    vouch = by_console(output, target.endpoint(), say)
    host_boot.all_of(new, connection, target, say, accept=accept, vouch=vouch)
    deployment.write(target, "cloud", hosts, connection)
    names = [host.name for host in (*new, *told(new, hosts))]
    settled = provision.configured("cloud", target.environment, say, changed=True, hosts=names)
    serving.introduce(say)
    return settled


#: How long no instance of a pool that is short may come until the track continues without, in seconds.
CAPACITY_STALL_S = 300.0


def wait_for_capacity(output: contract.Output, endpoint: str, say: Say) -> None:
    """Wait until every pool has as many running instances as it asks for; a pool that stays short is only said."""
    short: dict[str, tuple[int, int]] = {}

    def filled() -> bool:
        nonlocal short
        short = instances.missing(instances.groups(output, endpoint))
        return not short

    try:
        waiting.until(filled, "the pools", stall=CAPACITY_STALL_S, limit=3600, progress=lambda: short, interval=2)
    except waiting.GaveUp as error:
        for name, (running, wanted) in short.items():
            say(
                f"pool {name} has {running} of {wanted} instances after {error.seconds:.0f} s: going on with those"
                " (no capacity or quota?)"
            )


def down(stack: Stack, *, confirm: Confirm, say: Say) -> bool:
    """Take the cloud track down; return whether there was anything. The lab goes too when nothing else needs it."""
    target = targets.of(stack)
    with target.departing(say):
        endpoint = "" if target.problem() else target.endpoint()
        there = stacks.down(
            stack, endpoint=endpoint, confirm=confirm, progress=say, variables=variables.own()
        )  # fmt: skip
    deployment.hosts_file(target.environment, "cloud").unlink(missing_ok=True)
    deployment.remember(stack="")
    serving.introduce(say)  # a gateway of the local track must not ask engines that are gone
    target.release(say)
    return there
