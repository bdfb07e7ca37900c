"""Configuring a track's hosts side by side where they need not wait for each other.

Ansible goes from task to task with all hosts of a play, and the slowest one, an emulated machine, sets the pace. Hosts
that nobody asks anything of while they are configured go in a lane of their own, an Ansible process beside the others'.

The search store comes before all that ships to it: a host that ships before its rights and index templates are there
makes an index whose fields are guessed, and which then takes nothing more. The slow hosts begin beside it with what
does not ship.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import msgspec

from dualtrack.core import proc
from dualtrack.core.errors import DualtrackError, Interrupted
from dualtrack.core.task_graph import Say
from dualtrack.tracks import ansible_runner as ansible
from dualtrack.tracks import site
from dualtrack.tracks.ansible_runner import ConfigureFailed, Result
from dualtrack.tracks.unchanged import Hosts

#: The hosts that all others ship to.
FIRST = "role_log"
#: The hosts that take long and that no other host waits for.
APART = "role_storage"
#: Groups whose hosts look at each other while they are configured: the scheduler's, and those of one fabric.
FABRIC = "role_infiniband"
TOGETHER = ("scheduled", FABRIC)

#: The tag of the plays that ship to the search store (ansible/site.yml).
SHIPPING = "shipping"


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """Hosts that one Ansible process configures, once the lanes ``after`` have ended well (their numbers, all lower).

    ``tags`` names the plays, ``skip_tags`` those that are left out; all of them without.
    """

    hosts: tuple[str, ...]
    after: tuple[int, ...] = ()
    tags: str = ""
    skip_tags: str = ""


def lanes(hosts: Hosts) -> list[Lane]:
    """Return what is configured beside what; every host is in a lane.

    One lane where a host is a witness, which is told the keys that the others have registered in the same run, and
    where the search store's hosts cannot come first.
    """
    names = tuple(hosts.variables)
    together = {name for group in TOGETHER for name in hosts.groups.get(group, ())}
    first = tuple(name for name in names if name in hosts.groups.get(FIRST, ()))
    if any(facts.get("audit_witness") for facts in hosts.variables.values()) or together.intersection(first):
        return [Lane(hosts=names)]
    apart = tuple(name for name in names if name in hosts.groups.get(APART, ()) and name not in (*first, *together))
    others = tuple(name for name in names if name not in (*first, *apart))
    if not first:
        return [Lane(hosts=some) for some in (others, apart) if some]
    found = [Lane(hosts=first)]
    if others:
        found.append(Lane(hosts=others, after=(0,)))
    if apart:
        found += [Lane(hosts=apart, skip_tags=SHIPPING), Lane(hosts=apart, after=(0, len(found)), tags=SHIPPING)]
    return found


def with_companions(hosts: Hosts, names: Collection[str]) -> Hosts:
    """Return those hosts that must be configured when ``names`` are: the roles of the others do not ask about them.

    A fabric's hosts ask whether one of those configured with them runs its manager; a witness must know all keys.
    """
    if any(facts.get("audit_witness") for facts in hosts.variables.values()):
        return hosts
    fabric = hosts.groups.get(FABRIC, [])
    return hosts.only({*names, *(fabric if set(fabric).intersection(names) else ())})


def configure(inventories: Sequence[Path], hosts: Hosts, *, log: Path, say: Say) -> Result:
    """Run the site playbook on all hosts, lane by lane, and return what changed on all of them.

    Every lane runs to its end, also when another fails; what comes after one that failed is not begun. ConfigureFailed
    with the failures of all lanes, or the first other error. Only the lane of most hosts logs to ``log``, each other
    one beside.
    """
    every = lanes(hosts)
    longest = max((lane.hosts for lane in every), key=len)
    futures: list[Future[Result | None]] = []

    def one(lane: Lane) -> Result | None:
        before = [futures[number] for number in lane.after]
        if any(it.exception() or (result := it.result()) is None or result.failures for it in before):
            return None
        path = log if lane.hosts == longest else log.with_name(f"{log.stem}-{lane.hosts[0]}{log.suffix}")
        with tempfile.TemporaryDirectory(prefix="dtc-") as directory:
            playbook = Path(directory, "site.yml")
            playbook.write_text(site.playbook(hosts.only(lane.hosts).groups))
            try:
                return ansible.configure(
                    inventories, limit=",".join(lane.hosts), tags=lane.tags, skip_tags=lane.skip_tags, log=path,
                    progress=say, playbook=playbook,
                )  # fmt: skip
            except ConfigureFailed as error:
                return error.result

    started = time.monotonic()
    with ThreadPoolExecutor(max_workers=len(every)) as pool:
        try:
            for lane in every:
                futures.append(pool.submit(one, lane))
            errors = [error for future in futures if (error := future.exception())]
        except KeyboardInterrupt:
            proc.stop()  # leaving the pool waits for its threads, which end soon now
            raise Interrupted("interrupted", hint="the next run continues from here") from None
    for error in sorted(errors, key=lambda it: not isinstance(it, DualtrackError)):
        raise error
    results = [result for future in futures if (result := future.result())]
    return _together(results, round(time.monotonic() - started, 1))


def _together(results: Sequence[Result], seconds: float) -> Result:
    """Return the results of all lanes as one; ConfigureFailed where a host failed."""
    failed = [it for it in results if it.failures]
    changed: Counter[str] = Counter()
    for it in results:
        changed.update(it.changed)  # a host may have been in two lanes
    failures = tuple(failure for it in results for failure in it.failures)
    total = Result(changed=dict(changed), failures=failures, seconds=seconds, log=(failed or results)[0].log)
    if failed:
        raise ConfigureFailed(total)
    return total
