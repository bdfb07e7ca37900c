"""A lab of a benchmark's own with one host in it, gone when the benchmark ends; the operator's lab is left alone."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent
PEERS = BIN.parents[1] / ".venv-bench/bin"


@contextlib.contextmanager
def lab_host(name: str, *, gpus: int = 0, kind: str = "nspawn") -> Iterator[dict[str, Any]]:
    """Give a fresh, booted host (`dualtrack lab host add --json`); DUALTRACK_LAB_DIR names its lab meanwhile.

    Import what reads that variable (dualtrack.core.paths) inside the block.
    """
    with tempfile.TemporaryDirectory(prefix="dtb-") as folder:
        os.environ["DUALTRACK_LAB_DIR"] = folder
        try:
            dualtrack("lab", "up")
            added = dualtrack("lab", "host", "add", name, "--kind", kind, "--gpus", str(gpus), "--json")
            host = json.loads(added)["host"]
            dualtrack("lab", "exec", name, "--", "systemctl", "is-system-running", "--wait")
            yield host
        finally:
            dualtrack("lab", "down")
            del os.environ["DUALTRACK_LAB_DIR"]


def dualtrack(*words: str) -> str:
    """Run the command line and return what it printed; a failure is shown and ends the benchmark."""
    done = subprocess.run([BIN / "dualtrack", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"dualtrack {' '.join(words)} failed with {done.returncode}: {done.stderr.strip()}")
    return done.stdout
