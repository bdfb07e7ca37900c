"""What `dualtrack.serving` imports: packages below it, and the network in one module."""

from __future__ import annotations

import ast
from pathlib import Path

from dualtrack.paths import ROOT
from tests.support.imports import imports

SERVING = ROOT / "tools/dualtrack/serving"
BELOW = {"errors", "files", "inventory", "output", "paths", "proc", "serving", "ssh", "waiting"}


def packages(path: Path) -> set[str]:
    """Return the parts of dualtrack that a file imports, also inside its functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "dualtrack":
            inner = (node.module or "").split(".")[1:2]
            found |= set(inner) if inner else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("dualtrack.")}
    return found


def test_serving_stands_on_what_is_below_it() -> None:
    assert set().union(*map(packages, SERVING.glob("*.py"))) <= BELOW


def test_only_the_client_speaks_over_the_network() -> None:
    network = {"http", "socket", "ssl", "subprocess", "urllib"}
    assert {path.stem for path in SERVING.glob("*.py") if imports(path) & network} == {"client"}
