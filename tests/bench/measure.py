"""Whole-process timings: wall seconds and peak memory, medians of several runs, ratios against a named peer."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """Medians: ``seconds`` of wall time, ``mib`` of peak memory of the largest process."""

    name: str
    seconds: float
    mib: float
    runs: int


def measure(name: str, words: Sequence[str], *, runs: int = 3, env: Mapping[str, str] | None = None) -> Figure:
    """Run a command ``runs`` times, its output thrown away, and return the medians; a failure is shown and ends it."""
    seconds, memory = [], []
    for _ in range(runs):
        begin = time.monotonic()
        process = subprocess.Popen(
            words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, **(env or {})}
        )
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds.append(time.monotonic() - begin)
        memory.append(usage.ru_maxrss / 1024)
        if process.returncode != 0:
            sys.exit(f"{name} failed with {process.returncode}:\n{said.decode(errors='replace')[-2000:]}")
    return Figure(name, statistics.median(seconds), statistics.median(memory), runs)


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
