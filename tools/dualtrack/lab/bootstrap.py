"""A Debian in a directory: one run of mmdebstrap, its steps told while they happen, its failure as one line."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from dualtrack.core import proc
from dualtrack.core.errors import External, Missing
from dualtrack.core.files import write_atomically
from dualtrack.core.paths import cache_dir, pins
from dualtrack.data.mirror import offline
from dualtrack.lab.model import SERVICES


class Sources(msgspec.Struct, frozen=True):
    """Where Debian's packages come from: a file for this machine's apt, and the hosts' own as name and text."""

    file: Path
    name: str
    text: str


def apt_sources() -> Sources:
    """Return where packages come from: the mirror that was carried in, else what this machine itself uses."""
    if (mirror := offline.folder()) is None:
        path = own_sources()
        return Sources(path, path.name, path.read_text())
    key, file = offline.key().read_text(), cache_dir() / "carried.sources"
    write_atomically(file, offline.sources(f"copy://{mirror}", key).encode())
    return Sources(file, "dualtrack.sources", offline.sources(f"http://{SERVICES}", key))


def own_sources() -> Path:
    """Return the file that tells this machine where Debian's packages come from."""
    folder = Path("/etc/apt")
    suite = pins()["debian_suite"]
    for path in (
        folder / "sources.list.d/debian.sources",
        folder / "sources.list",
        *sorted((folder / "sources.list.d").glob("*")),
    ):
        if (
            path.suffix in {".sources", ".list"}
            and path.is_file()
            and f"{suite}" in path.read_text()
            and "main" in path.read_text()
        ):
            return path
    raise Missing(f"no apt source for Debian {suite} in /etc/apt", hint="add one: the lab's hosts are Debian")


def bootstrap(
    root: Path, packages: Sequence[str], hooks: Sequence[str], *, log: Path, say: Callable[[str], None]
) -> None:
    """Make a Debian with ``packages`` in the new directory ``root``.

    ``hooks`` are mmdebstrap's own options (`--customize-hook=…`). Raises External with mmdebstrap's last line when it
    fails; all that it said is in ``log``.
    """
    command = [
        # What it mounts in there is gone with it, also when it is killed: nobody ever deletes through a mount of /sys.
        "unshare", "--mount", "--propagation", "private", "--",
        "mmdebstrap", "--variant=minbase", "--skip=cleanup/apt/lists", f"--include={','.join(packages)}",
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale", "info")),
        *hooks, pins()["debian_suite"], str(root), str(apt_sources().file),
    ]  # fmt: skip
    if not shutil.which("mmdebstrap"):
        raise Missing("mmdebstrap is not installed", hint="apt-get install mmdebstrap")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    last = ""
    with log.open("w") as file, process, proc.tracked(process):
        for line in process.stdout or ():
            file.write(line)
            last = line.strip() or last
            if last.startswith("I: ") and "hook" not in last:  # how a hook is called tells nobody anything
                say(last.removeprefix("I: "))
    proc.pause(0)
    if process.returncode != 0:
        raise External(f"the lab's root file system could not be built: {last}", hint=f"all of it: {log}")


def publish(made: Path, target: Path) -> None:
    """Move a directory that was made into its place in the cache; when somebody else was faster, theirs is as good."""
    try:
        made.rename(target)
    except OSError:
        if not target.is_dir():
            raise
