"""From the spot notice to a drained node and a requeued job; beside it Slurm alone, when a node goes without a word."""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable

from lab_host import dualtrack

RUNS = 3
#: A job that writes no checkpoint of its own would be waited for (spot_guard_checkpoint_s); this one requeues itself.
JOB = "trap 'scontrol requeue $SLURM_JOB_ID; sleep 60' USR1; while :; do sleep 1 & wait $!; done"


def main() -> None:
    """Bring a cloud track up, take nodes back in turns, and print the seconds."""
    with tempfile.TemporaryDirectory(prefix="dtb-") as folder:
        os.environ["DUALTRACK_LAB_DIR"] = folder
        try:
            dualtrack("mirror", "build")
            dualtrack("cloud", "up")
            noticed, silent = [], []
            for _ in range(RUNS):
                noticed.append(lost(notice=120))
                silent.append(lost(notice=0))
        finally:
            dualtrack("lab", "down")
    drained = statistics.median(drain for drain, _ in noticed)
    guarded = statistics.median(requeue for _, requeue in noticed)
    alone = statistics.median(requeue for _, requeue in silent)
    print(f"\nnotice to drained           {drained:6.1f} s   (median of {RUNS})")
    print(f"notice to requeued          {guarded:6.1f} s")
    print(f"no notice: Slurm alone      {alone:6.1f} s   {alone / guarded:5.1f} x ours (slurm_node_timeout_s, 60)")


def lost(*, notice: float) -> tuple[float, float]:
    """Put a job on a spot node, take the node back, and return the seconds to drained (or down) and to requeued."""
    hosts = json.loads(dualtrack("status", "--json"))["hosts"]
    up = [host for host in hosts if host["state"] == "up"]
    controller = min(host["name"] for host in up if host["pool"] == "control")
    node = next(host["name"] for host in up if host["pool"] == "spot")

    def slurm(*words: str) -> str:
        return dualtrack("lab", "exec", controller, "--", *words).strip()

    options = ("--parsable", "--requeue", f"--nodelist={node}", "--gres=gpu:4", "--chdir=/tmp", "--output=/dev/null",
               "--comment=checkpoint: USR1")  # fmt: skip
    job = slurm("sbatch", *options, "--wrap", JOB)
    seconds(lambda: slurm("squeue", "-h", "-j", job, "-o", "%T") == "RUNNING")
    dualtrack("lab", "reclaim", node, "--notice", str(notice))
    begin = time.monotonic()
    drain = seconds(lambda: any(it in slurm("sinfo", "-h", "-n", node, "-O", "statelong:40") for it in OUT), begin)
    requeue = seconds(lambda: slurm("squeue", "-h", "-j", job, "-o", "%T") == "PENDING", begin)
    slurm("scancel", job)
    if notice:
        dualtrack("lab", "reclaim", node, "--notice", "0")  # the rest of the two minutes is of no interest
    seconds(lambda: node not in dualtrack("status", "--json"))
    seconds(lambda: len([h for h in json.loads(dualtrack("status", "--json"))["hosts"] if h["pool"] == "spot"]) >= 2)
    dualtrack("cloud", "join")
    return drain, requeue


OUT = ("drain", "down")


def seconds(there: Callable[[], bool], begin: float | None = None) -> float:
    """Wait for something, two minutes at most, and return the seconds that it took."""
    start = time.monotonic() if begin is None else begin
    while not there():
        if time.monotonic() - start > 120:
            raise SystemExit("it did not happen within two minutes")
        time.sleep(0.1)
    return time.monotonic() - start


if __name__ == "__main__":
    main()
