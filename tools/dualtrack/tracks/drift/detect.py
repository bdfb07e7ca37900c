"""The look itself: OpenTofu, the live API and the hosts, side by side."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import msgspec

from dualtrack import verify
from dualtrack.cloud import instances
from dualtrack.cloud import stack as stacks
from dualtrack.cloud.applied import applied
from dualtrack.core import aws, paths
from dualtrack.core.errors import DualtrackError
from dualtrack.inventory import deployment, ec2
from dualtrack.inventory import target as targets
from dualtrack.inventory.target import Stack
from dualtrack.tracks import gather
from dualtrack.tracks.drift import cloudtrail, hosts, live, resources
from dualtrack.tracks.drift.model import Drift, DriftReport
from dualtrack.verify import record

Say = Callable[[str], None]


class Wanted(msgspec.Struct, frozen=True):
    """What to look at."""

    stack: Stack
    cloud: bool = True
    hosts: bool = True


def look(wanted: Wanted, say: Say) -> DriftReport:
    """Return what drifted. What cannot be looked at is in the report, too: it never reads as clean."""
    begin = time.monotonic()
    drifted: list[Drift] = []
    expected: list[Drift] = []
    unknown: list[str] = []
    done: list[str] = []
    with ThreadPoolExecutor(3, thread_name_prefix="drift") as pool:
        parts: dict[str, Future[tuple[list[Drift], list[Drift], list[str]]]] = {}
        if wanted.cloud:
            parts["resources, by OpenTofu's refresh"] = pool.submit(_resources, wanted.stack, say)
            parts["instances and pools, by the live API"] = pool.submit(_live, wanted.stack)
        if wanted.hosts:
            parts["hosts, by their roles' checks"] = pool.submit(_hosts, say)
        for name, part in parts.items():
            try:
                found, allowed, lost = part.result()
            except DualtrackError as error:
                unknown.append(f"{name}: {error}")
                continue
            drifted += found
            expected += allowed
            unknown += lost
            done.append(name)
    return DriftReport(
        drifted=tuple(drifted),
        expected=tuple(expected),
        unknown=tuple(unknown),
        looked_at=tuple(done),
        seconds=round(time.monotonic() - begin, 1),
    )


def _resources(stack: Stack, say: Say) -> tuple[list[Drift], list[Drift], list[str]]:
    target = targets.of(stack)
    seen = stacks.refresh(stack, endpoint=target.endpoint(), progress=say)
    since = f"after {seen.applied}" if seen.applied else ""
    found, expected = resources.drifts(seen.plan, stack, since)
    if found and not target.ephemeral:  # a cloud that is forgotten keeps no record of who changed it
        known = cloudtrail.last_change(
            str(stacks.outputs(stack)["inventory"]["region"]), resources.ids(seen.plan, found)
        )
        found = [
            msgspec.structs.replace(it, since=known[it.name][0], who=known[it.name][1]) if it.name in known else it
            for it in found
        ]
    return found, expected, []


def _live(stack: Stack) -> tuple[list[Drift], list[Drift], list[str]]:
    place = applied(stack)
    live_now = list(ec2.instances(aws.client("ec2", place.output.region, place.endpoint), untagged=True))
    groups = instances.groups(place.output, place.endpoint)
    return live.drifts(place.output, place.deployment, live_now, groups), [], []


def _hosts(say: Say) -> tuple[list[Drift], list[Drift], list[str]]:
    inventories = deployment.inventories()
    before = record.load(paths.STATE / "verified.json")
    report = verify.verify(inventories, progress=say)
    everything = gather.gather(
        track="all", stack=deployment.current().stack or "emulator", endpoint="", region="", facts=None
    )
    tracks = {host.name: host.track for part in everything.parts for host in part.hosts}
    found, unknown = hosts.drifts(report, before, tracks)
    return found, [], unknown
