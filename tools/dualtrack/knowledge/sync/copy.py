"""A copy of a knowledge base, kept equal to it: a new version is staged, checked, and switched to by one rename.

    sync.json          what was copied last, and when: where it is, nothing else changes the knowledge base
    staging/<version>  a version that is coming; whoever is killed continues with it

The order: keys come, then the ledger of deletions, and what it has loses its key; the version gets its name; it becomes
the current one. Whoever is killed in between leaves a whole version that answers, the one before or the new one.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec.structs import replace

from dualtrack.core.errors import BadInput, DualtrackError, External, Refused
from dualtrack.core.files import exchange, locked, read, sync_path, write_atomically
from dualtrack.knowledge import deletion, ledger, retrieval, versions
from dualtrack.knowledge.keys import MASTER, Keys, Master
from dualtrack.knowledge.ledger import Ledger
from dualtrack.knowledge.sync import offer
from dualtrack.knowledge.sync.offer import Offer
from dualtrack.knowledge.sync.source import Source

Say = Callable[[str], None]
STAGING = "staging"
#: How often it is tried again where the source changed in the meantime.
TRIES = 3


class SyncState(msgspec.Struct, frozen=True, kw_only=True):
    """`sync.json`: the source, its version and since when it has that (UTC), and when the copy had it.

    ``checked`` is when the source was asked last, and ``failed`` why the last run did not succeed. ``moved`` is how
    many bytes went over the wire for the version's file, ``bytes`` how many it has, ``seconds`` how long all took.
    ``held`` is the source's version that the operator rolled back from here: it is not switched to again.
    """

    source: str
    version: str = ""
    since: datetime | None = None
    copied: datetime | None = None
    checked: datetime | None = None
    moved: int = 0
    bytes: int = 0
    seconds: float = 0.0
    held: str = ""
    failed: str = ""

    @property
    def lag_s(self) -> float | None:
        """How many seconds after its source the copy had the version."""
        return (self.copied - self.since).total_seconds() if self.copied and self.since else None


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did. ``lag_s``: seconds from the source's switch to the copy's."""

    version: str
    changed: bool
    held: bool
    moved: int
    bytes: int
    seconds: float
    lag_s: float | None


def run(
    base: Path, source: Source, key_file: Path | None = None, *, keep: int, check: bool = False, say: Say
) -> Copied:  # fmt: skip
    """Copy what is new at the source. With ``check`` what is here already is read again.

    ``keep`` versions stay, of those that the source still has. BadInput for a master key that is missing or another
    one; Refused where ``base`` has something of its own, or the source knows less deletions than it; External where
    something fails: the next run continues from there.
    """
    base = base.resolve()
    if base.exists() and not base.is_dir():
        raise BadInput(f"{base} is not a directory")
    if source.is_at(base):
        raise BadInput(f"{base} would be a copy of itself")
    if not (base / versions.COPIED).exists() and base.exists() and (own := _own(base)):
        raise Refused(f"{base} is not a copy, and has something of its own: {own[0]}", hint="name another directory")
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(base / "sync", say) as lock:
        before = _before(base) or SyncState(source="")
        state = replace(before, source=source.place)
        try:
            state = _Run(base, source, key_file, keep, check, lock, say).done(state)
        except DualtrackError as error:
            if (base / versions.COPIED).exists():
                with contextlib.suppress(DualtrackError):  # a full disk: the first error says more
                    _save(base, replace(state, failed=str(error)))
            raise
        _save(base, state)
    return Copied(
        version=state.version, changed=state.copied != before.copied, held=bool(state.held), moved=state.moved,
        bytes=state.bytes, seconds=state.seconds, lag_s=state.lag_s,
    )  # fmt: skip


def _own(base: Path) -> list[str]:
    """Return what there is in a directory beside what a copy begins with: the master key."""
    return sorted(it.name for it in base.iterdir() if it.name != MASTER and not it.name.endswith(".lock"))


def _before(base: Path) -> SyncState | None:
    """Return what was copied before; nothing of a file that is damaged, which the next run writes anew."""
    try:
        return read(base / versions.COPIED, SyncState)
    except BadInput:
        return None


