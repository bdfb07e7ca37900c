"""What hosts run has no package beside those of requirements/store.txt."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

#: What the controller has and a host has not.
CONTROLLERS = ("cryptography", "ansible", "bcrypt", "joserfc", "moto", "paramiko")
GUARD = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
from dualtrack.cli import main
main()
"""


def on_a_host(*words: str | Path) -> str:
    """Run a command of `dualtrack audit` as a host does, and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", GUARD.format(names=CONTROLLERS), "audit", *words],
        input="event\n", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_trail_is_kept_and_judged_without_the_controllers_packages(tmp_path: Path) -> None:
    trail, key, proof = tmp_path / "trail", tmp_path / "key.pem", tmp_path / "proof"
    key.write_text(on_a_host("init", trail, "--host", "h"))
    on_a_host("record", trail)
    on_a_host("sign", trail)
    on_a_host("rotate-key", trail, "--yes")
    on_a_host("anchor", trail)
    on_a_host("show", trail)
    on_a_host("verify", trail, "--key", key)
    on_a_host("prove", trail, "1", "-o", proof)
    on_a_host("check-proof", proof, "--key", key)
    on_a_host("witness", tmp_path / "w", "--begin", "--name", "w-1")


@pytest.mark.parametrize(
    "module",
    [
        "security.audit.ship",
        "security.audit.snapshots",
        "security.audit.witness",
        "security.audit.journal",
        "security.audit.anchors",
    ],
)
def test_what_services_import_is_there(module: str) -> None:
    code = GUARD.format(names=CONTROLLERS).replace(
        "from dualtrack.cli import main\nmain()", f"import dualtrack.{module}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
