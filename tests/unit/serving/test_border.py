"""Which module of `dualtrack.serving` speaks over the network. Which packages it imports, import-linter holds."""

from __future__ import annotations

from dualtrack.core.paths import ROOT
from tests.support.imports import imports

SERVING = ROOT / "tools/dualtrack/serving"


def test_only_the_client_speaks_over_the_network() -> None:
    network = {"http", "socket", "ssl", "subprocess", "urllib"}
    assert {path.stem for path in SERVING.glob("*.py") if imports(path) & network} == {"client"}
