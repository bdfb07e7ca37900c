#!/usr/bin/env python3
"""Watches for the notice that this spot instance is reclaimed, and saves what the time allows.

On a rebalance recommendation the node takes no new jobs. On the notice itself: it is drained, which takes it out of the
traffic's records, too (traffic_keeper), and its jobs are put back into the queue before the instance ends. A job that
can write a checkpoint says by which signal in its comment (`sbatch --comment="checkpoint: USR1"`): it gets that signal,
and time; when it is done it calls `scontrol requeue $SLURM_JOB_ID`, and is requeued when its time is up. No other job
gets a signal: it would die of it. So does one that has begun a moment ago and does not handle the signal yet; it is
requeued. With no notice at all slurmctld requeues what ran here when the node no longer answers: nothing here could.

The notice's time is by AWS's clock. Ours may be wrong: more than two minutes are never counted on, from first sight.
See https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
"""

from __future__ import annotations

import calendar
import json
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

#: What AWS gives (seconds), and what is kept back of it for requeuing and for the jobs to be ended.
NOTICE_S, RESERVE_S = 120.0, 25.0
COMMAND_S = 8.0
STATES = "--states=RUNNING,SUSPENDED"
#: What a job may ask for; KILL and STOP cannot be handled.
SIGNALS = frozenset({"USR1", "USR2", "TERM", "HUP", "INT", "URG", "CONT"})
STATE = Path("/run/dualtrack/spot-guard.json")
#: While it is there, slurmd does not start on this node (roles/spot_guard adds the condition to its unit).
LEAVING = Path("/run/dualtrack/leaving")

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def log(text: str) -> None:
    """Say something to the journal."""
    print(text, flush=True)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command; one that is not there, or waits for a controller that does not answer, has failed."""
    try:  # what is not UTF-8 is text of a user, who must not end this program by it
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=COMMAND_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 127, "", str(error))


@dataclass(frozen=True)
class Notice:
    """A notice: what will happen (terminate, stop, hibernate), and when, by the clock of this host (monotonic)."""

    action: str
    until: float


def parse_notice(text: str, wall: float, monotonic: float) -> Notice:
    """Return the notice in the metadata service's answer; a damaged one counts as one that ends in two minutes."""
    left, action = NOTICE_S, "terminate"
    try:
        found = json.loads(text)
        action = str(found.get("action", action))
        left = calendar.timegm(time.strptime(str(found["time"]), "%Y-%m-%dT%H:%M:%SZ")) - wall
    except (ValueError, KeyError, AttributeError):
        pass
    return Notice(action, monotonic + min(max(left, 0.0), NOTICE_S))


