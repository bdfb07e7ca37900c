"""`python -m ci.gate`: what `make test` runs."""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from ci.gate import environment, relevance, report, schedule, units
from ci.gate.gate import Gate, say
from ci.gate.results import Results

from dualtrack.core.errors import DualtrackError
from dualtrack.core.files import write_atomically

ROOT = Path(__file__).resolve().parents[2]
DURATIONS = Path(__file__).with_name("durations.json")


def arguments() -> argparse.Namespace:
    """Return the options of this run."""
    parser = argparse.ArgumentParser(
        prog="python -m ci.gate", description="Run every unit of tests that has no result for the tree as it is.",
        epilog="Exit codes: 0 all that ran passed, 1 something failed, 2 wrong usage, 130 interrupted.",
    )  # fmt: skip
    parser.add_argument("units", nargs="*", help="only these: a part (e2e), a unit (molecule:base); default: all")
    parser.add_argument("--for", dest="paths", action="append", default=[], metavar="PATH",
                        help="only what a change to this path can break, the most specific first")  # fmt: skip
    parser.add_argument("--all", action="store_true", help="run also what passed before with the same inputs")
    parser.add_argument("--list", action="store_true", help="list the units that would run, and run nothing")
    parser.add_argument("--jobs", type=at_least_one, default=(os.cpu_count() or 1) + 1,
                        help="units side by side (default: one more than there are processors)")  # fmt: skip
    parser.add_argument("--limit", type=positive, metavar="MINUTES",
                        help="start a unit only if its usual time still fits; "
                        "what does not fit is listed as not run, and is first in the next run")  # fmt: skip
    parser.add_argument("--since", type=positive, metavar="SECONDS", default=time.time(),
                        help="when the time of --limit began, in seconds since 1970 (default: now)")  # fmt: skip
    parser.add_argument("--save-durations", action="store_true", help="keep how long each took in the tree")
    options = parser.parse_args()
    options.paths = [relevance.relative(ROOT, path) for path in options.paths]
    for path in options.paths:
        # One that is gone is a change, too: the directory that it was in tells it from a typing error.
        if path == "." or Path(path).is_absolute() or not (ROOT / path).parent.is_dir():
            parser.error(f"there is no {path!r} in this checkout")
    return options


def positive(text: str) -> float:
    """Return a number above 0; ValueError for anything else, also `nan`."""
    number = float(text)
    if not 0 < number < math.inf:
        raise ValueError(text)
    return number


def at_least_one(text: str) -> int:
    """Return a whole number from 1 on; ValueError for anything else."""
    return int(positive(str(int(text))))


def chosen(every: list[units.Unit], names: list[str]) -> list[units.Unit]:
    """Return the units with these names, or of these parts; all without names."""
    known = set(units.PARTS).union(*(unit.names for unit in every))
    if strange := [name for name in names if name not in known]:
        sys.exit(f"there is no unit {strange[0]!r}: python -m ci.gate --list names them (exit code 2)")
    return [unit for unit in every if not names or not unit.names.isdisjoint(names)]


def main() -> int:
    """Run the gate and return its exit code."""
    # A shell ignores SIGINT in what it starts in the background; a run that is told to end shall clean up all the same.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    from dualtrack.core.paths import cache_dir

    options = arguments()
    begin = time.monotonic()
    kept = Results(cache_dir() / "tests/results")
    found = chosen(units.discover(ROOT), options.units)
    expected: dict[str, float] = json.loads(DURATIONS.read_text()) if DURATIONS.exists() else {}
    directory = cache_dir() / "tests/runs" / time.strftime("%Y%m%dT%H%M%S") / str(os.getpid())
    left_out = schedule.LeftOut(cache_dir() / "tests/left-out.json")
    limit = None
    if options.limit is not None:
        deadline = begin + options.limit * 60 - (time.time() - options.since)
        limit = schedule.Limit(
            deadline=deadline, first=frozenset(left_out.load()), overdue=left_out.overdue(),
            rotation=schedule.rotation(commit()),
        )  # fmt: skip
    gate = Gate(
        ROOT, directory, kept, environment=environment.digest(), expected=expected, jobs=options.jobs,
        every=options.all, limit=limit,
    )  # fmt: skip
    if options.paths:
        found, expected = relevance.order(found, options.paths, kept, ROOT)
        gate.expected = expected
    if options.list:
        for unit in found:
            print(f"{unit.id:40} {gate.forecast(unit)}")
        return 0
    try:
        outcomes = gate.run(found)
    except KeyboardInterrupt:
        if gate.outcomes:
            say(report.table(report.document(gate.outcomes, time.monotonic() - begin, "")))
        return 130
    return conclude(
        outcomes, left_out, lambda: finish(outcomes, directory, time.monotonic() - begin, save=options.save_durations)
    )


def conclude(outcomes: list[report.Outcome], left_out: schedule.LeftOut, finish: Callable[[], int]) -> int:
    """Remember what was left out, ``finish`` the run, forget what passed, and return the exit code of the run.

    An error of the disk makes the run fail, and keeps the report from nobody.
    """
    missing = [outcome.id for outcome in outcomes if outcome.state == report.NOT_RUN]
    overdue: dict[str, int] = {}
    troubles = 0
    try:
        overdue = left_out.add(missing)
    except (DualtrackError, OSError) as error:
        troubles += 1
        say(f"the units that were left out cannot be remembered: {error}")
    code = finish()
    try:
        left_out.remove(outcome.id for outcome in outcomes if outcome.state in ("passed", "cached"))
    except (DualtrackError, OSError) as error:
        troubles += 1
        say(f"the units that passed stay listed as left out: {error}")
    for name, runs in overdue.items():
        say(f"left out of {runs} runs in succession: {name}; run it alone: make test ONLY={name}")
    if outcomes and len(missing) == len(outcomes):
        say("nothing was run: the time had passed before the first unit")
        return 1
    return int(bool(code or overdue or troubles))


def commit() -> str:
    """Return the digest of the commit that is checked out; '' if there is none."""
    words = ["git", "rev-parse", "--verify", "--quiet", "HEAD"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def finish(outcomes: list[report.Outcome], directory: Path, seconds: float, *, save: bool) -> int:
    """Write the reports, print the table, and return the exit code."""
    run = report.document(outcomes, seconds, commit())
    written = True
    try:
        write_atomically(directory / "run.json", msgspec.json.format(msgspec.json.encode(run), indent=1))
        if save:
            now = {unit.id: round(unit.seconds) for unit in run.units if unit.state == "passed"}
            before = json.loads(DURATIONS.read_text()) if DURATIONS.exists() else {}
            write_atomically(DURATIONS, (json.dumps({**before, **now}, indent=1, sort_keys=True) + "\n").encode())
    except DualtrackError as error:
        written = False
        say(f"the report cannot be written: {error}")
    say("\n" + report.table(run))
    ran = sum(unit.state in ("passed", "failed") for unit in run.units)
    cached = sum(unit.state == "cached" for unit in run.units)
    say(f"\n{ran} units ran, {cached} had passed before with the same inputs; {seconds:.0f} s in all")
    say(f"reports: {directory}")
    failed_units = [unit.id for unit in run.units if unit.state == "failed"]
    if failed_units:
        say(f"failed: {' '.join(failed_units)}")
    if missing := report.left_out(run):
        say(missing)
    passed, failed = report.counts(run.units)
    say(f"{passed} passed, {failed} failed")
    return int(bool(failed_units or not written))


if __name__ == "__main__":
    sys.exit(main())
