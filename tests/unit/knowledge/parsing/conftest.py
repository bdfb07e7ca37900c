"""Parsers import nothing while they read: the process that they run in is closed in by then."""

from __future__ import annotations

import builtins
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from dualtrack.core.paths import ROOT

PARSERS = "dualtrack.knowledge.parsing"
#: Prints what such a process has loaded when it closes itself in; here without the libraries of other environments.
LOADED = """
import contextlib, sys
from dualtrack.knowledge.parsing import child, sandbox
sandbox.enclose, sandbox.forget_files, sandbox.probe = list, lambda **_: [], lambda: None
for form in child.PARSERS:
    with contextlib.suppress(ImportError):
        child.prepare(form)
print(*sys.modules, sep="\\n")
"""


@pytest.fixture(scope="session")
def loaded() -> frozenset[str]:
    """Return the names of all modules that are loaded before the process closes itself in."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", LOADED], cwd=ROOT / "tools", capture_output=True, text=True, check=True
    )
    return frozenset(done.stdout.split())


@pytest.fixture(autouse=True)
def _imports_nothing(loaded: frozenset[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail where a parser, or what it calls, imports what its process would not have loaded."""
    wanted: set[str] = set()
    real = builtins.__import__

    def watched(name: str, *given: Any, **named: Any) -> Any:
        # What a package imports of its own stands in its own directory, and is seen where a parser first imports it.
        if name not in loaded and not named.get("level", given[3] if len(given) > 3 else 0) and _reading():
            wanted.add(name)
        return real(name, *given, **named)

    monkeypatch.setattr(builtins, "__import__", watched)
    yield
    assert not wanted, "parsers import this while they read"


def _reading() -> bool:
    """Return whether a function of a parser is at work, and no module is being loaded."""
    frame = sys._getframe(2)
    while frame:
        if frame.f_code.co_name == "<module>":
            return False
        if frame.f_globals.get("__name__", "").startswith(PARSERS):
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False
