"""Configuring a track's hosts side by side where they need not wait for each other.

Ansible goes from task to task with all hosts of a play, and the slowest one, an emulated machine, sets the pace. Hosts
that nobody asks anything of while they are configured go in a lane of their own, an Ansible process beside the others'.

The search store comes first and alone: a host that ships to it before its rights and index templates are there makes an
index whose fields are guessed, and which then takes nothing more.
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

#: The hosts that all others ship to.
FIRST = "role_log"
#: The hosts that take long and that no other host waits for.
APART = "role_storage"
#: Groups whose hosts look at each other while they are configured: the scheduler's, and those of one fabric.
TOGETHER = ("scheduled", "role_infiniband")

Lane = tuple[str, ...]


def stages(hosts: Hosts) -> list[list[Lane]]:
    """Return the names of the hosts: stages one after the other, the lanes of a stage side by side; none is empty.

    One lane where a host is a witness, which is told the keys that the others have registered in the same run, and
    where the search store's hosts cannot come first.
    """
    names = tuple(hosts.variables)
    together = {name for group in TOGETHER for name in hosts.groups.get(group, ())}
    first = tuple(name for name in names if name in hosts.groups.get(FIRST, ()))
    if any(facts.get("audit_witness") for facts in hosts.variables.values()) or together.intersection(first):
        return [[names]]
    apart = tuple(name for name in names if name in hosts.groups.get(APART, ()) and name not in (*first, *together))
    others = tuple(name for name in names if name not in (*first, *apart))
    return [stage for lanes in ([first], [others, apart]) if (stage := [lane for lane in lanes if lane])]


def configure(inventories: Sequence[Path], hosts: Hosts, *, log: Path, say: Say) -> Result:
    """Run the site playbook on all hosts, stage by stage and lane by lane, and return what changed on all of them.

    Every lane of a stage runs to its end, also when another fails; no stage follows then. ConfigureFailed with the
    failures of all lanes, or the first other error. Only the lane of most hosts logs to ``log``, each other one beside.
    """
    found = stages(hosts)
    longest = max((lane for stage in found for lane in stage), key=len)
    results: list[Result] = []
    for stage in found:
        logs = [log if it is longest else log.with_name(f"{log.stem}-{it[0]}{log.suffix}") for it in stage]
        results += _side_by_side(inventories, stage, logs, say)
        if any(it.failures for it in results):
            break
    return _together(results)


def _side_by_side(inventories: Sequence[Path], stage: Sequence[Lane], logs: Sequence[Path], say: Say) -> list[Result]:
    def one(lane: Lane, path: Path) -> Result:
        try:
            return ansible.configure(inventories, limit=",".join(lane), log=path, progress=say)
        except ConfigureFailed as error:
            return error.result

    with ThreadPoolExecutor(max_workers=len(stage)) as pool:
        try:
            futures = [pool.submit(one, lane, path) for lane, path in zip(stage, logs, strict=True)]
            errors = [error for future in futures if (error := future.exception())]
        except KeyboardInterrupt:
            proc.stop()  # leaving the pool waits for its threads, which end soon now
            raise Interrupted("interrupted", hint="the next run goes on from here") from None
    for error in sorted(errors, key=lambda it: not isinstance(it, DualtrackError)):
        raise error
    return [future.result() for future in futures]


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
