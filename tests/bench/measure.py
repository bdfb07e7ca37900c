"""Whole-process timings: wall seconds and peak memory, medians of several runs, ratios against a named peer."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: What takes longer than this is ended, and the benchmark with it, in seconds.
LIMIT_S = 3600


@dataclass(frozen=True)
class Figure:
    """Medians: ``seconds`` of wall time, ``mib`` of peak memory of the largest process."""

    name: str
    seconds: float
    mib: float
    runs: int


@dataclass(frozen=True)
class Case:
    """A command to be timed: ``env`` is added to ours, without the variables of ours that are named in ``unset``."""

    name: str
    words: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    unset: Sequence[str] = ()
    cwd: Path | None = None


def measure(name: str, words: Sequence[str], *, runs: int = 3, env: Mapping[str, str] | None = None) -> Figure:
    """Run a command ``runs`` times, its output thrown away, and return the medians; a failure is shown and ends it."""
    return alternate([Case(name, words, env or {})], runs=runs)[0]


def alternate(cases: Sequence[Case], *, runs: int = 3) -> list[Figure]:
    """Measure several commands in turns, so that what else the machine does falls on all of them alike."""
    taken = [[once(case) for case in cases] for _ in range(runs)]
    return [
        Figure(case.name, statistics.median(t for t, _ in column), statistics.median(m for _, m in column), runs)
        for case, column in zip(cases, zip(*taken, strict=True), strict=True)
    ]


def once(case: Case) -> tuple[float, float]:
    """Run a command and return its seconds and MiB; a failure is shown and ends the benchmark."""
    kept = {key: value for key, value in os.environ.items() if key not in case.unset}
    begin = time.monotonic()
    try:
        process = subprocess.Popen(
            case.words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=case.cwd, env={**kept, **case.env}
        )
    except FileNotFoundError:
        sys.exit(f"{case.name} cannot be measured: {case.words[0]} is not there (make bench makes it)")
    assert process.stderr is not None
    watchdog = threading.Timer(LIMIT_S, process.kill)
    watchdog.start()
    try:
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
    finally:
        watchdog.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - begin
    if process.returncode != 0:
        sys.exit(f"{case.name} failed with {process.returncode}:\n{said.decode(errors='replace')[-2000:]}")
    return seconds, usage.ru_maxrss / 1024


def show(title: str, ours: Figure, peers: Sequence[Figure]) -> None:
    """Print a table: each figure, and the peers as multiples of ours."""
    print(f"\n{title}")
    for figure in (ours, *peers):
        ratio = (
            ""
            if figure is ours
            else f"   {figure.seconds / ours.seconds:6.1f} x time, {figure.mib / ours.mib:5.1f} x memory"
        )
        print(f"  {figure.name:34} {figure.seconds:8.2f} s {figure.mib:8.0f} MiB   (median of {figure.runs}){ratio}")
