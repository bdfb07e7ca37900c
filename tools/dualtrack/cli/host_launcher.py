#!/usr/bin/python3 -I
"""Commands of dualtrack on a host without an environment of Python's: `dualtrack-store` there is `dualtrack store`.

Lies beside `lib/`, which holds the program and all that it imports (see `program`). Needs nothing but Python itself.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path

#: This host's settings, NAME=VALUE a line; what the environment says comes before them.
SETTINGS = Path("/etc/dualtrack/store.env")
#: Names a directory with packages that some groups of commands need, and the others not (role knowledge_base).
PACKAGES, PACKED = "DUALTRACK_PACKAGES", {"kb", "pii", "sync", "writeback"}


def settle(text: str, environment: MutableMapping[str, str]) -> None:
    """Add the settings in ``text`` to an environment, but those that it has."""
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and name.isidentifier():
            environment.setdefault(name, value)


def group(name: str) -> str:
    """Return the group of commands that a link to this file is called after: `dualtrack-audit` is `dualtrack audit`."""
    return name.rpartition("dualtrack-")[2] or "store"


def arguments(group: str, words: Sequence[str]) -> list[str]:
    """Return the words for `dualtrack`: those for its group of commands, and the question for the version."""
    return list(words) if words[:1] == ["--version"] else [group, *words]


def owner(words: Sequence[str], environment: Mapping[str, str]) -> tuple[int, int] | None:
    """Return the user and group that root shall become: what root wrote into the cache, its owner could not remove.

    Not for `hold`, which becomes a program of the caller's, and not where the cache is root's own or not there.
    """
    if os.geteuid() != 0 or words[:1] == ["hold"]:
        return None
    try:
        found = Path(environment["DUALTRACK_STORE"]).stat()
    except (KeyError, OSError):
        return None
    return (found.st_uid, found.st_gid) if found.st_uid else None


def main() -> None:
    """Run the program that lies beside this file."""
    home = Path(__file__).resolve().parent
    words, commands = sys.argv[1:], group(Path(sys.argv[0]).name)
    # Held until this process ends: a program that is in use is not removed when a newer one comes. `dualtrack kb serve`
    # becomes another program, which holds it, too.
    handle = os.open(home, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_SH)
    os.set_inheritable(handle, commands in PACKED)
    if commands == "store" and SETTINGS.exists():
        settle(SETTINGS.read_text(), os.environ)
    if commands == "store" and (ids := owner(words, os.environ)):
        os.setgroups([])
        os.setgid(ids[1])
        os.setuid(ids[0])
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(home / "lib"))
    if commands in PACKED and (more := os.environ.get(PACKAGES)):
        sys.path.append(more)
    sys.argv = ["dualtrack", *arguments(commands, words)]
    from dualtrack.cli import main as dualtrack

    dualtrack()


if __name__ == "__main__":
    main()
