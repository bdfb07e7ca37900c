"""Has gateways send an engine nothing more before it is stopped, and again when it is started.

A part of the services on hosts with the role serving, run as root by their units:

    dualtrack-engine-leave leave NAME SECONDS    has gateways' probes of this engine answered with 404 from now on: that
                                                 takes it out of their choice and leaves alone what runs there; returns
                                                 after the seconds that they may take to ask
    dualtrack-engine-leave back NAME             has them answered by the engine again

What answers probes is HAProxy, which takes TLS for the engines of the host. Where it does not run, no gateway sends
anything, and nobody waits. Exit codes: 0; 1 HAProxy refused; 2 the words are wrong.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from dualtrack.hosts.agents.gateway import Haproxy, NotRunning, Refused, locked, read_map, replace, write

SETTINGS = Path("/etc/dualtrack/serving")
SOCKET = Path("/run/dualtrack-engines-tls/admin.sock")
MAP = "leaving"
NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")


def change(name: str, *, leaving: bool, folder: Path = SETTINGS, path: Path = SOCKET) -> bool:
    """Say whether an engine leaves, in the map's file and in the running HAProxy; return whether it runs."""
    with locked(folder):
        wanted = {key: it for key, it in read_map(folder / f"{MAP}.map").items() if key != name}
        if leaving:
            wanted[name] = "1"
        write(folder / f"{MAP}.map", "".join(f"{key} {it}\n" for key, it in sorted(wanted.items())))
        try:
            replace(Haproxy(path), folder, {MAP: wanted}, (MAP,))
        except NotRunning:
            return False
    return True


def main(words: Sequence[str], sleep: Callable[[float], None] = time.sleep) -> int:
    """Do what the command line says and return the exit code."""
    try:
        match list(words):
            case ["leave", name, seconds] if NAME.fullmatch(name) and seconds.isdecimal():
                if change(name, leaving=True):
                    sleep(float(seconds))
            case ["back", name] if NAME.fullmatch(name):
                change(name, leaving=False)
            case _:
                print("usage: dualtrack-engine-leave leave NAME SECONDS | back NAME", file=sys.stderr)
                return 2
    except (Refused, OSError) as error:
        print(f"dualtrack-engine-leave: {ascii(str(error))[1:-1][:300]}", file=sys.stderr)
        return 1
    return 0
