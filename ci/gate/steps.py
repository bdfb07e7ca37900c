"""A pytest plugin: writes one JSON line for each test, with its processor time and that of all it started.

Loaded by `-p ci.gate.steps`; the gate names the file in GATE_STEPS and the unit's control group in GATE_GROUP.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from ci.gate.groups import cpu_seconds


class _Recorder:
    def __init__(self, file: Path, group: Path) -> None:
        self.file, self.group = file, group
        self.outcome, self.reason = "passed", ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self.outcome, self.reason = "passed", ""
        begin, spent = time.monotonic(), cpu_seconds(self.group)
        result = yield
        line = {
            "name": item.nodeid.partition("::")[2], "outcome": self.outcome,
            "seconds": round(time.monotonic() - begin, 3), "cpu_s": round(cpu_seconds(self.group) - spent, 3),
            "reason": self.reason,
        }  # fmt: skip
        with self.file.open("a") as out:
            out.write(json.dumps(line) + "\n")
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.outcome = "failed"
        elif report.skipped and self.outcome == "passed":
            self.outcome = "skipped"
            self.reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else ""


def pytest_configure(config: pytest.Config) -> None:
    """Record when the gate asks for it."""
    if "GATE_STEPS" in os.environ:
        recorder = _Recorder(Path(os.environ["GATE_STEPS"]), Path(os.environ["GATE_GROUP"]))
        config.pluginmanager.register(recorder)
