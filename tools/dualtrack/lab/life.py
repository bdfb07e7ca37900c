"""Signs of life of a lab host: what changes while it boots or shuts down, for waits that watch progress."""

from __future__ import annotations

from pathlib import Path

from dualtrack.core.proc import last_line
from dualtrack.lab import cgroup
from dualtrack.lab.state import Store

#: Processor time counts in steps of this many seconds, so that what only ticks is not progress for long. The whole boot
#: of a container takes 0.4 s, and an idle one uses none in a minute. An emulated machine that boots uses a core, an
#: idle one 1 or 2 per cent of it.
CONTAINER_STEP_S, MACHINE_STEP_S = 0.05, 5.0


def group(lab: Store, name: str) -> Path:
    """Return the control group of a host."""
    return cgroup.hierarchy() / lab.layout.cgroup / "hosts" / name


def signs(lab: Store, name: str) -> tuple[int, int]:
    """Return the size of a host's console and its processor time in steps; the same for ever where it is not ours."""
    step = MACHINE_STEP_S if (lab.host_folder(name) / "machine.json").exists() else CONTAINER_STEP_S
    return size(lab.host_log(name)), int(cgroup.processor_seconds(group(lab, name)) / step)


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