@dataclass(frozen=True)
class _Run:
    """A run, which has the lock."""

    base: Path
    source: Source
    key_file: Path | None
    keep: int
    check: bool
    lock: int
    say: Say

    def done(self, state: SyncState) -> SyncState:
        """Copy what is new, and return the state after that."""
        began, master, moved = time.monotonic(), Master(self.base, self.key_file), 0
        offered = self._offered(master)
        _save(self.base, replace(state, failed="it did not come to its end"))  # from here on it is a copy
        for left in reversed(range(TRIES)):
            held = state.held == offered.version and self._held(offered)
            try:
                staged, size = (None, 0) if held else self._staged(offered, master)
            except DualtrackError:
                tried, offered = offered, self._offered(master)
                if not left or tried.version == offered.version:
                    raise
                continue  # it was pruned while it came
            moved += size
            break
        with locked(self.base / "ingest"), Keys(self.base, self.key_file, make=True) as keys:
            _adopt(self.base, keys, offered, staged)
            if not held and (self.base / versions.CURRENT).resolve().name != offered.version:
                versions.switch(self.base, offered.version)
            _prune(self.base, offered)
            versions.prune(self.base, self.keep)
            deletion.tidy(self.base, keys)
        shutil.rmtree(self.base / STAGING, ignore_errors=True)
        now = datetime.now(UTC)
        state = replace(state, checked=now, failed="", held=offered.version if held else "")
        if held or (not staged and (state.version, state.since) == (offered.version, offered.since)):
            return state
        return replace(
            state, version=offered.version, since=offered.since, copied=now, moved=moved,
            bytes=msgspec.json.decode(offered.card, type=versions.Made).bytes,
            seconds=round(time.monotonic() - began, 3),
        )  # fmt: skip

    def _offered(self, master: Master) -> Offer:
        offered = offer.opened(self.source.offer(self.key_file), master)
        if not offer.extends(offered.ledger, offer.deletions(self.base)):
            raise Refused(
                f"{self.source.place} does not know all deletions that this copy knows: was it restored?",
                hint=f"bring its {ledger.FILE} back: it is here",
            )
        return offered

    def _held(self, offered: Offer) -> bool:
        """Tell whether the source still has the version that was rolled back to: it deletes in no other one."""
        return offered.kept.get((current := (self.base / versions.CURRENT).resolve()).name) == offer.card_of(current)

    def _staged(self, offered: Offer, master: Master) -> tuple[Path | None, int]:
        """Return where the offered version is, whole, and how many bytes were moved; None where it needs not come."""
        there = self.base / "versions" / offered.version
        if _same(there, offered) and (not self.check or _whole(there, master)):
            return None, 0
        directory = self.base / STAGING / offered.version
        for it in (self.base / STAGING).glob("*"):
            if it != directory:
                shutil.rmtree(it)
        current = (self.base / versions.CURRENT).resolve()
        beside = current if current != self.base / versions.CURRENT and (current / versions.SEALED).is_file() else None
        if beside:  # rsync looks in one file for what is here: in a part that came before, or in the other version
            shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True, exist_ok=True)
        moved = self.source.fetch(offered.version, directory, beside, self.lock, self.say)
        sync_path(directory / versions.SEALED)
        write_atomically(directory / versions.CARD, offered.card)
        sync_path(directory)
        if not _whole(directory, master):
            shutil.rmtree(directory)
            raise External(f"what came of version {offered.version} is not what its card says", hint="try again")
        return directory, moved


def _same(directory: Path, offered: Offer) -> bool:
    """Tell whether a version is the one that is offered, as its card says: of one id there may be several files."""
    try:
        return (directory / versions.CARD).read_bytes() == offered.card
    except OSError:
        return False


def _whole(directory: Path, master: Master) -> bool:
    try:
        versions.check(directory, master)
    except versions.Damaged:
        return False
    return True


def _adopt(base: Path, keys: Keys, offered: Offer, staged: Path | None) -> None:
    """Have what was offered; External for a version without its keys."""
    keys.adopt(offered.keys)
    if offered.ledger != offer.deletions(base):
        write_atomically(base / ledger.FILE, offered.ledger, 0o600)
        sync_path(base)
    deleted = Ledger(base, keys)
    deletion.finish(base, keys, deleted)
    if staged:
        if any(it not in keys and it not in deleted.documents for it, _ in versions.numbers(staged)):
            raise External(f"the source did not offer all keys of version {offered.version}", hint="try again")
        directory = base / "versions" / offered.version
        directory.parent.mkdir(exist_ok=True)
        if directory.exists():  # another file of the same id, or a damaged one: it may be the one that answers
            exchange(staged, directory)
        else:
            staged.rename(directory)
        sync_path(directory.parent)
    if offered.retrieval:
        write_atomically(base / retrieval.NAME, offered.retrieval, 0o600)
    else:
        (base / retrieval.NAME).unlink(missing_ok=True)


def _prune(base: Path, offered: Offer) -> None:
    """Remove versions that the source does not have, but the one that answers: it would not delete anything in them."""
    current = (base / versions.CURRENT).resolve().name
    for name, card in list(offer.cards(base)):
        if name != current and offered.kept.get(name) != card:
            versions.remove(base, name)


def roll_back(base: Path, name: str, key_file: Path | None = None) -> None:
    """Have a version answer that is kept, until the source has a new one; the errors of `versions.roll_back`."""
    base = base.resolve()
    with locked(base / "sync"):
        state, current = status(base), (base / versions.CURRENT).resolve().name
        versions.roll_back(base, name, key_file)
        _save(base, replace(state, held=current if current != name else ""))


def status(base: Path) -> SyncState:
    """Return what was copied last; BadInput where nothing was."""
    found = read(base / versions.COPIED, SyncState, "dualtrack sync run makes it anew")
    if found is None:
        raise BadInput(f"{base} is not a copy of a knowledge base", hint="dualtrack sync run --from SOURCE makes one")
    return found


def _save(base: Path, state: SyncState) -> None:
    write_atomically(base / versions.COPIED, msgspec.json.format(msgspec.json.encode(state), indent=1), 0o600)
