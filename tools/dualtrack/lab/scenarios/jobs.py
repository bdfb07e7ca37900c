"""The work of a drill: jobs with a known result, that write checkpoints and leave a trace when they end twice."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import msgspec

from dualtrack.core import waiting
from dualtrack.core.errors import External
from dualtrack.core.proc import last_line, run
from dualtrack.lab import control

#: Seen by every container of the lab, where a site mounts a network file system.
SHARED = "/srv/shared/drill"
USER = "admin"

#: Adds 1..STEPS, times its own number, a step a second. Each step is a checkpoint; a signal writes one and requeues.
#: A result is written once: whoever comes second leaves word in `twice`.
SCRIPT = r"""#!/bin/bash
set -u
dir=$1 number=$2 steps=$3 step=0 sum=0
state=$dir/state/$number
[ -f "$state" ] && read -r step sum < "$state"
echo "$(date +%s) $SLURMD_NODENAME step=$step gpus=${CUDA_VISIBLE_DEVICES:-}" >> "$dir/starts/$number"
save() { echo "$step $sum" > "$state.new" && mv "$state.new" "$state"; }
trap 'save; scontrol requeue "$SLURM_JOB_ID"; sleep 60' USR1
while [ "$step" -lt "$steps" ]; do
    sleep 1 & wait $!
    step=$((step + 1)) sum=$((sum + step * number))
    save
done
(set -C; echo "$sum" > "$dir/results/$number") 2>/dev/null || echo "$number" >> "$dir/twice"
"""


class Job(msgspec.Struct, frozen=True):
    """One job of the drill. ``number`` is its place, from 1; ``id`` is Slurm's."""

    number: int
    gpus: int
    id: str = ""


