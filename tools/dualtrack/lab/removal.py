"""Removing hosts from the lab: all together, by force where one does not go; and what is left of a lab."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from dualtrack.core import waiting
from dualtrack.core.errors import DualtrackError, External, Refused
from dualtrack.core.proc import run
from dualtrack.lab import cgroup, control, life, network
from dualtrack.lab.control import Say, quiet
from dualtrack.lab.state import Record, Store

#: How long no host may go, while some shall, until the rest is taken down by force; seconds of an idle machine.
STALL_S = 60.0


def remove_host(name: str, say: Say = quiet) -> bool:
    """Take a declared host down and delete its disk; False when there is no such host."""
    if any(host.name == name and host.instance_id for host in control.status().hosts):
        raise Refused(
            f"{name} is an emulated EC2 instance",
            hint="terminate it through the AWS API: dualtrack lab status names the endpoint",
        )
    return bool(remove_hosts([name], say))


def remove_hosts(names: Iterable[str], say: Say = quiet) -> tuple[str, ...]:
    """Take declared hosts down together and delete their disks; return those that there were.

    A host that an earlier attempt left behind counts as one. External when one survives being killed: the others are
    gone then.
    """
    lab = control.store()
    instances = {host.name for host in control.status().hosts if host.instance_id}
    found = [name for name in names if lab.retract(name) or (name not in instances and _remains(lab, name))]
    try:
        see_off(found, say)
    finally:
        for name in found:
            if not _remains(lab, name):
                lab.retire_trail(name)
    return tuple(found)


def see_off(names: Sequence[str], say: Say = quiet) -> None:
    """Wait until hosts that nobody wants any more are gone; take down by force those that do not go."""
    lab = control.store()
    log = lab.folder / "logs/labd.log"

    def left() -> list[str]:
        known = {host.spec.name for host in (lab.record() or Record(0, 0)).hosts}
        return [name for name in names if name in known or _remains(lab, name)]

    try:
        waiting.until(
            lambda: not left() or control.alive(lab) is None, f"the end of {', '.join(names)}", stall=STALL_S,
            progress=lambda: (left(), life.size(log)), last=lambda: f"{', '.join(left())} still there", interval=0.1,
        )  # fmt: skip
    except waiting.GaveUp as error:
        say(f"{error}: taking down by force, see {log}")
    problems = []
    for name in left():
        # Without a supervisor nobody else does it; one that is only slow finds the work done.
        try:
            cgroup.remove(life.group(lab, name))
            shutil.rmtree(lab.host_folder(name), ignore_errors=True)
            say(f"{name} was taken down by force")
        except (DualtrackError, OSError) as error:
            problems.append(f"{name}: {error}")
    if problems:
        raise External(f"{len(problems)} of {len(names)} hosts cannot be taken down: {'; '.join(problems)}")


def _remains(lab: Store, name: str) -> bool:
    """Tell whether there is a process or a file of a host."""
    return cgroup.populated(life.group(lab, name)) or lab.host_folder(name).exists()


def leftovers() -> list[str]:
    """Return what of this checkout's lab is still on the machine, one line each; empty after a clean `down`."""
    lab = control.store()
    found = []
    if (cgroup.hierarchy() / lab.layout.cgroup).is_dir():
        found.append(f"control group {lab.layout.cgroup}")
    if lab.layout.connections.exists():
        found.append(f"directory {lab.layout.connections}")
    if network.exists(lab.layout):
        found.append(f"network namespace {lab.layout.namespace}")
    if run(["ip", "link", "show", f"dt{lab.layout.id}o"], check=False).returncode == 0:
        found.append(f"device dt{lab.layout.id}o")
    if run(["nft", "list", "table", "ip", f"dualtrack_{lab.layout.id}"], check=False).returncode == 0:
        found.append(f"firewall table dualtrack_{lab.layout.id}")
    found += [
        f"mount {line.split()[1]}" for line in Path("/proc/mounts").read_text().splitlines() if str(lab.folder) in line
    ]
    return found
