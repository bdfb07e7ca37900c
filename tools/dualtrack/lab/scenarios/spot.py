"""The spot drill: nodes are reclaimed while jobs run, spot has no capacity, then no quota, then returns.

The watch (`dualtrack pools watch`) runs as operators run it, in a process of its own; the drill plays AWS, joins the
instances that come, and counts what the jobs left behind.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from dualtrack.cloud.pools import context
from dualtrack.cloud.pools.api import Api
from dualtrack.cloud.pools.report import PoolsReport
from dualtrack.cloud.pools.report import report as reckon
from dualtrack.cloud.pools.state import Store
from dualtrack.core import proc, waiting
from dualtrack.core.errors import DualtrackError, External, Missing
from dualtrack.core.paths import LAB
from dualtrack.core.proc import run
from dualtrack.core.task_graph import Say
from dualtrack.lab import control, reclaim
from dualtrack.lab.fault_injection import edit
from dualtrack.lab.scenarios.jobs import Cluster, Outcome, Verdict, mix
from dualtrack.tracks import cloud, status

#: US$ a day that on-demand nodes may cost in the drill: four p4de.24xlarge at 27.45 an hour are 2,635.
CEILING = 3000
JOBS, WIDE = 20, 4
#: What the drill asks for at least: it takes two spot nodes back.
SPOT_NODES = 2


@dataclass(frozen=True)
class Pace:
    """How long things take, in seconds: the jobs' work, the notice, and the watch's own times."""

    steps: int
    notice: float
    watch: tuple[str, ...]
    quota: bool  # whether the second shortage, of quota, is played as well


SHORT = Pace(25, 40, ("--interval", "2", "--grace", "4", "--hold", "20", "--cooldown", "20"), False)
WHOLE = Pace(90, 120, ("--interval", "5", "--grace", "15", "--hold", "60", "--cooldown", "60"), True)
#: How long no job may make a step, no result and no node come, until the drill stops waiting; and how long it waits for
#: one thing at all. In seconds. A node takes 300 s to join on a machine that is busy, while the other jobs continue.
STALL_S, LIMIT_S = 480.0, 5400.0


class Event(msgspec.Struct, frozen=True):
    """One line of the timeline: seconds since the first job was submitted, what kind, and what happened."""

    after_s: float
    kind: str
    what: str


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """What a node's guard did: seconds from its first sight of the notice, None for what it did not come to."""

    node: str
    drained_s: float | None
    requeued_s: float | None
    jobs: tuple[str, ...]


class SpotReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the drill cost. ``money`` is the watch's own calculation (`dualtrack pools report`).

    ``gave_up`` says what the drill stopped waiting for, '' where all of it came.
    """

    jobs: Outcome
    verdict: Verdict
    gave_up: str
    seconds: float
    reclaimed: tuple[Saved, ...]
    timeline: tuple[Event, ...]
    money: PoolsReport

    @property
    def ok(self) -> bool:
        """Whether every job ended once, with the right result, and all that should happen did."""
        return self.verdict == "right" and not self.gave_up

    @property
    def headline(self) -> str:
        """The verdict in one line; "not finished" is not "lost"."""
        jobs = self.jobs
        parts = [f"{jobs.right} of {jobs.jobs} jobs ended with the right result"]
        for what, numbers in (
            ("lost: ended with a wrong result", jobs.wrong),
            ("lost: neither a result nor in the queue", jobs.vanished),
            ("ended twice", jobs.twice),
            ("not lost, but not finished (in the queue or at work)", jobs.unfinished),
        ):
            parts += [f"{len(numbers)} {what}: {', '.join(map(str, numbers))}"] if numbers else []
        return "; ".join(parts if jobs.lost or jobs.twice else [*parts, "none was lost"])


@dataclass
class Drill:
    """A drill under way."""

    pace: Pace
    say: Say
    cluster: Cluster
    begin: float = field(default_factory=time.time)
    events: list[Event] = field(default_factory=list)
    reclaimed: tuple[Saved, ...] = ()

    def note(self, kind: str, what: str) -> None:
        """Put something on the timeline, and say it."""
        self.events.append(Event(round(time.time() - self.begin, 1), kind, what))
        self.say(f"{kind}: {what}")

    def until(self, there: Callable[[], bool], what: str) -> None:
        """Wait for something, configuring new instances meanwhile; GaveUp when neither it nor anything else comes."""
        said = ""

        def look() -> bool:
            nonlocal said
            try:
                if there():
                    return True
                said = f"jobs by node: {self.cluster.running()}"
            except External as error:  # no controller answers, temporarily
                said = str(error)
            self.join()
            return False

        waiting.until(
            look, what, stall=STALL_S, limit=LIMIT_S, progress=self.progress, interval=1, last=lambda: said,
            hint=f"logs: {LAB}/logs",
        )  # fmt: skip

    def progress(self) -> tuple[str, ...]:
        """Return what changes while the drill makes progress: steps, starts and results of jobs, and nodes."""
        try:
            jobs = self.cluster.progress()
        except External as error:  # no controller answers, temporarily
            jobs = str(error)
        return (jobs, *(f"{host.name}: {host.state}" for host in control.status().hosts))

    def join(self) -> None:
        """Configure the instances that came since; one that is gone before it is done is tried no more."""
        try:
            settled = cloud.join("emulator", say=lambda _: None)
        except DualtrackError as error:
            self.note("not joined", str(error))
            return
        if settled is not None:
            names = ", ".join(sorted(settled.changes))
            self.note("joined", names)

    def take_back(self, nodes: list[str]) -> None:
        """Give spot nodes their notice."""
        lab = control.store().folder
        for node in nodes:
            reclaim.ask(lab, control.find(node), notice=self.pace.notice)
            self.note("notice", f"{node} ends in {self.pace.notice:.0f} s")

    def saved(self, nodes: list[str]) -> tuple[Saved, ...]:
        """Ask the guards what they have done, while their nodes are still there."""
        found: dict[str, Saved] = {}

        def all_told() -> bool:
            for node in (it for it in nodes if it not in found):
                said = run(control.exec_command(node, ["cat", "/run/dualtrack/spot-guard.json"]), check=False).stdout
                if '"finished"' in said:
                    found[node] = saved(node, json.loads(said))
                    self.note("saved", f"{node}: {len(found[node].jobs)} jobs, after {found[node].requeued_s} s")
            return len(found) == len(nodes)

        left = self.pace.notice - 3
        with suppress(waiting.GaveUp):  # who has said nothing by then is shown as that
            waiting.until(all_told, "what the nodes' guards did", stall=left, limit=left, interval=0.5)
        return tuple(found.get(node, Saved(node=node, drained_s=None, requeued_s=None, jobs=())) for node in nodes)


def saved(node: str, events: dict[str, Any]) -> Saved:
    """Return what a guard's own record says."""

    def after(name: str) -> float | None:
        return float(events[name]["after_s"]) if name in events else None

    return Saved(
        node=node,
        drained_s=after("drained"),
        requeued_s=after("requeued"),
        jobs=tuple(events.get("jobs", {}).get("value", ())),
    )


def names(pool: str) -> list[str]:
    """Return the hosts of a pool that are up and configured."""
    return sorted(row.name for row in status.status(pool).hosts if row.state == "up")


