"""The lab's control group: one place that knows every process of the lab, however it was started or orphaned.

`cgroup.kill` (Linux 5.14) ends them all at once and nothing else, so the sweep after a crash needs no list of process
ids and cannot hit somebody else's process. Controllers are not needed: this works on hybrid and unified hosts alike.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from dualtrack.core import waiting
from dualtrack.core.errors import Missing


def hierarchy() -> Path:
    """Return the control group below which labs have theirs: the root, or the one that DUALTRACK_CGROUP names."""
    return mounted() / os.environ.get("DUALTRACK_CGROUP", "").strip("/")


def mounted() -> Path:
    """Return where the cgroup2 file system is mounted on this machine."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, target, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(target)
    raise Missing("no cgroup2 file system is mounted", hint="mount -t cgroup2 none /sys/fs/cgroup")


def enter(path: Path) -> None:
    """Make the group ``path`` and move this process into it."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "cgroup.procs").write_text(str(os.getpid()))


def launch(command: Sequence[str], path: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start ``command`` in the group ``path``, leading a session, without input; what it prints goes to ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: enter(path),
            env={"PATH": os.defpath + ":/usr/sbin:/sbin"},
        )


def remove(path: Path, *, stall: float = 10.0) -> None:
    """Kill every process in ``path`` and below, then remove the groups. Nothing happens when it is not there.

    Stopped and frozen processes end, too. External when none ends for ``stall`` seconds while some are left.
    """
    with contextlib.suppress(FileNotFoundError):  # there is none, or somebody else is removing it, too
        (path / "cgroup.kill").write_text("1")
    waiting.until(
        lambda: not populated(path), f"the end of the killed processes in {path.name}", stall=stall, interval=0.02,
        progress=lambda: processes(path), last=lambda: f"{len(processes(path))} are left",
        hint="they may wait for a disk; see ps -eo pid,stat,wchan",
    )  # fmt: skip
    for folder, _, _ in os.walk(path, topdown=False):
        with contextlib.suppress(FileNotFoundError):
            Path(folder).rmdir()


def processes(path: Path) -> frozenset[str]:
    """Return the ids of all processes in ``path`` and below."""
    found: set[str] = set()
    for folder, _, _ in os.walk(path):
        with contextlib.suppress(OSError):  # a group that went while we look
            found.update((Path(folder) / "cgroup.procs").read_text().split())
    return frozenset(found)


def processor_seconds(path: Path) -> float:
    """Return the processor time that ``path`` and all below it have used; 0 where there is no such group."""
    try:
        text = (path / "cpu.stat").read_text()
    except OSError:
        return 0.0
    return int(dict(line.split() for line in text.splitlines())["usage_usec"]) / 1e6


def populated(path: Path) -> bool:
    """Tell whether any process lives in ``path`` or below."""
    try:
        return "populated 1" in (path / "cgroup.events").read_text()
    except OSError:
        return False
