"""Joining the instances that AWS starts, without a person (`dualtrack cloud watch`): replacements are bare at first.

One instance that cannot be configured keeps no other from joining: after a failure each is tried alone, and less and
less often.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from dualtrack.cloud import backend, instances
from dualtrack.cloud.pools.unit import USER, quoted
from dualtrack.core.daemon import Daemon
from dualtrack.core.errors import BadInput, DualtrackError, Interrupted, Missing
from dualtrack.core.paths import STATE
from dualtrack.core.task_graph import Say
from dualtrack.inventory import contract
from dualtrack.inventory import target as targets
from dualtrack.inventory.model import Host
from dualtrack.inventory.target import Stack
from dualtrack.tracks import cloud, host_boot
from dualtrack.tracks.renewal_timer import HARDENING, SANDBOX

#: Seconds after which an instance that did not join is tried again: doubled each time, up to the longest.
FIRST_S, LONGEST_S = 60.0, 1800.0
#: Seconds after which the stack's output is read anew, which starts OpenTofu for a real account. Somebody else may have
#: changed the pools from another machine; what this machine changes is seen at once.
READ_S = 600.0


class _Failure(msgspec.Struct):
    tries: int = 0
    again: float = 0.0


class Watch:
    """What a watch has in mind: the stack's output, and which instances did not join. ``turn`` lets one command in."""

    def __init__(
        self, stack: Stack, *, accept: host_boot.Accept, turn: Callable[[], AbstractContextManager[None]], say: Say,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.stack, self.accept, self.turn, self.say, self.clock = stack, accept, turn, say, clock
        self.failures: dict[str, _Failure] = {}
        self._output: contract.Output | None = None
        self._read: tuple[float, object] | None = None
        self._said = ""

    def run(self, daemon: Daemon, interval: float) -> None:
        """Look every so many seconds until ``daemon`` is asked to end; a round is brought to its end."""
        for _ in daemon.rounds(interval):
            self.round()

    def round(self) -> bool:
        """Configure and verify what is new and due; return whether every instance is in order."""
        try:
            new = cloud.newcomers(self._hosts())
        except Interrupted:
            raise
        except DualtrackError as error:  # the API does not answer, or the stack is down: the next round looks again
            self._once(str(error))
            return False
        self._once("")
        names = {host.name for host in new}
        self.failures = {name: it for name, it in self.failures.items() if name in names}
        fresh = sorted(names - self.failures.keys())
        due = [[name] for name, it in sorted(self.failures.items()) if it.again <= self.clock()]
        for some in [fresh, *due] if fresh else due:
            self._join(some)
        return not self.failures

    def _join(self, names: list[str]) -> None:
        try:
            with self.turn():
                settled = cloud.join(self.stack, accept=self.accept, say=self.say, only=names)
        except Interrupted:
            raise
        except DualtrackError as error:
            self.say(f"{', '.join(names)} did not join: {error}")
            for name in names:
                failure = self.failures.setdefault(name, _Failure())
                # Of several, one may be at fault: each is tried alone, at once.
                failure.tries += len(names) == 1
                pause = min(LONGEST_S, FIRST_S * 2.0 ** min(failure.tries - 1, 10)) if failure.tries else 0.0
                failure.again = self.clock() + pause
            return
        for name in names:
            self.failures.pop(name, None)
        if settled is not None:  # else it has gone meanwhile
            self.say(f"joined: {', '.join(names)}, {settled.passed} checks passed")

    def _hosts(self) -> list[Host]:
        changed = (STATE / "tracks.json", STATE / "tofu" / self.stack / "last-run.log")
        seen = tuple(it.stat().st_mtime_ns if it.exists() else 0 for it in changed)
        if self._read is None or self._read[1] != seen or self.clock() > self._read[0] + READ_S:
            self._output = instances.saved_output(self.stack)
            # Reading writes the log of OpenTofu: what is compared next time is how it is now.
            seen = tuple(it.stat().st_mtime_ns if it.exists() else 0 for it in changed)
            self._read = self.clock(), seen
        if self._output is None:
            raise Missing(f"the cloud track's stack ({self.stack}) is not up", hint="make cloud-up")
        return instances.discover(self._output, targets.of(self.stack).endpoint())

    def _once(self, text: str) -> None:
        """Say what keeps the watch from looking, once until it is something else."""
        if text and text != self._said:
            self.say(text)
        self._said = text


#: https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html
SERVICE = """\
# Printed by `dualtrack cloud unit`. Put it into /etc/systemd/system/dualtrack-join.service, then:
#   systemctl daemon-reload && systemctl enable --now dualtrack-join
[Unit]
Description=Configure and verify the instances that AWS starts
Documentation=file://{root}/docs/how-to/reclaim-a-node.md
Wants=network-online.target
After=network-online.target

[Service]
Type=exec
ExecStart={command}
User={user}
Environment=DUALTRACK_STATE_DIR={state}
{settings}Environment=PYTHONDONTWRITEBYTECODE=1
# AWS_PROFILE and its kin, mode 0600, root's; on an instance with a role of its own nothing is needed.
EnvironmentFile=-/etc/dualtrack/join.env
Restart=on-failure
RestartSec=30
# What is being configured is brought to its end.
TimeoutStopSec=30min
WorkingDirectory=/

{hardening}{sandbox}
[Install]
WantedBy=multi-user.target
"""


def unit(program: Path, stack: Stack, interval: float, *, user: str, root: Path, state: Path) -> str:
    """Return a systemd unit that runs the watch; BadInput for a user name that systemd would not take."""
    if not USER.fullmatch(user):
        raise BadInput(f"user {user!r}", hint="lower-case letters, digits, _ and -, such as dualtrack")
    words = (program, "cloud", "watch", "--stack", stack, "--interval", f"{interval:g}")
    place = quoted(str(state), command=False)
    # What tells this deployment from another one of the same checkout; a service has no directory that paths begin in.
    files = ":".join(str(Path(it).resolve()) for it in os.environ.get("DUALTRACK_VARIABLES", "").split(":") if it)
    told = {backend.KEY: os.environ.get(backend.KEY, ""), "DUALTRACK_VARIABLES": files}
    kept = [f"{name}={value}" for name, value in told.items() if value]
    return SERVICE.format(
        command=" ".join(quoted(str(it)) for it in words), user=user, root=root, state=place,
        settings="".join(f"Environment={quoted(it, command=False)}\n" for it in kept),
        hardening=HARDENING, sandbox=SANDBOX.format(state=place, folder=place),
    )  # fmt: skip
