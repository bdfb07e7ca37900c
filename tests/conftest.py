"""What several tests share: a lab of their own, apart from the one that the operator may have running."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
CLI = Path(sys.executable).parent / "dualtrack"


class Cli:
    """The command line as a user calls it, on a lab folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {**os.environ, "DUALTRACK_LAB_DIR": str(folder)}

    def __call__(self, *words: str, check: bool = True, timeout: float = 180) -> subprocess.CompletedProcess[str]:
        """Run a command; with ``check`` it must succeed."""
        done = subprocess.run([CLI, *words], env=self.env, capture_output=True, text=True, timeout=timeout, check=False)
        if check and done.returncode != 0:
            pytest.fail(
                f"dualtrack {' '.join(words)} exited with {done.returncode}:\n{done.stdout}\n{done.stderr}\n{self.logs()}"
            )
        return done

    def json(self, *words: str) -> dict[str, Any]:
        """Run a command with --json and return its document."""
        document: dict[str, Any] = json.loads(self(*words, "--json").stdout)
        return document

    def logs(self) -> str:
        """Return the ends of the lab's logs, for the report of a failed test."""
        return "\n".join(
            f"--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-15:])
            for path in sorted(self.folder.glob("logs/**/*.log"))
        )


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """A running lab that belongs to one test module."""
    if os.geteuid() != 0:
        pytest.skip("the lab needs root")
    cli = Cli(tmp_path_factory.mktemp("lab"))
    cli("lab", "up")
    try:
        yield cli
    finally:
        cli("lab", "down")
