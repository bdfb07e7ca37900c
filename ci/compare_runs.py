#!/usr/bin/env python3
"""Compare two runs of the gate: ``ci/compare_runs.py BEFORE/run.json AFTER/run.json``.

Prints, for each unit and part, seconds and processor seconds before and after, the largest differences first, and the
tests that only one of the runs has: a test that is gone is named, whatever its file is called now.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def units(path: str) -> dict[str, dict[str, Any]]:
    """Return the units of a run that really ran, by name."""
    document = json.loads(Path(path).read_text())
    if document.get("schema") != "dualtrack.test-run/1":
        sys.exit(f"{path} is not a run of the gate")
    return {f"{it['part']}:{it['name']}": it for it in document["units"] if it["state"] != "cached"}


def row(name: str, before: dict[str, Any] | None, after: dict[str, Any] | None) -> str:
    """Return one line of the comparison; ``-`` where a run lacks the unit."""

    def cell(unit: dict[str, Any] | None, key: str) -> str:
        return f"{unit[key]:8.0f}" if unit else f"{'-':>8}"

    ratio = f"{after['cpu_s'] / before['cpu_s']:6.2f}" if before and after and before["cpu_s"] else f"{'':6}"
    cells = [cell(unit, key) for key in ("seconds", "cpu_s") for unit in (before, after)]
    return " ".join([f"{name:36}", *cells, ratio])


def total(found: dict[str, dict[str, Any]], part: str) -> dict[str, Any] | None:
    """Return the sums over a part; None when nothing of it ran."""
    mine = [it for it in found.values() if part in ("all", it["part"])]
    return {key: sum(it[key] for it in mine) for key in ("seconds", "cpu_s")} if mine else None


def main(first: str, second: str) -> None:
    """Print the comparison."""
    before, after = units(first), units(second)
    print(f"{'unit':36} {'s before':>8} {'s after':>8} {'cpu bef.':>8} {'cpu aft.':>8}  ratio")

    def difference(name: str) -> float:
        both = [found.get(name, {}).get("cpu_s", 0.0) for found in (before, after)]
        return -abs(both[0] - both[1])

    for name in sorted({*before, *after}, key=difference):
        print(row(name, before.get(name), after.get(name)))
    for part in ("lint", "unit", "integration", "molecule", "e2e", "all"):
        print(row(part, total(before, part), total(after, part)))
    names = [{step["name"] for it in found.values() for step in it["steps"]} for found in (before, after)]
    for what, gone in (("only before", names[0] - names[1]), ("only after", names[1] - names[0])):
        print(f"\ntests {what}: {len(gone)}", *sorted(gone), sep="\n  ")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
