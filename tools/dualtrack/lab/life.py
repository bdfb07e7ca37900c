"""Signs of life of a lab host: what changes while it boots or shuts down, for waits that watch progress."""

from __future__ import annotations

from pathlib import Path

from dualtrack.lab import cgroup
from dualtrack.lab.state import Store
from dualtrack.proc import last_line

#: Processor time counts in steps of this many seconds. A host that is up and idle needs minutes for one, a booting one
#: several a second: what only ticks does not count as progress for long.
STEP_S = 0.5


def group(lab: Store, name: str) -> Path:
    """Return the control group of a host."""
    return cgroup.hierarchy() / lab.layout.cgroup / "hosts" / name


def signs(lab: Store, name: str) -> tuple[int, int]:
    """Return the size of a host's console and its processor time in steps; the same for ever where it is not ours."""
    return size(lab.host_log(name)), int(cgroup.processor_seconds(group(lab, name)) / STEP_S)


def size(path: Path) -> int:
    """Return a file's size, 0 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def last_words(lab: Store, name: str) -> str:
    """Return the last line on a host's console."""
    try:
        with lab.host_log(name).open("rb") as file:
            file.seek(max(0, size(lab.host_log(name)) - 2000))
            return f"console: {last_line(file.read().decode(errors='replace'))[-160:]}"
    except OSError:
        return "no console"
