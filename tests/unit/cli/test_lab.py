"""`dualtrack lab …`, as its user meets it, without a lab."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import CLI


@pytest.mark.parametrize(
    ("name", "shown"), [("nosuch", "nosuch"), ("gateway-9", "gateway-9"), ("a b", "a b"), ("x\x1b[2J", "x\\x1b[2J")]
)
def test_a_host_that_is_not_there_is_reported_and_removed_again_without_an_error(
    tmp_path: Path, name: str, shown: str
) -> None:
    env = {**os.environ, "DUALTRACK_STATE_DIR": str(tmp_path / "state"), "DUALTRACK_LAB_DIR": str(tmp_path / "lab")}
    words = [CLI, "lab", "host", "remove", name]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.splitlines()[-1] == f"nothing to remove: no host is called {shown}"
