"""The units of the real tree: every test is in exactly one, and a run's reports hold what it did."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from ci.gate import report
from ci.gate.__main__ import main
from ci.gate.report import Outcome
from ci.gate.results import Step
from ci.gate.units import LINTED, LINTERS, discover, file_name

from tests.conftest import ROOT


def test_every_test_file_and_scenario_is_in_one_unit() -> None:
    units = discover(ROOT)
    assert len({unit.id for unit in units}) == len(units)
    paths = [Path(word) for unit in units for word in unit.command if word.startswith("tests/")]
    covered = [file for path in paths for file in ([path] if path.suffix else (ROOT / path).rglob("test_*.py"))]
    files = {path.relative_to(ROOT) for path in (ROOT / "tests").rglob("test_*.py") if path.name != LINTED}
    assert sorted(path.relative_to(ROOT) if path.is_absolute() else path for path in covered) == sorted(files)
    roles = sorted(path.name for path in (ROOT / "roles").iterdir())
    assert sorted(role for unit in units for role in unit.roles) == roles


def test_a_role_names_the_scenario_that_tests_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gate", "--list", "molecule:nvme_raid", "molecule:base"])
    assert main() == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == ["molecule:base", "molecule:own_kernel"]


def test_a_unit_of_unit_tests_is_the_files_of_one_directory(tmp_path: Path) -> None:
    for path in (
        "cloud/test_plan.py",
        "cloud/test_stack.py",
        "cloud/spot/test_plan.py",
        "security/audit/test_chain.py",
    ):
        file = tmp_path / "tests/unit" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("def test_it(): pass")
    found = {
        unit.id: [word for word in unit.command if word.startswith("tests/")]
        for unit in discover(tmp_path)
        if unit.part == "unit"
    }
    assert found == {
        "unit:cloud": ["tests/unit/cloud/test_plan.py", "tests/unit/cloud/test_stack.py"],
        "unit:cloud/spot": ["tests/unit/cloud/spot"],
        "unit:security/audit": ["tests/unit/security/audit"],
    }
    assert len({file_name(unit) for unit in found}) == len(found)
    assert not any("/" in file_name(unit) for unit in found)


def test_the_linters_are_those_of_the_script() -> None:
    done = subprocess.run([ROOT / "ci/lint.sh", "nonsense"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert set(done.stderr.partition(": ")[2].split()) == set(LINTERS)


def outcome(state: str, *steps: Step, part: str = "unit", name: str = "a") -> Outcome:
    return Outcome(part, name, state, 2.0, 1.0, "none", steps, 0.0)


def test_the_closing_line_counts_tests_and_units_without_any() -> None:
    good, bad, skipped = (Step(name, name, 1.0, 0.5) for name in ("passed", "failed", "skipped"))
    assert report.counts([outcome("passed", good, good, skipped), outcome("failed", good, bad)]) == (3, 1)
    assert report.counts([outcome("passed"), outcome("failed"), outcome("cached", good)]) == (2, 1)
    assert report.counts([outcome("failed", good)]) == (1, 1)  # it failed while no test ran


def test_two_runs_are_compared(tmp_path: Path) -> None:
    for name, seconds, step in (("before", 10.0, "test_old"), ("after", 5.0, "test_new")):
        unit = Outcome("unit", "a", "passed", seconds, seconds, "none", (Step(step, "passed", seconds, seconds),), 0.0)
        (tmp_path / name).write_text(json.dumps(json.loads(encoded(unit))))
    words = [sys.executable, ROOT / "ci/compare_runs.py", tmp_path / "before", tmp_path / "after"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "  0.50" in said
    assert "tests only before: 1\n  test_old" in said
    assert "tests only after: 1\n  test_new" in said


def encoded(unit: Outcome) -> bytes:
    import msgspec

    return msgspec.json.encode(report.document([unit], 1.0, "x"))


def test_a_failed_unit_is_a_junit_failure_with_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"why \x1b[31mit\x00 failed\xff")
    report.write_junit(tmp_path / "a.xml", outcome("failed"), log)
    [failure] = ElementTree.parse(tmp_path / "a.xml").iter("failure")
    assert "why ?[31mit? failed" in (failure.text or "")


def test_the_table_names_failures_skips_and_the_slowest() -> None:
    steps = (Step("test_fast", "passed", 0.1, 0.1), Step("test_slow", "passed", 9.0, 3.0))
    skip = Step("test_skipped", "skipped", 0.0, 0.0, "Skipped: needs a GPU")
    run = report.document([outcome("passed", *steps, skip), outcome("failed", part="e2e", name="b")], 11.0, "x")
    text = report.table(run)
    assert text.index("test_slow") < text.index("test_fast")
    assert "test_skipped: needs a GPU" in text
    assert "FAILED" in text
