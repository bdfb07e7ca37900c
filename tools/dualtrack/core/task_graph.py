"""Work that continues side by side: tasks with needs, run in threads, shown as they go."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from types import FrameType
from typing import Literal, NoReturn

from dualtrack.core import estimates, proc
from dualtrack.core.characters import visible
from dualtrack.core.errors import BadInput, Interrupted
from dualtrack.core.output import echo

Say = Callable[[str], None]
State = Literal["waiting", "running", "ok", "failed", "skipped"]


@dataclass(frozen=True)
class Task:
    """One piece of work. ``run`` gets a function to say what it is at; tasks named in ``needs`` come first."""

    name: str
    run: Callable[[Say], object]
    needs: tuple[str, ...] = ()


@dataclass
class Progress:
    """How far one task is; times in seconds on the monotonic clock."""

    state: State = "waiting"
    said: str = ""
    begin: float = 0.0
    end: float = 0.0

    @property
    def seconds(self) -> float:
        """How long it took, or has been at it."""
        return (self.end or time.monotonic()) - self.begin if self.begin else 0.0


class View:
    """Shows tasks as they go: a live table on a terminal, a line per step elsewhere, nothing when quiet."""

    def __init__(self, tasks: Sequence[Task], *, quiet: bool = False, kind: str = "") -> None:
        self.progress = {task.name: Progress() for task in tasks}
        self.needs = {task.name: task.needs for task in tasks}
        #: What the tasks took in former runs; None where no estimate is wanted.
        self.usual = estimates.medians(kind) if kind else None
        self.quiet = quiet
        self.live = not quiet and sys.stderr.isatty()
        self.begin = time.monotonic()

    def say(self, name: str, text: str) -> None:
        """Take what a task says."""
        self.progress[name].said = text
        if not self.live and not self.quiet:
            echo(f"[{time.monotonic() - self.begin:6.1f} s] {name}: {visible(text)}", err=True)

    def estimate(self) -> str:
        """Return how far all of it is, and how long it will take; '' where no estimate is wanted."""
        if self.usual is None:
            return ""
        done = [name for name, it in self.progress.items() if it.state in ("ok", "failed")]
        open_ = {name: needs for name, needs in self.needs.items() if name not in done}
        elapsed = {name: self.progress[name].seconds for name in open_}
        return estimates.line(len(done), len(self.needs), estimates.left(open_, self.usual, elapsed))

    def say_estimate(self) -> None:
        """Say it, where lines are printed and something is still to be done."""
        text = self.estimate()
        if text and not self.live and not self.quiet and any(not it.end for it in self.progress.values()):
            echo(f"[{time.monotonic() - self.begin:6.1f} s] {text}", err=True)

    def __rich__(self) -> object:
        """Return the table as it stands now (rich asks several times a second)."""
        from rich.table import Table
        from rich.text import Text

        marks = {
            "waiting": "[dim]·[/]",
            "running": "[cyan]▸[/]",
            "ok": "[green]✓[/]",
            "failed": "[red]✗[/]",
            "skipped": "[dim]-[/]",
        }
        table = Table.grid(padding=(0, 1))
        for name, p in self.progress.items():
            said = Text(visible(p.said[:90]), style="dim")
            table.add_row(marks[p.state], name, f"{p.seconds:5.0f} s" if p.begin else "", said)
        if text := self.estimate():
            table.add_row("", Text(text, style="bold"), "", "")
        return table


@dataclass
class Outcome:
    """What came of a graph: results by task name, and the first failure."""

    results: dict[str, object] = field(default_factory=dict)
    error: BaseException | None = None


def check(tasks: Sequence[Task]) -> None:
    """Raise BadInput when a task needs one that is not there, or tasks need each other in a circle."""
    needs = {task.name: set(task.needs) for task in tasks}
    for name, names in needs.items():
        if missing := names - needs.keys():
            raise BadInput(f"task {name} needs {sorted(missing)[0]}, which is not there")
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        raise BadInput(f"tasks need each other in a circle: {', '.join(sorted(set(error.args[1])))}") from None


def run(tasks: Sequence[Task], *, quiet: bool = False, kind: str = "") -> Mapping[str, object]:
    """Run all tasks, each as soon as what it needs is done; return their results by name.

    With a ``kind`` of work it is said how long it will take, from the former runs of that kind.

    After a failure nothing new starts, what runs may end, and the first failure is raised. Ctrl-C is passed on to the
    programs that tasks have started, which are waited for, so that nothing half made is left.
    """
    check(tasks)
    view = View(tasks, quiet=quiet, kind=kind)
    found = _shown(tasks, view)
    if kind:
        estimates.remember(kind, {name: it.seconds for name, it in view.progress.items()})
    return found


def _shown(tasks: Sequence[Task], view: View) -> Mapping[str, object]:
    if not view.live:
        return _run(tasks, view)
    from rich.live import Live

    from dualtrack.core.output import console

    with Live(view, console=console(err=True), refresh_per_second=4):  # type: ignore[arg-type]  # __rich__ is enough
        return _run(tasks, view)


def _run(tasks: Sequence[Task], view: View) -> Mapping[str, object]:
    outcome = Outcome()
    waiting = {task.name: task for task in tasks}
    running: dict[Future[object], str] = {}

    def work(task: Task) -> object:
        return task.run(lambda text: view.say(task.name, text))

    with _noting() as asked, ThreadPoolExecutor(max_workers=max(1, len(tasks))) as pool:
        try:
            while waiting or running:
                if asked:
                    raise KeyboardInterrupt
                ready = [t for t in waiting.values() if all(need in outcome.results for need in t.needs)]
                for task in ready if outcome.error is None else ():
                    del waiting[task.name]
                    progress = view.progress[task.name]
                    progress.state, progress.begin = "running", time.monotonic()
                    running[pool.submit(work, task)] = task.name
                if not running:
                    break
                done, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in done:
                    _settle(running.pop(future), future, view, outcome)
                if done and outcome.error is None:
                    view.say_estimate()
        except KeyboardInterrupt:
            proc.stop()  # leaving the pool waits for its threads, which end soon now
            _interrupt(asked)
    if asked:  # at the very end
        _interrupt(asked)
    for name in waiting:
        view.progress[name].state = "skipped"
    if outcome.error is not None:
        raise outcome.error
    return outcome.results


Handler = Callable[[int, FrameType | None], object]


@contextmanager
def _noting() -> Iterator[list[tuple[int, Handler]]]:
    """Yield a list to which signals that end a command are added, with what handled them before.

    An exception that a handler raises may come while this thread holds a lock that the tasks need, such as a future's:
    then they wait for ever.
    """
    asked: list[tuple[int, Handler]] = []
    before: dict[int, Handler] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if callable(old := signal.getsignal(number)):
                before[number] = old
                signal.signal(number, lambda it, _: asked.append((it, before[it])))
    try:
        yield asked
    finally:
        for kept, handler in before.items():
            signal.signal(kept, handler)


def _interrupt(asked: Sequence[tuple[int, Handler]]) -> NoReturn:
    """Raise what the first signal is to raise: what its handler did before, or Interrupted for Ctrl-C."""
    number, before = asked[0] if asked else (signal.SIGINT, None)
    if before and number != signal.SIGINT:
        before(number, None)
    raise Interrupted("interrupted", hint="the next run continues from here") from None


def _settle(name: str, future: Future[object], view: View, outcome: Outcome) -> None:
    progress = view.progress[name]
    progress.end = time.monotonic()
    error = future.exception()
    progress.state = "failed" if error else "ok"
    if error is None:
        outcome.results[name] = future.result()
        view.say(name, f"done in {progress.seconds:.1f} s" if not view.live else progress.said)
    else:
        outcome.error = outcome.error or error
        view.say(name, f"failed: {error}")
