"""Searching in up to a million vectors of 768 numbers, on one core, beside faiss' flat index and hnswlib.

    PYTHONPATH=.:tests/bench .venv/bin/python tests/bench/bench_kb_index.py [ROWS…]

The vectors are of real text: windows of 64 words or Chinese characters of Debian's handbook (in its languages),
LibreOffice's help and manuals in Chinese. They are not a transformer's, which would take hours: a window's words, each
weighed by how rare it is, projected to 768 numbers by fixed random signs. Windows overlap; questions are windows of
documents that are not in the index. Prints, for each number of rows, recall@10 against the exact answer, the mean and
the 99th percentile of questions asked one by one, seconds to make the index on all cores, and bytes for each vector.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from debian_texts import unpacked

from dualtrack.core.paths import ROOT

ROWS = sys.argv[1:] or ["10000", "100000", "1000000"]
PACKAGES = ("debian-handbook", "libreoffice-help-zh-cn", "manpages-zh", "debian-reference-zh-cn")


def main() -> None:
    """Run what measures in the peers' environment."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [ROOT / "ci/tool.sh", "index-bench:python", Path(__file__).with_name("index_peers.py"), unpacked(PACKAGES),
             folder, *ROWS], check=True,
        )  # fmt: skip


if __name__ == "__main__":
    main()
