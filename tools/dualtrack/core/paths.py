"""Where things are: the checkout, what its deployment and its lab keep, and the caches of all checkouts."""

from __future__ import annotations

import os
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from dualtrack.core.errors import Missing

#: The checkout this package runs from (it is installed in editable mode by `make setup`).
ROOT = Path(__file__).resolve().parents[3]
#: What the lab keeps between runs: its hosts' records, keys and logs, and what it plays. Ignored by git.
LAB = Path(os.environ.get("DUALTRACK_LAB_DIR") or ROOT / ".lab")


def state_dir(lab: Path, given: str | None) -> Path:
    """Return the state directory: the given one, or that of the checkout; a lab elsewhere has its own."""
    if given:
        return Path(given)
    return ROOT / ".state" if lab.absolute() == ROOT / ".lab" else lab / "state"


#: What the deployment keeps, wherever its machines are: OpenTofu's files, learned host keys, the certificate authority,
#: generated inventories, the pools' memory. Ignored by git. Losing it loses the deployment.
STATE = state_dir(LAB, os.environ.get("DUALTRACK_STATE_DIR"))


#: What was kept with the lab before the state had a directory of its own, in the order in which it moves: `tracks.json`
#: names what is up, and is the last.
STATE_ENTRIES = (
    "tofu", "pki", "pools", "access", "knowledge", "audit-keys", "context.json", "verified.json", "inventories",
    "tracks.json",
)  # fmt: skip


def misplaced(lab: Path, state: Path) -> list[str]:
    """Return the names of the entries of the state that are still in the lab's directory."""
    if not lab.is_dir() or lab.absolute() == state.absolute():
        return []
    return [name for name in STATE_ENTRIES if os.path.lexists(lab / name)]


def environment() -> dict[str, str]:
    """Return the variables by which other programs find the same directories."""
    return {"DUALTRACK_LAB_DIR": str(LAB), "DUALTRACK_STATE_DIR": str(STATE)}


def expanded(path: str) -> Path:
    """Return a path whose `~` is the user's home directory; Missing where neither HOME nor the list of users has it."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        hint = "set HOME, and DUALTRACK_CACHE for the cache"
        raise Missing(f"{path}: there is no such home directory", hint=hint) from None


def cache_dir() -> Path:
    """Return (and make) the cache directory shared by all checkouts; `DUALTRACK_CACHE` moves it.

    Missing where none of the variables names it and the user has no home directory.
    """
    if base := os.environ.get("DUALTRACK_CACHE"):
        path = Path(base)
    elif base := os.environ.get("XDG_CACHE_HOME"):
        path = Path(base) / "dualtrack"
    else:
        path = expanded("~/.cache/dualtrack")
    path.mkdir(parents=True, exist_ok=True)
    return path


@cache
def pins() -> dict[str, Any]:
    """Return `[tool.dualtrack.pins]` of pyproject.toml: the one place for versions and digests."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        table: dict[str, Any] = tomllib.load(file)["tool"]["dualtrack"]["pins"]
    return table