def spot(say: Say, *, short: bool = False) -> SpotReport:
    """Run the drill on the cloud track that is up, and return what it cost.

    Raises Missing when the track is not up or too small, External when a program fails. What does not come is in the
    report. The conditions that the drill makes are removed, and the watch is ended, however it ends.
    """
    pace = SHORT if short else WHOLE
    controllers, nodes = names("control"), names("spot")
    if not controllers or len(nodes) < SPOT_NODES:
        raise Missing(
            f"the drill needs a controller and {SPOT_NODES} spot nodes that are up; there are {len(controllers)} and"
            f" {len(nodes)}",
            hint="dualtrack cloud up",
        )
    drill = Drill(pace, say, Cluster(controllers, datetime.now(UTC).strftime("%Y%m%dT%H%M%S")))
    drill.cluster.prepare()
    started = time.time()
    jobs = [drill.cluster.submit(job, pace.steps, "spot,ondemand") for job in mix(JOBS, WIDE)]
    drill.begin = time.time()
    drill.note("submitted", f"{JOBS} jobs, {WIDE} of them with 4 GPUs")
    gave_up = ""
    try:
        with watching(pace):
            try:
                play(drill, nodes[:SPOT_NODES])
            except waiting.GaveUp as error:
                gave_up = str(error)
                drill.note("gave up", gave_up)
            outcome = drill.cluster.outcome(jobs, pace.steps)
            drill.note("ended", f"{outcome.right} of {outcome.jobs} right, {len(outcome.twice)} twice")
    finally:
        edit.clear(LAB)
    entries, unreadable = Store(context.folder("emulator")).entries()
    money = reckon(entries, context.prices(None), since=started, unreadable=unreadable)
    watched = [
        Event(round(it.at - drill.begin, 1), it.kind, f"{it.pool}: {it.reason}".strip(": ")) for it in money.events
    ]
    timeline = tuple(sorted([*drill.events, *watched], key=lambda it: it.after_s))
    return SpotReport(
        jobs=outcome, verdict=outcome.verdict, gave_up=gave_up, seconds=round(time.time() - drill.begin, 1),
        reclaimed=drill.reclaimed, timeline=timeline, money=replace(money, events=()),
    )  # fmt: skip


def play(drill: Drill, nodes: list[str]) -> None:
    """Take nodes back, let spot be short, let it return; return when all jobs have ended and the pools are calm."""
    drill.until(lambda: set(nodes) <= drill.cluster.running().keys(), "jobs on both nodes")
    edit.add(LAB, edit.Denial(error="capacity", lifecycle="spot"))
    drill.note("capacity", "spot has none in any zone")
    drill.take_back(nodes)
    drill.reclaimed = drill.saved(nodes)
    before = len(names("ondemand"))
    drill.until(lambda: len(names("ondemand")) > before, "an on-demand node that replaces spot")
    if drill.pace.quota:
        edit.clear(LAB)
        edit.add(LAB, edit.Denial(error="quota", lifecycle="spot"))
        drill.note("quota", "spot has capacity again, and the account has no quota for it")
        drill.until(lambda: refused("quota"), "a launch that the quota refuses")
    edit.clear(LAB)
    drill.note("capacity", "spot has some again")
    drill.until(lambda: len(names("spot")) >= len(nodes), "spot nodes that return")
    drill.until(lambda: not drill.cluster.running(), "the end of all jobs")
    drill.until(lambda: not has_fallback(), "the end of the fallback")


def refused(why: str) -> bool:
    """Tell whether the account's record has a launch of spot that failed for this reason."""
    where = context.place("emulator")
    memory = Store(where.folder).peek()[0].memory
    groups = Api(where.output.region, where.endpoint).observe(where.output, memory).groups.values()
    return any(it.why == why for group in groups if group.lifecycle == "spot" for it in group.failures)


def has_fallback() -> bool:
    """Tell whether the watch still has on-demand nodes that replace spot."""
    return any(pool.raised for pool in context.status(context.place("emulator"), context.prices(None)).pools)


@contextmanager
def watching(pace: Pace) -> Iterator[None]:
    """Run the watch beside, and end it."""
    log = LAB / "logs/drill-watch.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    program = Path(sys.executable).with_name("dualtrack")
    words = [str(program), "pools", "watch", "--apply", "--ceiling", str(CEILING), *pace.watch]
    with log.open("a") as sink:
        watch = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True)
    with proc.tracked(watch):
        try:
            yield
        finally:
            proc.end(watch)
