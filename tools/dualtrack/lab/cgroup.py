"""The lab's control group: one place that knows every process of the lab, however it was started or orphaned.

`cgroup.kill` (Linux 5.14) ends them all at once and nothing else, so the sweep after a crash needs no list of process
ids and cannot hit somebody else's process. Controllers are not needed: this works on hybrid and unified hosts alike.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from dualtrack.errors import External, Missing


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


def remove(path: Path, *, timeout: float = 10.0) -> None:
    """Kill every process in ``path`` and below, then remove the groups. Nothing happens when it is not there."""
    if not path.is_dir():
        return
    (path / "cgroup.kill").write_text("1")
    deadline = time.monotonic() + timeout
    while "populated 1" in (path / "cgroup.events").read_text():
        if time.monotonic() > deadline:
            raise External(
                f"processes in {path} survive being killed", hint="they may wait for a disk; see ps -eo pid,stat,wchan"
            )
        time.sleep(0.02)
    for folder, _, _ in os.walk(path, topdown=False):
        os.rmdir(folder)  # noqa: PTH106 - pathlib's rmdir is the same call; os.walk gives strings


def populated(path: Path) -> bool:
    """Tell whether any process lives in ``path`` or below."""
    events = path / "cgroup.events"
    return events.is_file() and "populated 1" in events.read_text()
