"""Where things are: the checkout, what the lab keeps between runs, and the caches that all checkouts share."""

from __future__ import annotations

import os
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

#: The checkout this package runs from (it is installed in editable mode by `make setup`).
ROOT = Path(__file__).resolve().parents[3]
#: State of this checkout's lab: keys, host records, OpenTofu state. Ignored by git.
LAB = Path(os.environ.get("DUALTRACK_LAB_DIR") or ROOT / ".lab")


def cache_dir() -> Path:
    """Return (and make) the cache directory shared by all checkouts; `DUALTRACK_CACHE` moves it."""
    base = os.environ.get("DUALTRACK_CACHE")
    path = Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dualtrack"
    path.mkdir(parents=True, exist_ok=True)
    return path


@cache
def pins() -> dict[str, Any]:
    """Return `[tool.dualtrack.pins]` of pyproject.toml: the one place for versions and digests."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        table: dict[str, Any] = tomllib.load(file)["tool"]["dualtrack"]["pins"]
    return table