#: What became of the jobs as a whole, the worst of it: all ended right and once; some were still in the queue or at
#: work when the drill stopped waiting; some ended twice; some ended wrong or are nowhere.
Verdict = Literal["right", "unfinished", "twice", "lost"]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the jobs: how many ended right, and the numbers of those that did not, or did so twice."""

    jobs: int
    right: int
    wrong: tuple[int, ...]  # with another result than they should have
    vanished: tuple[int, ...]  # without a result, and not in the queue any more
    unfinished: tuple[int, ...]  # without a result, in the queue or at work: nothing is lost of them
    twice: tuple[int, ...]
    starts: int  # of all jobs: one each, and one more for each time that one began again
    states: dict[str, int]

    @property
    def lost(self) -> tuple[int, ...]:
        """The jobs whose work is lost."""
        return tuple(sorted({*self.wrong, *self.vanished}))

    @property
    def verdict(self) -> Verdict:
        """What to call it, in one word."""
        if self.lost:
            return "lost"
        return "twice" if self.twice else "unfinished" if self.unfinished else "right"


def expected(number: int, steps: int) -> int:
    """Return the result of a job."""
    return number * steps * (steps + 1) // 2


def mix(count: int, wide: int, wide_gpus: int = 4) -> list[Job]:
    """Return ``count`` jobs, of which ``wide`` take ``wide_gpus`` GPUs and the rest one, evenly among each other."""
    every = max(1, count // max(1, wide))
    chosen = {1 + every * index for index in range(wide)}
    return [Job(number, wide_gpus if number in chosen else 1) for number in range(1, count + 1)]


def judge(
    jobs: Sequence[Job], steps: int, results: Mapping[int, str], *, queued: Collection[int], twice: Sequence[int],
    starts: int, states: Mapping[str, int],
) -> Outcome:  # fmt: skip
    """Hold what the jobs left behind against what they should have. ``queued`` are those that wait or run."""
    right = [job.number for job in jobs if results.get(job.number) == str(expected(job.number, steps))]
    missing = [job.number for job in jobs if job.number not in results]
    return Outcome(
        jobs=len(jobs),
        right=len(right),
        wrong=tuple(sorted(number for number in results if number not in right)),
        vanished=tuple(number for number in missing if number not in queued),
        unfinished=tuple(number for number in missing if number in queued),
        twice=tuple(sorted(set(twice))),
        starts=starts,
        states=dict(states),
    )


class Cluster:
    """A Slurm cluster of the lab, talked to on whichever of its controllers answers."""

    def __init__(self, controllers: Sequence[str], folder: str) -> None:
        self.controllers, self.folder = tuple(controllers), f"{SHARED}/{folder}"

    def ask(self, *command: str) -> str:
        """Run a command as the drill's user on the first controller that does it; return what it printed.

        A controller has 40 s of an idle machine to answer, then the next one is asked.
        """
        said = "no controller"
        limit = 40 * waiting.slowness() * waiting.patience()
        for name in self.controllers:
            within = ["timeout", "-k", "5", f"{limit:.0f}"]
            words = control.exec_command(name, ["runuser", "-u", USER, "--", *within, *command])
            done = run(words, check=False, timeout=1.5 * limit)
            if done.returncode == 0:
                return done.stdout
            said = f"{name}: {last_line(done.stderr or done.stdout)}"
        raise External(f"{command[0]} failed on every controller: {said}")

    def prepare(self) -> None:
        """Make the drill's directory, with the job in it."""
        made = ["install", "-d", "-o", USER, "-g", USER, *(f"{self.folder}/{it}" for it in PLACES), self.folder]
        run(control.exec_command(self.controllers[0], made))
        words = control.exec_command(self.controllers[0], ["runuser", "-u", USER, "--", "tee", f"{self.folder}/job.sh"])
        subprocess.run(words, input=SCRIPT, text=True, stdout=subprocess.DEVNULL, check=True, timeout=30)

    def submit(self, job: Job, steps: int, partition: str) -> Job:
        """Put a job into the queue and return it with Slurm's id."""
        out = self.ask(
            "sbatch", "--parsable", f"--partition={partition}", f"--gres=gpu:{job.gpus}",
            f"--job-name=drill-{job.number}", "--requeue", "--open-mode=append", f"--chdir={self.folder}",
            f"--output={self.folder}/out/{job.number}", "--comment=memory: params=7b; checkpoint: USR1",
            f"{self.folder}/job.sh", self.folder, str(job.number), str(steps),
        )  # fmt: skip
        return msgspec.structs.replace(job, id=out.strip().split(";")[0])

    def running(self) -> dict[str, list[str]]:
        """Return which of the drill's jobs run on which node, by number; those in the queue under ''."""
        found: dict[str, list[str]] = {}
        for line in self.ask("squeue", "--noheader", f"--user={USER}", "--format=%j|%T|%N").splitlines():
            name, state, node = line.strip().split("|")
            if name.startswith("drill-"):
                found.setdefault(node if state == "RUNNING" else "", []).append(name.removeprefix("drill-"))
        return found

    def progress(self) -> str:
        """Return what changes with every step of a job, every start and every result."""
        return self.ask("sh", "-c", f"cd {self.folder} && cat state/[0-9]*[0-9] starts/* results/* 2>/dev/null | cksum")

    def outcome(self, jobs: Sequence[Job], steps: int) -> Outcome:
        """Read what the jobs left behind, and which are still waiting or running."""
        # The queue first: a job that ends in between has a result then, and is not called vanished.
        there = self.ask("squeue", "--noheader", f"--user={USER}", "--format=%i").split()
        queued = {job.number for job in jobs if job.id in there}
        results = self.ask("sh", "-c", f"cd {self.folder}/results && grep -H '' [0-9]* || true")
        found = {int(number): value for number, value in re.findall(r"^(\d+):(.*)$", results, re.M)}
        twice = [int(line) for line in self.ask("sh", "-c", f"cat {self.folder}/twice || true").split()]
        starts = len(self.ask("sh", "-c", f"cat {self.folder}/starts/* || true").splitlines())
        states: dict[str, int] = {}
        ids = ",".join(job.id for job in jobs)
        for line in self.ask("sacct", "-XnP", f"--jobs={ids}", "--format=state").splitlines():
            states[line.split()[0]] = states.get(line.split()[0], 0) + 1
        return judge(jobs, steps, found, queued=queued, twice=twice, starts=starts, states=states)


PLACES = ("state", "starts", "results", "out")
