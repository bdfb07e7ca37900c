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
                inventories = dict(_renamed(lab / "inventories", lab / KEYS, state / "known_hosts"))
                state.mkdir(parents=True, exist_ok=True)
                _copy_keys(lab / KEYS, state / "known_hosts")
                for path, data in inventories.items():
                    write_atomically(path, data)
                for name in names:
                    _move(lab / name, state / name)
                sync_path(state)
                sync_path(lab)
            return names
    except OSError as error:
        raise External(
            f"the state cannot be moved from {lab} to {state}: {error.filename or ''}: {error.strerror}",
            hint="repeat the command when that is repaired: what has moved stays, the rest follows",
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
    """Add the host keys that are not there yet; the lab keeps its file, since nothing tells which key is whose."""
    if old.is_file():
        there = new.read_bytes() if new.exists() else b""
        lines = there.splitlines(keepends=True)
        missing = [line for line in old.read_bytes().splitlines(keepends=True) if line not in lines]
        if missing:
            write_atomically(new, b"".join([*lines, *missing]), 0o600)


def _renamed(inventories: Path, old: Path, new: Path) -> Iterator[tuple[Path, bytes]]:
    """Yield generated inventories of hosts that are not the lab's, with the name of the copy of the host keys."""
    for path in sorted(inventories.glob("*/hosts-*.json")):
        if path.parent.name != "lab" and path.is_file():
            data = path.read_bytes()
            changed = data.replace(str(old.absolute()).encode(), str(new.absolute()).encode())
            if changed != data:
                yield path, changed


def _move(old: Path, new: Path) -> None:
    """Rename an entry; a link that says where it leads from its own place is made anew."""
    if old.is_symlink() and not (target := old.readlink()).is_absolute():
        new.symlink_to(old.parent.absolute() / target)
        old.unlink()
    else:
        old.rename(new)