class Metadata:
    """The instance metadata service, version 2: a session token first."""

    def __init__(self, base: str) -> None:
        self.base, self._token, self._until = base.rstrip("/"), "", 0.0

    def get(self, path: str) -> str | None:
        """Return what is at ``path``, None when nothing is. Raises OSError when the service does not answer."""
        try:
            return self._ask(f"/latest/meta-data/{path}", {"X-aws-ec2-metadata-token": self.token()})
        except urllib.error.HTTPError as error:
            if error.code == 401:
                self._until = 0.0
            if error.code == 404:
                return None
            raise

    def token(self) -> str:
        """Return a session token, the same one until it grows old."""
        if time.monotonic() > self._until:
            self._token = self._ask("/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "21600"}, "PUT")
            self._until = time.monotonic() + 18000
        return self._token

    def _ask(self, path: str, headers: dict[str, str], method: str = "GET") -> str:
        request = urllib.request.Request(self.base + path, headers=headers, method=method)  # noqa: S310 - http, as it is
        with urllib.request.urlopen(request, timeout=2) as answer:  # noqa: S310
            return str(answer.read(65536).decode())


def parse_ids(stdout: str) -> frozenset[str]:
    """Return the job ids that squeue prints, one a line; what is not a number is none."""
    return frozenset(it for it in stdout.split() if re.fullmatch("[0-9]+", it))


def checkpoint(stdout: str) -> str:
    """Return the signal that a job's comment names, '' for none; ``stdout`` is all that squeue says of one job.

    By the id of a job array squeue answers for each of its tasks: all of one user, and they must say the same. A
    comment is its user's text. It may look like more than one line of squeue's, and then it asks for nothing.
    """
    said = {line.strip() for line in stdout.splitlines()}
    named = re.search(r"(?:^|[\s;])checkpoint:\s*([A-Z0-9]+)", said.pop()) if len(said) == 1 else None
    return named[1] if named and named[1] in SIGNALS else ""


@dataclass
class Slurm:
    """This node as Slurm knows it. Every command has a limit; nothing here raises."""

    node: str
    run: Run = run

    def drain(self, reason: str) -> bool:
        """Take no new jobs; return whether Slurm took it."""
        done = self.run("scontrol", "update", f"nodename={self.node}", "state=drain", f"reason={reason}")
        return done.returncode == 0

    def ids(self) -> frozenset[str] | None:
        """Return the ids of the jobs that run here, None when nobody answers."""
        done = self.run("squeue", "--noheader", "--nodelist", self.node, STATES, "--format=%A")
        return parse_ids(done.stdout) if done.returncode == 0 else None

    def jobs(self) -> dict[str, str] | None:
        """Return the jobs that run here with their checkpoint signals ('' for none), None when nobody answers.

        Each one's comment is asked for separately: nothing in it can be taken for another job.
        """
        found = {}
        ids = self.ids()
        for job in sorted(ids or ()):
            done = self.run("squeue", "--noheader", "--nodelist", self.node, STATES, f"--jobs={job}", "--format=%k")
            if done.returncode != 0:
                return None
            found[job] = checkpoint(done.stdout)
        return None if ids is None else found

    def signal(self, job: str, name: str) -> bool:
        """Send a signal to a job's script and all its steps."""
        return self.run("scancel", f"--signal={name}", "--full", job).returncode == 0

    def died_of(self, job: str, name: str) -> bool | None:
        """Tell whether this signal has ended a job; None while that is not known yet."""
        done = self.run("scontrol", "--oneliner", "show", "job", job)
        state = re.search(r"\bJobState=(\w+)", done.stdout)
        if done.returncode != 0 or state is None or state[1] == "COMPLETING":
            return None
        return state[1] == "FAILED" and f" ExitCode=0:{signal.Signals[f'SIG{name}'].value} " in done.stdout

    def requeue(self, job: str) -> bool:
        """Put a job back into the queue."""
        return self.run("scontrol", "requeue", job).returncode == 0


@dataclass(frozen=True)
class Aws:
    """Where the API is; `python3-boto3` is only needed by what asks it."""

    region: str
    endpoint: str = ""

    def client(self, service: Any) -> Any:
        """Return a client of a service, with the keys of the instance's own role."""
        import boto3
        from botocore.config import Config

        limits = Config(connect_timeout=3, read_timeout=5, retries={"max_attempts": 3})
        return boto3.client(service, region_name=self.region, endpoint_url=self.endpoint or None, config=limits)


@dataclass
class Protection:
    """Keeps the node's group from ending it to grow smaller while jobs run here; an idle one goes first."""

    aws: Aws
    group: str
    instance: str
    slurm: Slurm
    every_s: float = 10.0
    now_set: bool | None = None
    due: float = 0.0

    def look(self, now: float) -> None:
        """Set or take back the protection when that has changed. A Slurm or an API that fails is asked again."""
        if now < self.due:
            return
        self.due = now + self.every_s
        jobs = self.slurm.ids()
        if jobs is None or bool(jobs) == self.now_set:
            return
        try:
            self.aws.client("autoscaling").set_instance_protection(
                InstanceIds=[self.instance], AutoScalingGroupName=self.group, ProtectedFromScaleIn=bool(jobs)
            )
        except Exception as error:  # whatever it is, the notice must still be heard
            log(f"{self.group} may end this node as before: {error}")
        else:
            self.now_set = bool(jobs)


class Watcher(Protocol):
    """What is looked at beside the notice; it looks when its time has come."""

    def look(self, now: float) -> None:
        """Look, at ``now`` (monotonic, in seconds)."""


@dataclass
class Guard:
    """What is done at a notice. ``checkpoint_s``: how long jobs may write, where the notice is long enough."""

    slurm: Slurm | None
    checkpoint_s: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    events: dict[str, Any] = field(default_factory=dict)

    def note(self, what: str, value: Any = None) -> None:
        """Record when something was done (seconds since the notice was seen, and the wall clock)."""
        self.events[what] = {
            "after_s": round(self.clock() - self.events.get("seen", self.clock()), 2),
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            **({} if value is None else {"value": value}),
        }
        log(f"{what}{'' if value is None else f': {value}'}")

    def recommended(self) -> None:
        """Take no new work; what runs may end."""
        if self.slurm is not None and self.slurm.drain("spot: rebalance recommended"):
            self.note("drained on recommendation")

    def reclaimed(self, notice: Notice) -> None:
        """Save what the time allows, in the order of its worth: no new jobs and no users, then the jobs."""
        self.events["seen"] = self.clock()
        log(f"notice: {notice.action} in {notice.until - self.clock():.0f} s")
        drained = self.slurm is not None and self.slurm.drain(f"spot: {notice.action}")
        if drained:
            self.note("drained")
        if self.slurm is not None:
            self.save_jobs(self.slurm, notice, drained)

    def save_jobs(self, slurm: Slurm, notice: Notice, drained: bool) -> None:
        """Requeue the jobs: at once those without checkpoints, the others when they have written them or must end."""
        jobs = self.patiently(slurm.jobs, notice.until) or {}
        self.note("jobs", sorted(jobs))
        asked = {job: name for job, name in jobs.items() if name and slurm.signal(job, name)}
        writing = set(asked)
        left = {job for job in set(jobs) - writing if not slurm.requeue(job)}
        writing_ends = min(self.clock() + self.checkpoint_s, notice.until - RESERVE_S)
        while writing and self.clock() < writing_ends:
            self.sleep(0.5)
            now = slurm.ids()
            writing &= set(writing if now is None else now)
        died = {job for job in set(asked) - writing if self.died_of(slurm, job, asked[job], notice.until)}
        self.note("wrote checkpoints", sorted(set(asked) - writing - died))
        if died:
            self.note("did not handle the signal yet", sorted(died))
        left |= writing | died
        while (left or not drained) and self.clock() < notice.until:
            drained = drained or slurm.drain(f"spot: {notice.action}")
            left = {job for job in left if not slurm.requeue(job)}
            for job in left - set(self.still(slurm, left)):
                if job not in asked or slurm.died_of(job, asked[job]) is False:
                    left.discard(job)  # it has ended, or is in the queue again
            if left:
                self.sleep(1)
        self.note("requeued" if not left else "not requeued in time", sorted(left) or None)

    def died_of(self, slurm: Slurm, job: str, name: str, until: float) -> bool:
        """Tell whether the signal has ended a job that runs no more; asked until Slurm knows it."""
        while (found := slurm.died_of(job, name)) is None and self.clock() < until:
            self.sleep(0.5)
        return bool(found)

    def still(self, slurm: Slurm, left: set[str]) -> list[str]:
        """Return those of ``left`` that still run here; all of them when nobody answers."""
        now = slurm.ids() if left else frozenset()
        return sorted(left if now is None else now)

    def patiently(self, ask: Callable[[], dict[str, str] | None], until: float) -> dict[str, str] | None:
        """Ask until there is an answer or no time."""
        while (answer := ask()) is None and self.clock() < until:
            self.sleep(1)
        return answer


def watch(
    metadata: Metadata, guard: Guard, poll_s: float, stopping: Callable[[], bool], others: Sequence[Watcher] = ()
) -> None:
    """Ask the metadata service until a notice has been dealt with; a service that fails is asked again."""
    recommended = silent = False
    while not stopping():
        try:
            notice = metadata.get("spot/instance-action")
            if notice is not None:
                LEAVING.parent.mkdir(parents=True, exist_ok=True)
                LEAVING.touch()
                guard.reclaimed(parse_notice(notice, time.time(), time.monotonic()))
                STATE.write_text(json.dumps(guard.events | {"finished": True}))
                return
            if not recommended and metadata.get("events/recommendations/rebalance") is not None:
                recommended = True
                guard.recommended()
            silent = False
        except OSError as error:
            if not silent:
                log(f"the metadata service does not answer, asking again: {error}")
            silent = True
        for other in others:
            other.look(guard.clock())
        guard.sleep(poll_s)


def main(config: str) -> int:
    """Run until the instance ends or the unit is stopped."""
    given = json.loads(Path(config).read_text())
    aws = Aws(**given["aws"])
    slurm = Slurm(given["node"]) if given.get("node") else None
    guard = Guard(slurm, float(given["checkpoint_s"]))
    others: list[Watcher] = []
    if slurm is not None and given.get("group"):
        others.append(Protection(aws, slurm=slurm, **given["group"]))
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stop.append(number))
    watch(Metadata(given["metadata"]), guard, float(given["poll_s"]), lambda: bool(stop), others)
    while not stop:  # dealt with: what is left is the end
        time.sleep(1)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
