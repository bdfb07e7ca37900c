"""Legal holds: whose records stay, why, since when and by whom; a file beside the authority, with each change in it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal

import msgspec

from dualtrack.core import files
from dualtrack.core.errors import BadInput, Refused
from dualtrack.core.operator import operator
from dualtrack.security.audit import index_documents

FILE = "holds.json"


class HoldChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A hold that began or was released: when (nanoseconds since 1970), by whom, and why.

    ``until`` is the last day of a hold that ends automatically (2026-12-31), '' for one that must be released.
    """

    at: int
    by: str
    action: Literal["hold", "release"]
    host: str
    reason: str
    until: str = ""


class Ledger(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All changes, the oldest first: what is held follows from them."""

    changes: tuple[HoldChange, ...] = ()


def active(changes: Sequence[HoldChange], today: date) -> list[HoldChange]:
    """Return the holds that are in force on a day (pure), each with its host and reason."""
    found = dict[tuple[str, str], HoldChange]()
    for it in changes:
        if it.action == "hold":
            found[it.host, it.reason] = it
        else:
            found.pop((it.host, it.reason), None)
    return [it for it in found.values() if not it.until or date.fromisoformat(it.until) >= today]


def read(folder: Path) -> tuple[HoldChange, ...]:
    """Return all changes; BadInput for a file that is damaged: nothing is removed then."""
    hint = "bring it back from a backup: it says what must stay"
    return (files.read(folder / FILE, Ledger, hint) or Ledger()).changes


@contextlib.contextmanager
def unchanged(folder: Path) -> Iterator[tuple[HoldChange, ...]]:
    """Return all changes, and let nobody add one meanwhile: what is removed inside was not held."""
    with files.locked(folder / FILE):
        yield read(folder)


def hold(folder: Path, host: str, reason: str, until: str = "", *, now: int = 0) -> HoldChange:
    """Hold a host's records, and note it; BadInput for a name or a day that is none."""
    if not reason.strip():
        raise BadInput("a hold has a reason", hint="--reason 'case 2026-17'")
    change = HoldChange(
        at=now or time.time_ns(),
        by=operator(),
        action="hold",
        host=index_documents.host(host),
        reason=reason.strip(),
        until=until,
    )
    try:
        over = bool(until) and date.fromisoformat(until) < day(change.at)
    except ValueError:
        raise BadInput(f"{until!r} is not a day", hint="2026-12-31") from None
    if over:
        raise BadInput(f"{until} is over")
    with files.locked(folder / FILE):
        _write(folder, (*read(folder), change))
    return change


def find(changes: Sequence[HoldChange], host: str, reason: str = "", *, now: int = 0) -> HoldChange:
    """Return a hold in force. BadInput where there is none, Refused where it is one of several and not named."""
    today = day(now or time.time_ns())
    found = [it for it in active(changes, today) if it.host == host and reason in ("", it.reason)]
    if not found:
        raise BadInput(f"{host} is not held{f' for {reason!r}' if reason else ''}", hint="dualtrack audit holds")
    if len(found) > 1:
        raise Refused(f"{host} is held {len(found)} times", hint=f"--reason {found[0].reason!r}, or another one")
    return found[0]


def release(folder: Path, host: str, reason: str = "", *, now: int = 0) -> HoldChange:
    """End a hold, and note it; the errors of `find`."""
    now = now or time.time_ns()
    with files.locked(folder / FILE):
        changes = read(folder)
        held = find(changes, host, reason, now=now)
        change = HoldChange(at=now, by=operator(), action="release", host=host, reason=held.reason)
        _write(folder, (*changes, change))
    return change


def day(now: int) -> date:
    """Return the day (UTC) of a time in nanoseconds since 1970."""
    return datetime.fromtimestamp(now // 10**9, UTC).date()


def _write(folder: Path, changes: tuple[HoldChange, ...]) -> None:
    files.write_atomically(folder / FILE, msgspec.json.format(msgspec.json.encode(Ledger(changes)), indent=1) + b"\n")
