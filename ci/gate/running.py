"""One unit that runs: its processes in a control group of their own, what it prints in a file, and how it ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import msgspec
from ci.gate import groups
from ci.gate.results import Step
from ci.gate.units import Unit, file_name

#: A unit whose processes have used no processor time for this long, in seconds, will not end on its own.
IDLE_S = 900.0
#: Less than this share of a processor is idling: waiting loops and daemons that poll.
IDLE_SHARE = 0.002


class Run:
    """A unit under way.

    ``group`` is its control group (made here), ``directory`` where its log, its steps and its JUnit file go.
    """

    def __init__(self, unit: Unit, group: Path, directory: Path, environment: dict[str, str], root: Path) -> None:
        self.unit, self.group = unit, group
        name = file_name(unit.id)
        self.log, self.steps_file = directory / f"{name}.log", directory / f"{name}.steps.jsonl"
        self.junit = directory / f"junit/{name}.xml"
        self.junit.parent.mkdir(parents=True, exist_ok=True)
        self.hosts: set[str] = set()
        self.stuck = ""
        group.mkdir(parents=True)
        words = list(unit.command)
        if unit.junit:
            words.append(f"--junitxml={self.junit}")
        more = {"GATE_STEPS": str(self.steps_file), "GATE_GROUP": str(group)}
        self.started = time.monotonic()
        self._seen_cpu, self._seen_at = 0.0, self.started
        with self.log.open("wb") as sink:
            self.process = subprocess.Popen(
                words, cwd=root, env={**environment, **more}, stdin=subprocess.DEVNULL, stdout=sink,
                stderr=subprocess.STDOUT, start_new_session=True,
                preexec_fn=lambda: (group / "cgroup.procs").write_text(str(os.getpid())),
            )  # fmt: skip

    def poll(self) -> bool:
        """Look at the unit; return whether it has ended. One that makes no progress is killed."""
        if self.process.poll() is not None:
            return True
        self.hosts |= groups.host_kinds(self.group)
        now, cpu = time.monotonic(), self.cpu_s
        if cpu - self._seen_cpu > IDLE_SHARE * (now - self._seen_at) + 0.5:
            self._seen_cpu, self._seen_at = cpu, now
        elif now - self._seen_at > IDLE_S:
            self.stuck = f"killed: no progress for {IDLE_S:.0f} s, {cpu:.0f} s of processor time used"
            self.kill()
        return False

    @property
    def cpu_s(self) -> float:
        """The processor time used so far by all that the unit started, virtual machines included."""
        return groups.cpu_seconds(self.group)

    def interrupt(self) -> None:
        """Ask the unit to end, as Ctrl-C does: its fixtures take down what they brought up."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGINT)

    def kill(self) -> None:
        """End everything that the unit started."""
        with contextlib.suppress(OSError):
            (self.group / "cgroup.kill").write_text("1")

    def steps(self) -> tuple[Step, ...]:
        """Return the tests that have ended."""
        if not self.steps_file.exists():
            return ()
        lines = self.steps_file.read_text().splitlines()
        return tuple(msgspec.convert(json.loads(line), Step) for line in lines)

    def finish(self) -> tuple[int, float, float]:
        """Clear away what is left of the unit; return its exit code, seconds, and seconds of processor time."""
        from dualtrack.lab import cgroup

        code, seconds, cpu = self.process.wait(), time.monotonic() - self.started, self.cpu_s
        cgroup.remove(self.group)
        if self.stuck:
            with self.log.open("a") as log:
                log.write(f"\n{self.stuck}\n")
        return code, seconds, cpu
