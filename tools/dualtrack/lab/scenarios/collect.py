"""The pytest plugin of `dualtrack drill audit`: reports each attack that a test tried as an event.

A test says what it tries by the marker `attack(who, what, came, by)`, or, where it tries several, by a property
`attack` for each (tests/support/tried.py).
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from typing import Any, TextIO

import pytest

_PIPE = pytest.StashKey[TextIO]()


def pytest_configure(config: pytest.Config) -> None:
    """Open the pipe."""
    config.stash[_PIPE] = os.fdopen(int(os.environ["DUALTRACK_EVENTS_FD"]), "w", encoding="utf-8", buffering=1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Tell what a test tried, when it has; or that it could not try it."""
    report: pytest.TestReport = yield
    if report.when == "teardown" or (report.when == "setup" and report.passed):
        return report
    marker = item.get_closest_marker("attack")
    found: list[dict[str, Any]] = [
        {**value, "ways": 1}  # type: ignore[dict-item]
        for name, value in item.user_properties
        if name == "attack"
    ]
    if marker and marker.args:
        who, what, came, by = marker.args
        tried = came if report.passed else "missed" if report.when == "call" and report.failed else "not tried"
        found.append({"who": who, "what": what, "outcome": tried, "by": by, "seconds": report.duration, "ways": 1})
    for it in found:
        item.config.stash[_PIPE].write(json.dumps(it) + "\n")
    return report
