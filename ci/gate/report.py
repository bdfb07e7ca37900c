"""What a run of the gate leaves behind: a table for people, JUnit XML for each unit, one JSON document."""

from __future__ import annotations

import os
import platform
import re
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

import msgspec
from ci.gate.results import Step
from ci.gate.units import PARTS

#: How many of the slowest tests the table ends with.
SLOWEST = 25
#: How many lines of a failed unit's log are printed.
LINES = 60
#: The state of a unit that a time limit left out.
NOT_RUN = "not run"
_CONTROL = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd]")


class Outcome(msgspec.Struct, frozen=True):
    """What became of one unit. ``state`` is `passed`, `failed`, `cached` or `not run`.

    ``at`` is the time in seconds since 1970 at which it ended; of a unit that did not run, when it last passed, 0 if it
    never did.
    """

    part: str
    name: str
    state: str
    seconds: float
    cpu_s: float
    hosts: str
    steps: tuple[Step, ...]
    at: float

    @property
    def id(self) -> str:
        """The unit's name."""
        return f"{self.part}:{self.name}"


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """One run, as `run.json` holds it; ci/compare_runs.py compares two."""

    schema: str = "dualtrack.test-run/1"
    at: float
    seconds: float
    commit: str
    processors: int
    machine: str
    load: float
    units: tuple[Outcome, ...]


def document(outcomes: Sequence[Outcome], seconds: float, commit: str) -> Document:
    """Return the run's document."""
    ordered = sorted(outcomes, key=lambda it: (PARTS.index(it.part), it.name))
    return Document(
        at=time.time(), seconds=round(seconds, 1), commit=commit, processors=os.cpu_count() or 1,
        machine=f"{platform.machine()}, Linux {platform.release()}", load=round(os.getloadavg()[0], 1),
        units=tuple(ordered),
    )  # fmt: skip


def table(run: Document) -> str:
    """Return the run as a table: a line for each unit, a line for each part, and the slowest tests."""
    lines = [f"{'part':12} {'unit':28} {'hosts':10} {'seconds':>8} {'cpu s':>8}  tests", "-" * 78]
    for unit in run.units:
        mark = {"passed": "", "cached": "  (earlier result)", "failed": "  FAILED", NOT_RUN: "  (not run)"}[unit.state]
        lines.append(f"{unit.part:12} {unit.name:28} {unit.hosts:10} {unit.seconds:8.0f} {unit.cpu_s:8.0f}  "
                     f"{len(unit.steps) or ''}{mark}".rstrip())  # fmt: skip
    lines.append("-" * 78)
    for part in PARTS:
        mine = [unit for unit in run.units if unit.part == part and unit.state in ("passed", "failed")]
        if mine:
            lines.append(f"{part:12} {f'{len(mine)} run':28} {'':10} {sum(u.seconds for u in mine):8.0f} "
                         f"{sum(u.cpu_s for u in mine):8.0f}")  # fmt: skip
    steps = [(unit, step) for unit in run.units if unit.state != "cached" for step in unit.steps]
    steps.sort(key=lambda pair: -pair[1].seconds)
    if steps:
        lines += ["", f"the slowest of {len(steps)} tests (the first of a file brings up what the file shares):"]
        lines += [
            f"{step.seconds:8.1f} s {step.cpu_s:8.1f} s cpu  {unit.id} {step.name}" for unit, step in steps[:SLOWEST]
        ]
    skipped = [(unit, step) for unit in run.units for step in unit.steps if step.outcome == "skipped"]
    if skipped:
        lines += ["", f"skipped, {len(skipped)} tests:"]
        lines += [f"  {unit.id} {step.name}: {step.reason.removeprefix('Skipped: ')}" for unit, step in skipped]
    return "\n".join(lines)


def counts(outcomes: Sequence[Outcome]) -> tuple[int, int]:
    """Return how many tests passed and failed. A unit without tests of its own (a scenario, a linter) is one."""
    passed = failed = 0
    for unit in outcomes:
        bad = sum(step.outcome == "failed" for step in unit.steps)
        failed += max(bad, 1) if unit.state == "failed" else 0
        passed += sum(step.outcome == "passed" for step in unit.steps) or unit.state in ("passed", "cached")
    return passed, failed


def left_out(run: Document) -> str:
    """Return what a time limit left out, each unit with the age of its last pass; '' if it left out nothing."""
    units = [unit for unit in run.units if unit.state == NOT_RUN]
    if not units:
        return ""
    known = [f"{unit.id} (passed {age(run.at - unit.at)} ago)" if unit.at else f"{unit.id} (never passed here)"
             for unit in units]  # fmt: skip
    return f"not run for lack of time, first in the next run: {', '.join(known)}"


def age(seconds: float) -> str:
    """Return a length of time in its largest unit."""
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            number = int(seconds // size)
            return f"{number} {name}{'s' if number > 1 else ''}"
    return "less than a minute"


def ending(log: Path) -> str:
    """Return the end of a failed unit's log."""
    lines = log.read_text(errors="replace").splitlines()
    head = [f"--- the last {LINES} of {len(lines)} lines of {log}:"] if len(lines) > LINES else [f"--- {log}:"]
    return "\n".join([*head, *(line[:1200] for line in lines[-LINES:]), "---"])


def write_junit(path: Path, outcome: Outcome, log: Path) -> None:
    """Write the JUnit file of a unit that is not pytest's: one test case."""
    suite = ElementTree.Element(
        "testsuite", name=outcome.id, tests="1", failures=str(int(outcome.state == "failed")), time=str(outcome.seconds)
    )
    case = ElementTree.SubElement(
        suite, "testcase", classname=outcome.part, name=outcome.name, time=str(outcome.seconds)
    )
    if outcome.state == "failed":
        ElementTree.SubElement(case, "failure", message="see the text").text = _CONTROL.sub("?", ending(log))
    ElementTree.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)
