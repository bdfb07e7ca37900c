"""What both tracks have in common: configuring with Ansible, verifying, and closing the lab after the last of them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from dualtrack import verify
from dualtrack.errors import Findings
from dualtrack.graph import Say
from dualtrack.lab import control, removal
from dualtrack.tracks import lanes, places, unchanged


class Settled(msgspec.Struct, frozen=True):
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

    ``hosts`` narrows it to some of them. Where all hosts have on record that they were configured with exactly today's
    inputs, they are verified first, and only configured when a check fails; ``full`` configures them in any case.
    """
    group = ",".join(hosts) or f"track_{track}"
    inventories = places.inventories(environment)
    found = unchanged.hosts_of(inventories, group)
    before = unchanged.inputs(found)
    if not full and not hosts and unchanged.recorded(found) == {unchanged.digest(before)}:
        say("nothing that is applied has changed: verifying")
        report = verify.verify(inventories, roles=None, limit=group, progress=say)
        if report.ok:
            say(f"verified: {report.headline}")
            return Settled(track, changed, len(report.hosts), {}, report.passed, unchanged=True)
        say(f"not as it was left: {report.headline}")
    unchanged.forget(found)
    say("configuring")
    log = control.store().folder / f"logs/configure-{track}.log"
    result = lanes.configure(inventories, found, log=log, say=say)
    changes = {host: count for host, count in result.changed.items() if count}
    say(
        f"configured: {sum(changes.values())} changes on {len(changes)} hosts"
        if changes
        else "configured: nothing to change"
    )
    say("verifying")
    report = verify.verify(inventories, roles=None, limit=group, progress=say)
    if not report.ok:
        raise Findings(f"the {track} track does not verify: {report.headline}", hint="dualtrack verify shows all of it")
    say(f"verified: {report.headline}")
    found = unchanged.hosts_of(inventories, group)
    after = unchanged.inputs(found)
    if moved := unchanged.moved(before, after, found):
        say(f"the next run configures again: {', '.join(moved[:3])} changed meanwhile")
    else:
        unchanged.record(found, unchanged.digest(after))
    return Settled(track, changed or bool(changes), len(report.hosts), changes, report.passed)


def close_lab(say: Say) -> None:
    """Take the lab down when neither track nor anybody's declared host needs it any more."""
    if places.current().stack == "emulator" or control.store().desired():
        return
    if control.status().up or removal.leftovers():
        control.down(say)
