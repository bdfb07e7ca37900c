"""What both tracks have in common: configuring with Ansible and verifying."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from dualtrack import verify
from dualtrack.core.errors import Findings
from dualtrack.core.paths import STATE
from dualtrack.core.task_graph import Say
from dualtrack.inventory import deployment
from dualtrack.inventory.read import read_inventory
from dualtrack.tracks import lanes, unchanged
from dualtrack.tracks.unchanged import Hosts


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """What bringing a track up took: whether anything changed, and how many tasks changed which hosts.

    ``unchanged``: nothing had to be applied again, by the hosts' records, and the checks have found it so.
    """

    track: str
    changed: bool
    hosts: int
    changes: dict[str, int]
    passed: int
    unchanged: bool = False


def configured(
    track: str, environment: str, say: Say, *, changed: bool, hosts: Sequence[str] = (), full: bool = False
) -> Settled:
    """Run the site playbook on one track's hosts, then verify them; Findings when a check fails.

    ``hosts`` narrows it to some of them. Hosts that have on record that they were configured with exactly today's
    inputs are only configured when one of their checks fails; ``full`` configures them in any case.
    """
    group = ",".join(hosts) or f"track_{track}"
    inventories = deployment.inventories(environment)
    inventory = read_inventory(inventories)
    found = unchanged.hosts_of(inventory, group)
    before = unchanged.inputs(found)

    def verified(what: str) -> verify.CheckReport:
        say("verifying")
        report = verify.verify(inventories, roles=None, limit=group, progress=say, inventory=inventory)
        say(f"{what}: {report.headline}" if report.ok else f"not {what}: {report.headline}")
        return report

    changes: dict[str, int] = {}
    wanted = list(found.variables)
    if not full and not hosts:
        wanted = _outdated(found)
    if not wanted:
        say("nothing that is applied has changed")
        report = verified("as it was left")
        if report.ok:
            return Settled(
                track=track, changed=changed, hosts=len(report.hosts), changes={}, passed=report.passed, unchanged=True
            )
        wanted = [host.name for host in report.hosts if host.state != "passed"]
    # What turns a host red may lie on another: after those that must be configured come all.
    chosen = lanes.with_companions(found, wanted)
    for some in (chosen, found) if chosen != found else (found,):
        for host, count in _configure(track, inventories, some, say).items():
            changes[host] = changes.get(host, 0) + count
        inventory = read_inventory(inventories)
        report = verified("verified")
        if report.ok:
            break
    else:
        raise Findings(f"the {track} track does not verify: {report.headline}", hint="dualtrack verify shows all of it")
    found = unchanged.hosts_of(inventory, group)
    digests = unchanged.digests(found)  # before it is asked what has changed: nothing else is recorded
    after = unchanged.inputs(found)
    if moved := unchanged.moved(before, after, found):
        say(f"the next run configures again: {', '.join(moved[:3])} changed meanwhile")
    else:
        unchanged.record(found, digests)
    return Settled(
        track=track, changed=changed or bool(changes), hosts=len(report.hosts), changes=changes, passed=report.passed
    )


def behind(track: str, environment: str) -> list[str]:
    """Return the hosts of a track that were configured with other inputs than today's.

    What a host is given may depend on the other track's hosts: its firewall lets those gateways in that there are.
    """
    return _outdated(unchanged.hosts_of(read_inventory(deployment.inventories(environment)), f"track_{track}"))


def caught_up(settled: Settled, environment: str, say: Say) -> Settled:
    """Configure those hosts of a track again that the other one has put behind, and return what both runs took."""
    if not behind(settled.track, environment):
        return settled
    say("the other track has changed what some hosts are given")
    after = configured(settled.track, environment, say, changed=settled.changed)
    changes = dict(Counter(settled.changes) + Counter(after.changes))
    return msgspec.structs.replace(after, changes=changes, unchanged=False)


def _outdated(hosts: Hosts) -> list[str]:
    """Return the hosts whose records are not those of today's inputs."""
    today = unchanged.digests(hosts)
    return [name for name, record in unchanged.recorded(hosts).items() if record != today[name]]


def _configure(track: str, inventories: Sequence[Path], hosts: Hosts, say: Say) -> dict[str, int]:
    """Run the site playbook on some of a track's hosts; return how many tasks changed each host that changed."""
    unchanged.forget(hosts)
    say(f"configuring {', '.join(hosts.variables)}")
    log = STATE / f"logs/configure-{track}.log"
    changed = lanes.configure(inventories, hosts, log=log, say=say).changed
    changes = {host: count for host, count in changed.items() if count}
    told = f"{sum(changes.values())} changes on {len(changes)} hosts" if changes else "nothing to change"
    say(f"configured: {told}")
    return changes
