"""Control groups: one for each unit, so that all it starts is measured, attributed, and ended with it.

Only what every cgroup2 hierarchy has is used (membership, cpu.stat, cgroup.kill), hence no controllers. Nothing of the
product is imported: this is loaded into every unit of tests, and what a unit loads is an input of its result.
"""

from __future__ import annotations

import os
import re
from pathlib import Path


def cpu_seconds(group: Path) -> float:
    """Return the processor time that a group and those below it have used, also by processes that have ended."""
    try:
        return int((group / "cpu.stat").read_text().split()[1]) / 1e6
    except (OSError, ValueError, IndexError):
        return 0.0


def of_process(pid: int) -> str:
    """Return the cgroup2 path of a process, below the hierarchy's root; LookupError when it has ended."""
    try:
        text = Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        raise LookupError(pid) from None
    found = re.search(r"^0::/(.*)$", text, re.MULTILINE)
    if found is None or found[1].endswith(" (deleted)"):
        raise LookupError(pid)
    return found[1]


def host_kinds(group: Path) -> set[str]:
    """Return which kinds of lab hosts live below a group now: `container`, `vm`."""
    kinds = set()
    for place, below, _ in os.walk(group):  # groups come and go meanwhile: os.walk passes over what has gone
        if Path(place).parent.name != "hosts":
            continue
        below.clear()
        try:
            pids = Path(place, "cgroup.procs").read_text().split()
            names = {Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids}
        except OSError:
            continue
        kinds.add("vm" if any(name.startswith("qemu-system") for name in names) else "container")
    return kinds
