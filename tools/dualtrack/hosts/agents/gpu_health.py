#!/usr/bin/env python3
"""Whether a node's GPUs are fit for a job; Slurm's Prolog, Epilog and health check, and a command to look with.

Sick are: fewer GPUs than the node has, uncorrected ECC errors, a driver that does not answer, an XID that means
hardware, and what `dcgmi health` reports where DCGM is installed. As Prolog, Epilog and health check it drains its own
node with the reason; Slurm starts the job again elsewhere. After a repair, `gpu_health.py accept` forgets the XIDs that
were logged so far.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

#: Hardware, by NVIDIA's list (https://docs.nvidia.com/deploy/xid-errors/); the others are the application's own faults.
HARDWARE_XIDS = frozenset({48, 62, 64, 69, 74, 79, 95, 119, 120})
XID = re.compile(r"NVRM: Xid \(PCI:([0-9A-Fa-f:.]+)\): (\d+)")
ACCEPTED = Path("/var/lib/dualtrack/gpu-health.accepted")
SICK = 1
TIMEOUT_S = 25

#: What drained the node is said with this word first, so that the check only ever takes back its own drains.
MARK = "gpu_health:"


def parse_gpus(stdout: str) -> dict[int, int]:
    """Return uncorrected ECC errors by GPU index from nvidia-smi's rows; a lost GPU has no row of numbers."""
    rows = (line.split(", ") for line in stdout.splitlines())
    return {
        int(row[0]): int(row[1]) if row[1].isdigit() else 0
        for row in rows
        if len(row) == 2 and row[0].isdigit() and (row[1].isdigit() or row[1] == "[N/A]")
    }


def parse_xids(journal: str) -> list[tuple[str, int]]:
    """Return (PCI address, XID) of the hardware errors in a journal, whose messages are JSON.

    The driver's messages begin so. The kernel's others may hold a user's text, such as the name of a file that a
    program died in, with all that it says, and with line breaks.
    """
    found = (XID.match(message) for message in map(_message, journal.split("\n")))
    return [(it[1], int(it[2])) for it in found if it and int(it[2]) in HARDWARE_XIDS]


def _message(line: str) -> str:
    """Return what a line of `journalctl --output=json` says; what is not text is left out, as all that is not whole."""
    try:
        message = json.loads(line)["MESSAGE"]
    except (ValueError, KeyError, TypeError):
        return ""
    return message if isinstance(message, str) else ""


def parse_dcgm(stdout: str) -> list[str]:
    """Return what `dcgmi health --check --json` finds fault with."""
    try:
        body = json.loads(stdout).get("body", {})
    except (ValueError, AttributeError):
        return []
    overall = str(body.get("Overall Health", {}).get("value", "Healthy"))
    return [] if overall in ("Healthy", "") else [f"dcgmi health says {overall}"]


def findings(rc: int, stdout: str, stderr: str, expected: int, journal: str, dcgm: str) -> list[str]:
    """Return what is wrong, one sentence each; empty for healthy GPUs."""
    gpus = parse_gpus(stdout)
    found = []
    if not gpus:
        said = (stderr.strip() or stdout.strip() or "nothing").splitlines()[0]
        found.append(f"nvidia-smi ended with {rc}: {said}")
    elif len(gpus) < expected:
        gone = sorted(set(range(expected)) - set(gpus))
        found.append(f"{len(gpus)} of {expected} GPUs answer (missing: {', '.join(map(str, gone))})")
    found += [f"GPU {index}: {errors} uncorrected ECC errors" for index, errors in gpus.items() if errors]
    found += [f"XID {xid} on {bus}" for bus, xid in dict.fromkeys(parse_xids(journal))]
    return found + parse_dcgm(dcgm)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command; one that is not there or hangs has failed."""
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 127, "", str(error))


def look(expected: int) -> list[str]:
    """Ask this host and return what is wrong."""
    smi = run("nvidia-smi", "--query-gpu=index,ecc.errors.uncorrected.volatile.total", "--format=csv,noheader")
    since = ["--since", f"@{int(ACCEPTED.stat().st_mtime)}"] if ACCEPTED.exists() else ["--boot"]
    # Lines of the kernel, or of root in its name; anybody could log the rest.
    journal = run(
        "journalctl", "--quiet", "--output=json", "--output-fields=MESSAGE", *since,
        "_TRANSPORT=kernel", "+", "SYSLOG_IDENTIFIER=kernel", "_UID=0",
    )  # fmt: skip
    dcgm = run("dcgmi", "health", "--check", "--json").stdout if shutil.which("dcgmi") else ""
    return findings(smi.returncode, smi.stdout, smi.stderr, expected, journal.stdout, dcgm)


def drain(node: str, reason: str) -> None:
    """Take the node out of service, unless it is out already: the first reason stays."""
    state = run("sinfo", "--noheader", "--nodes", node, "--Format=statelong:40,reason:200").stdout
    if "drain" not in state:
        run("scontrol", "update", f"nodename={node}", "state=drain", f"reason={MARK} {reason}")


def main(words: list[str]) -> int:
    """Check; 0 for healthy, 1 for sick. Under Slurm a sick node is drained."""
    parser = argparse.ArgumentParser(description="Whether this node's GPUs are fit for a job.")
    parser.add_argument("action", choices=["check", "slurm", "accept"], nargs="?", default="check")
    parser.add_argument("--gpus", type=int, default=0, help="how many there must be")
    parser.add_argument("--node", default=os.environ.get("SLURMD_NODENAME", ""), help="this node's name in Slurm")
    given = parser.parse_args(words)
    if given.action == "accept":
        ACCEPTED.parent.mkdir(parents=True, exist_ok=True)
        ACCEPTED.touch()
        # journalctl counts in whole seconds: what is logged in this one must be older than the mark.
        os.utime(ACCEPTED, (time.time() + 1, time.time() + 1))
        return 0
    found = look(given.gpus)
    if given.action == "check":
        print("\n".join(found) or f"{given.gpus} GPUs are healthy")
    elif found and given.node:
        drain(given.node, "; ".join(found))
    return SICK if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
