"""Shared ssh connections to several hosts: opened side by side, asked who they are, closed."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dualtrack.core import proc, waiting
from dualtrack.core.errors import External
from dualtrack.core.proc import last_line, run
from dualtrack.remote import identity

#: How long a host may show no sign of life until it is called unreachable, in seconds.
REACH_STALL_S = 60.0
#: How long it may take to say which host it is, over the open connection, in seconds.
IDENTIFY_S = 120.0


def open_all(config: Path, hosts: Sequence[str], signs: Callable[[str], object] = bool) -> dict[str, str]:
    """Open the shared connection to every host; return those that did not let us in as root, and why.

    ``signs`` returns a host's signs of life, by name: one that is slow is waited for.
    """

    def one(name: str) -> str:
        # The connection that stays in the background must not keep our pipes open, or we would wait for it.
        with tempfile.TemporaryFile("w+") as said:
            words = ["ssh", "-F", str(config), name, "sudo -n true"]
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
            with proc.tracked(process):
                try:
                    waiting.until(
                        lambda: process.poll() is not None, f"{name} to let us in", stall=REACH_STALL_S, limit=600,
                        progress=lambda: signs(name), interval=0.05,
                    )  # fmt: skip
                except waiting.GaveUp as error:
                    proc.end(process)
                    return str(error)
            said.seek(0)
            text = last_line(said.read())
        if process.returncode == 255:
            return text
        return f"no root there without a password: {text}" if process.returncode else ""

    with ThreadPoolExecutor(max_workers=16) as pool:
        answers = list(pool.map(one, hosts))
    return {name: reason for name, reason in zip(hosts, answers, strict=True) if reason}


def identify(config: Path, hosts: Sequence[str]) -> dict[str, str]:
    """Return which hosts they are, over the open connections; '' for one that does not say."""

    def one(name: str) -> str:
        try:
            said = run(["ssh", "-F", config, name, identity.COMMAND], check=False, timeout=IDENTIFY_S).stdout
        except External:  # a session that hangs
            return ""
        return identity.of(said)

    with ThreadPoolExecutor(max_workers=16) as pool:
        return dict(zip(hosts, pool.map(one, hosts), strict=True))


def close_all(config: Path, hosts: Sequence[str]) -> None:
    """Close the shared connections."""
    with ThreadPoolExecutor(max_workers=16) as pool:
        list(pool.map(lambda name: run(["ssh", "-F", config, "-O", "exit", name], check=False), hosts))
