"""What the watch keeps on disk: its memory, and a journal of what it saw and did."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from dualtrack.cloud.pools.model import Action, Kind, State
from dualtrack.core.append_log import AppendLog
from dualtrack.core.errors import External
from dualtrack.core.files import alone, lock, write_atomically

#: `nodes`: a count of what runs. `blind`: no look was possible. `failed`: AWS refused an action. `start`: it began.
EntryKind = Kind | Literal["nodes", "blind", "failed", "start"]


class Count(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """How many nodes of one type run in one pool and zone, bought as ``lifecycle``."""

    pool: str
    type: str
    lifecycle: Literal["spot", "on-demand"]
    zone: str
    nodes: int


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One line of the journal. ``at`` is AWS's clock (ours when blind). Dry runs write ``applied`` false."""

    at: float
    kind: EntryKind
    pool: str = ""
    reason: str = ""
    applied: bool = True
    action: Action | None = None
    counts: tuple[Count, ...] = ()
    #: On-demand pool to how many of its nodes replace spot.
    fallback: dict[str, int] = msgspec.field(default_factory=dict, name="stand_in")
    region: str = ""  # (start) where the pools are


class PersistedState(msgspec.Struct, frozen=True, kw_only=True):
    """The memory file. ``ceiling`` is the one that the watch last ran with, ``announced`` what it has said."""

    memory: State = State()
    ceiling: float | None = None
    announced: tuple[str, ...] = msgspec.field(default=(), name="told")
    counted_at: float = 0.0
    counts: tuple[Count, ...] = ()
    fallback: dict[str, int] = msgspec.field(default_factory=dict, name="stand_in")


class Store:
    """The directory of one stack's watch. A dry run has a memory of its own: it must not count as done what was not."""

    def __init__(self, folder: Path, *, dry: bool = False) -> None:
        self.folder, self.dry = folder, dry
        self.file = folder / ("dry-run.json" if dry else "memory.json")
        self.journal = folder / "journal.jsonl"

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the watch's lock; Refused when another one runs."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with alone(
            self.folder / f".{self.file.stem}.lock", "another watch is at work on this stack",
            hint="systemctl status dualtrack-pools", mode=0o644,
        ):  # fmt: skip
            yield

    def load(self) -> tuple[PersistedState, str]:
        """Return what is kept, and what to say of it. A damaged file is put aside: it is safe to know nothing.

        Then every size counts as the operator's, and nothing is lowered below it.
        """
        kept, problem = self.peek()
        if problem:
            aside = self.file.with_name(f"damaged-{datetime.now(UTC):%Y%m%dT%H%M%S}.json")
            self.file.replace(aside)
            problem = f"{self.file.name} was damaged and is put aside as {aside.name}: all sizes count as set by you"
        return kept, problem

    def peek(self) -> tuple[PersistedState, str]:
        """Return what is kept without touching a damaged file, and what to say of it."""
        try:
            return msgspec.json.decode(self.file.read_bytes(), type=PersistedState), ""
        except FileNotFoundError:
            return PersistedState(), ""
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            return PersistedState(), f"{self.file.name} is damaged ({error}): the watch will put it aside"

    def busy(self) -> bool:
        """Tell whether a watch holds the lock."""
        try:
            with (self.folder / f".{self.file.stem}.lock").open("r") as file:
                return not lock(file.fileno(), shared=True, wait=False)
        except FileNotFoundError:
            return False

    def save(self, kept: PersistedState) -> None:
        """Keep it; External when the disk refuses."""
        write_atomically(self.file, msgspec.json.encode(kept) + b"\n")

    def append(self, *entries: Entry) -> None:
        """Add to the journal, on the disk before anything is done; External when the disk refuses."""
        if not entries:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self.journal.open("ab+", buffering=0) as file:
                lock(file.fileno())
                log = AppendLog(file.fileno(), times=True)
                torn = [b"\n"] if log.is_torn() else []  # it stays, and counts as lost
                log.append([*torn, *(msgspec.json.encode(entry) + b"\n" for entry in entries)])
        except OSError as error:
            raise External(
                f"cannot write {self.journal}: {error.strerror}", hint="is the disk full, or not ours?"
            ) from error

    def entries(self) -> tuple[list[Entry], int]:
        """Return the journal, oldest first, and how many of its lines cannot be read (torn by a crash, or damaged)."""
        try:
            lines = self.journal.read_bytes().splitlines()
        except FileNotFoundError:
            return [], 0
        found, lost = [], 0
        for line in lines:
            try:
                found.append(msgspec.json.decode(line, type=Entry))
            except (msgspec.MsgspecError, UnicodeDecodeError):
                lost += bool(line.strip())
        return found, lost
