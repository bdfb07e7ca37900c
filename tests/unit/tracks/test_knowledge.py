"""What the command line asks the knowledge base costs the command line little."""

from __future__ import annotations

import subprocess
import sys


def test_who_only_asks_loads_no_library_that_searches() -> None:
    """NumPy, Hyperscan and the others took half of a command's time, and the program that answers loads them again."""
    said = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, dualtrack.cli.kb, dualtrack.tracks.knowledge\nprint(*sys.modules)",
        ],
        check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    assert "dualtrack.tracks.knowledge" in said
    assert not {"numpy", "hyperscan", "cryptography", "dualtrack.knowledge.ingest"} & set(said)
