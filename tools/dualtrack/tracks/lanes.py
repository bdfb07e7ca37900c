"""Configuring a track's hosts side by side where they need not wait for each other.

Ansible goes from task to task with all hosts of a play, and the slowest one sets the pace: an emulated machine, or the
host that brings up the search store. Hosts that nobody asks anything of while they are configured go in lanes of their
own, each an Ansible process.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dualtrack import configure as ansible
from dualtrack import proc
from dualtrack.configure import ConfigureFailed, Result
from dualtrack.errors import DualtrackError, Interrupted
from dualtrack.graph import Say
from dualtrack.tracks.unchanged import Hosts

#: Groups that take long and that no other host waits for, in lanes of their own.
APART = ("role_storage", "role_log")
#: Groups whose hosts look at each other while they are configured: the scheduler's, and those of one fabric.
TOGETHER = ("scheduled", "role_infiniband")


def lanes(hosts: Hosts) -> list[tuple[str, ...]]:
    """Return the names of the hosts lane by lane; no lane is empty.

    One lane where a host is a witness: it is told the keys that the others have registered in the same run.
    """
    names = list(hosts.variables)
    if any(facts.get("audit_witness") for facts in hosts.variables.values()):
        return [tuple(names)]
    rest = {name for group in TOGETHER for name in hosts.groups.get(group, ())}
    found: list[tuple[str, ...]] = []
    for group in APART:
        lane = tuple(name for name in hosts.groups.get(group, ()) if name not in rest and not _in(found, name))
        found += [lane] if lane else []
    others = tuple(name for name in names if not _in(found, name))
    return [others, *found] if others else found


def configure(inventories: Sequence[Path], hosts: Hosts, *, log: Path, say: Say) -> Result:
    """Run the site playbook on all hosts, lane by lane side by side, and return what changed on all of them.

    Every lane runs to its end, also when another fails. ConfigureFailed with the failures of all lanes, or the first
    other error. Each lane but the first logs beside ``log``.
    """
    found = lanes(hosts)
    logs = [log, *(log.with_name(f"{log.stem}-{lane[0]}{log.suffix}") for lane in found[1:])]

    def one(lane: tuple[str, ...], path: Path) -> Result:
        try:
            return ansible.configure(inventories, limit=",".join(lane), log=path, progress=say)
        except ConfigureFailed as error:
            return error.result

    with ThreadPoolExecutor(max_workers=len(found)) as pool:
        try:
            futures = [pool.submit(one, lane, path) for lane, path in zip(found, logs, strict=True)]
            errors = [error for future in futures if (error := future.exception())]
        except KeyboardInterrupt:
            proc.stop()  # leaving the pool waits for its threads, which end soon now
            raise Interrupted("interrupted", hint="the next run goes on from here") from None
    for error in sorted(errors, key=lambda it: not isinstance(it, DualtrackError)):
        raise error
    return _together([future.result() for future in futures])


def _together(results: Sequence[Result]) -> Result:
    """Return the results of all lanes as one; ConfigureFailed where a host failed."""
    failed = [it for it in results if it.failures]
    total = Result(
        {host: count for it in results for host, count in it.changed.items()},
        tuple(failure for it in results for failure in it.failures),
        max(it.seconds for it in results),
        (failed or results)[0].log,
    )
    if failed:
        raise ConfigureFailed(total)
    return total


def _in(found: Sequence[tuple[str, ...]], name: str) -> bool:
    return any(name in lane for lane in found)
