"""Moves the state of a deployment out of the lab's directory, where it was kept before, once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from dualtrack.core.errors import External, Refused
from dualtrack.core.files import hold, locked, sync_path, write_atomically
from dualtrack.core.paths import misplaced

KEYS = "ssh/known_hosts"


def move(lab: Path, state: Path) -> list[str]:
    """Move the state from the lab's directory to its own and return what was moved, nothing where nothing is left.

    Each entry is renamed, so it is in one place or in the other, and a move that was cut is continued by the next one.
    Refused, with nothing moved, while a program uses the state or where an entry is in both places.
    """
    if not misplaced(lab, state):
        return []
    try:
        with locked(lab / "state"):
            names = misplaced(lab, state)
            if both := [name for name in names if os.path.lexists(state / name)]:
                raise Refused(
                    f"the state is in two places: {both[0]} is in {lab} and in {state}",
                    hint=f"keep one of them; the newer release writes to {state}",
                )
            with contextlib.ExitStack() as held:
                for path in _locks(lab, names):
                    held.enter_context(_closing(hold(path, f"{path.parent} is in use", hint="end that program first")))
                state.mkdir(parents=True, exist_ok=True)
                _copy_keys(lab / KEYS, state / "known_hosts")
                for name in names:
                    if name == "inventories":
                        _name_keys(lab / name, lab / KEYS, state / "known_hosts")
                    (lab / name).rename(state / name)
                sync_path(state)
                sync_path(lab)
            return names
    except OSError as error:
        raise External(
            f"the state cannot be moved from {lab} to {state}: {error.strerror}",
            hint="move it by hand, or name a place in DUALTRACK_STATE_DIR",
        ) from None


@contextlib.contextmanager
def _closing(handle: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(handle)


def _locks(lab: Path, names: list[str]) -> Iterator[Path]:
    """Yield the lock files of the entries: of the pools' watch, of OpenTofu's copy, of single files."""
    for name in names:
        yield from (path for path in (lab / name).rglob(".*.lock") if path.is_file() and ".terraform" not in path.parts)
        if (beside := lab / f".{name}.lock").is_file():
            yield beside


def _copy_keys(old: Path, new: Path) -> None:
    """Copy the host keys: the lab keeps those of its own hosts, and nothing tells which are whose."""
    if old.is_file() and not new.exists():
        write_atomically(new, old.read_bytes(), 0o600)


def _name_keys(inventories: Path, old: Path, new: Path) -> None:
    """Have generated inventories of hosts that are not the lab's name the copy."""
    for path in sorted(inventories.glob("*/hosts-*.json")):
        if path.parent.name != "lab":
            text = path.read_text(encoding="utf-8")
            write_atomically(path, text.replace(str(old.absolute()), str(new.absolute())).encode())
