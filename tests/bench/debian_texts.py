"""Texts that Debian packages have, fetched by apt-get once: what benches read."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

from dualtrack.core.paths import cache_dir


def unpacked(packages: Iterable[str]) -> Path:
    """Return the directory that has each package's files, in a directory of its name."""
    place = cache_dir() / "bench-corpus"
    for package in packages:
        if not (place / package).is_dir():
            place.mkdir(parents=True, exist_ok=True)
            subprocess.run(["apt-get", "download", "-q", package], cwd=place, check=True, capture_output=True)
            [archive] = place.glob(f"{package}_*.deb")
            subprocess.run(["dpkg-deb", "-x", archive, place / package], check=True)
            archive.unlink()
    return place
