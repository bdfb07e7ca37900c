"""The gate: which units must run, in what order, side by side; what came out, and what of it is kept."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from ci.gate import groups, report, results
from ci.gate.report import Outcome
from ci.gate.results import Result, Results
from ci.gate.running import Run
from ci.gate.schedule import Limit, Schedule
from ci.gate.tracing import Tracer, Untraceable
from ci.gate.tree import Tree
from ci.gate.units import Unit, file_name

from dualtrack.core.errors import DualtrackError
from dualtrack.lab import cgroup

POLL_S = 0.1
#: How long units may take to clean up after Ctrl-C, in seconds, before they are killed.
PATIENCE_S, ONCE_S = 120.0, 2.0

Say = Callable[[str], None]


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


class Gate:
    """A run of the gate on the checkout at ``root``.

    ``directory`` is where this run's logs and reports go, ``kept`` holds the results of earlier ones, ``expected`` the
    seconds that units took on another machine, and ``environment`` the digest of what lies outside the checkout.
    With ``limit``, units that do not fit are left out.
    """

    def __init__(
        self, root: Path, directory: Path, kept: Results, *, environment: str, expected: dict[str, float], jobs: int,
        every: bool = False, say: Say = say, environ: dict[str, str] | None = None, limit: Limit | None = None,
    ) -> None:  # fmt: skip
        self.root, self.directory, self.kept, self.say = root, directory, kept, say
        self.environment, self.expected, self.jobs, self.limit = environment, expected, jobs, limit
        self.environ = dict(os.environ if environ is None else environ)
        self.tree = Tree(root)
        self.tree.everything()  # read now: what a unit changes while it runs must be seen to have changed
        self.distrust = ", ".join(results.untrusted(self.environ))
        self.every = every or bool(self.distrust)
        self.outcomes: list[Outcome] = []
        self._running: dict[str, Run] = {}
        self._groups: dict[str, str] = {}  # name of a control group to its unit's id, from before its first process
        self._group = cgroup.hierarchy() / f"dualtrack-gate-{os.getpid()}"
        self._prefix = f"{self._group.relative_to(cgroup.mounted())}/"

    def run(self, units: Sequence[Unit]) -> list[Outcome]:
        """Run what must run, and return what became of every unit."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.distrust:
            self.say(f"results are neither used nor kept: tests read {self.distrust}, which is set")
        waiting = [unit for unit in units if not self._from_cache(unit)]
        self._schedule = Schedule(waiting, listed=self.expected, timed=self._timed(waiting), limit=self.limit)
        tracer = self._tracer() if waiting else None
        self._total, self._done, self._begun = len(waiting), 0, time.monotonic()
        try:
            while True:
                while len(self._running) < self.jobs and (unit := self._schedule.next()):
                    self._start(unit)
                if not self._running:
                    break
                time.sleep(POLL_S)
                for name in [name for name, run in self._running.items() if run.poll()]:
                    self._finish(self._running[name], tracer)
                if self._schedule.overrun:
                    self._end_overrun(tracer)
            self._leave_out(self._schedule.waiting, "does not fit into the time limit")
        except BaseException:
            self._stop()
            raise
        finally:
            if tracer:
                tracer.close()
            try:
                cgroup.remove(self._group)
            except DualtrackError as error:  # what was found is worth more
                self.say(f"something of the units is left: {error}")
        return self.outcomes

    def _end_overrun(self, tracer: Tracer | None) -> None:
        """Stop the units that run. One that was among the first because an earlier run left it out has failed."""
        late = [run for run in self._running.values() if self.limit and run.unit.id in self.limit.first]
        for run in late:
            run.stuck = "killed: it did not end within the time limit of two runs"
            run.kill()
            self._finish(run, tracer)
        self._leave_out([run.unit for run in self._running.values()], "did not end in time")
        self._stop()

    def _timed(self, units: Sequence[Unit]) -> dict[str, float]:
        """Return how many seconds units took when they last passed on this machine."""
        known = {unit.id: self.kept.load(unit.id) for unit in units} if self.limit else {}
        return {name: found[0].seconds for name, found in known.items() if found}

    def _leave_out(self, units: Sequence[Unit], why: str) -> None:
        """Report units as not run, each with the age of its last pass."""
        for unit in units:
            known = self.kept.load(unit.id)
            last = f"last passed {report.age(time.time() - known[0].at)} ago" if known else "never passed here"
            self.say(f"not run  {unit.id}  ({why}: usually {self._schedule.usual(unit):.0f} s; {last})")
            at = known[0].at if known else 0.0
            self.outcomes.append(Outcome(unit.part, unit.name, report.NOT_RUN, 0.0, 0.0, "none", (), at))

    def forecast(self, unit: Unit) -> str:
        """Return what `run` would do with a unit, in a few words."""
        if not self.every and results.valid(self.kept.load(unit.id), self.tree, self._environment_of(unit)):
            return "passed before with the same inputs"
        return f"runs: {self._why(unit) or self.distrust}"

    def _from_cache(self, unit: Unit) -> bool:
        """Take a unit's result from an earlier run if one holds; say why it must run if not."""
        if self.every:
            return False
        known = self.kept.load(unit.id)
        found = results.valid(known, self.tree, self._environment_of(unit))
        if found is None:
            return False
        at = datetime.fromtimestamp(found.at, UTC).strftime("%Y-%m-%d %H:%M")
        self.say(f"passed before  {unit.id}  at {at} UTC with the same inputs ({found.digest[:12]})")
        self.outcomes.append(
            Outcome(unit.part, unit.name, "cached", found.seconds, found.cpu_s, found.hosts, found.steps, found.at)
        )
        return True

    def _environment_of(self, unit: Unit) -> str:
        return f"{self.environment} {' '.join(unit.command)}"

    def _why(self, unit: Unit) -> str:
        known = self.kept.load(unit.id)
        if self.every:
            return "everything was asked for" if not self.distrust else ""
        return results.stale(known[0], self.tree, self._environment_of(unit)) if known else "no result is known"

    def _tracer(self) -> Tracer | None:
        """Return what observes which files are opened; None where the kernel does not let us, or nothing is kept."""
        if self.distrust:
            return None
        directories = [path for path in self.tree.directories if (self.root / path).is_dir()]
        for path in list(directories):
            if any(it.suffix == ".py" for it in (self.root / path).iterdir()):
                (self.root / path / "__pycache__").mkdir(exist_ok=True)
                directories.append(f"{path}/__pycache__".lstrip("/"))
        try:
            return Tracer(self.root, directories, self._owner, lambda: list(self._groups.values()))
        except Untraceable as error:
            self.say(f"results are not kept: the kernel does not tell which files tests open ({error})")
            return None

    def _owner(self, pid: int) -> str | None:
        path = groups.of_process(pid)
        return (
            self._groups.get(path.removeprefix(self._prefix).split("/")[0]) if path.startswith(self._prefix) else None
        )

    def _start(self, unit: Unit) -> None:
        self.say(f"runs  {unit.id}  ({self._why(unit)})".replace("  ()", ""))
        name = file_name(unit.id)
        place = self._group / name
        self._groups[name] = unit.id
        environment = {
            **self.environ,
            "PATH": f"{self.root}/.venv/bin:{self.environ.get('PATH', '')}",
            "DUALTRACK_CGROUP": self._prefix + name,
            "DUALTRACK_LAB_DIR": str(self.root / ".lab/gate" / name),
        }
        self._running[unit.id] = Run(unit, place, self.directory, environment, self.root)

    def _finish(self, run: Run, tracer: Tracer | None) -> None:
        unit = run.unit
        code, seconds, cpu = run.finish()
        opened = tracer.opened(unit.id) if tracer else set()
        del self._running[unit.id], self._groups[run.group.name]
        self._done += 1
        self._schedule.ended(unit, seconds)
        steps = run.steps()
        passed = code == 0  # pytest's 5, no test was collected, is a failure: a file of tests without a test
        hosts = "vm" if "vm" in run.hosts else "container" if run.hosts else "none"
        state = "passed" if passed else "failed"
        outcome = Outcome(unit.part, unit.name, state, round(seconds, 1), round(cpu, 1), hosts, steps, time.time())
        self.outcomes.append(outcome)
        note = ""
        if passed and tracer is not None:
            note = self._keep(unit, outcome, opened, tracer)
        if not unit.junit:
            report.write_junit(run.junit, outcome, run.log)
        after = time.monotonic() - self._begun
        self.say(
            f"{'ok' if passed else 'FAILED'}  {unit.id}  in {seconds:.0f} s, {cpu:.0f} s of processor time"
            f"  [{self._done} of {self._total}, after {after:.0f} s]{note and f'  (not kept: {note})'}"
        )
        if not passed:
            self.say(report.ending(run.log))

    def _keep(self, unit: Unit, outcome: Outcome, opened: set[str], tracer: Tracer) -> str:
        """Keep a result that passed; return why it is not kept, if so."""
        inputs = self.tree.everything() if unit.whole else self.tree.inputs(opened)
        strange = sorted(self.tree.untracked & inputs.keys())
        if strange:
            return f"{strange[0]} is not tracked by git"
        with tracer.aside() as started:
            now = Tree(self.root, started)
        changed = [path for path, digest in inputs.items() if now.digest(path) != digest]
        if changed:
            return f"{changed[0] or 'the list of files'} changed while the tests ran"
        if tracer.overflowed:
            return "the kernel dropped events"
        digest = results.digest_of(inputs, self._environment_of(unit))
        self.kept.save(
            unit.id,
            Result(outcome.at, outcome.seconds, outcome.cpu_s, outcome.hosts, self._environment_of(unit), inputs,
                   outcome.steps, digest),
        )  # fmt: skip
        return ""

    def _stop(self) -> None:
        """Have the units that run clean up; kill them after a while, or at once when that is asked for again.

        A time limit is told by several: what comes within ONCE_S is told once.
        """
        begun = time.monotonic()
        steps = [self._say_what_runs, *(run.interrupt for run in self._running.values())]
        while True:
            try:
                while steps:
                    steps.pop(0)()
                while self._running and time.monotonic() < begun + PATIENCE_S:
                    time.sleep(POLL_S)
                    for name in [name for name, run in self._running.items() if run.process.poll() is not None]:
                        self._running.pop(name).finish()
                break
            except KeyboardInterrupt:
                if time.monotonic() - begun >= ONCE_S:
                    break
        for run in self._running.values():
            run.kill()
            run.finish()
        self._running.clear()

    def _say_what_runs(self) -> None:
        now = time.monotonic()
        running = [f"{name} for {now - run.started:.0f} s" for name, run in self._running.items()]
        self.say(
            f"stopped after {now - self._begun:.0f} s, {self._done} of {self._total} units had ended;"
            f" those that run are asked to clean up: {', '.join(running)}"
        )
