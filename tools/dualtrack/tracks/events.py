"""What has happened to the tracks, as far as this controller keeps it: one list from several records.

Records are: decisions of the pools controller, verifications of hosts, break-glass access, and when the tracks last
changed. What happens on hosts is in their audit trails (`dualtrack audit search`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from dualtrack.cloud.pools.state import Store
from dualtrack.core.files import read
from dualtrack.core.moments import stamp
from dualtrack.core.paths import STATE
from dualtrack.inventory.deployment import Current
from dualtrack.security.access import break_glass
from dualtrack.verify import record

Source = Literal["access", "pools", "tracks", "verify"]


class Event(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """Something that happened: ``at`` is ISO 8601 in UTC, ``what`` a word, ``about`` a host, pool, person or stack."""

    at: str
    source: Source
    what: str
    about: str
    text: str


def events(state: Path = STATE) -> list[Event]:
    """Return all that is recorded, the oldest first."""
    return sorted([*_pools(state / "pools"), *_verified(state), *_access(state), *_tracks(state / "tracks.json")])


def _pools(folder: Path) -> Iterator[Event]:
    for stack in sorted(it for it in folder.glob("*") if it.is_dir()):
        for entry in Store(stack).entries()[0]:
            if entry.kind == "nodes":  # a count, once in a while
                continue
            what = entry.kind if entry.applied or entry.action is None else f"would {entry.kind}"
            about = f"{stack.name}/{entry.pool}" if entry.pool else stack.name
            yield Event(at=stamp(entry.at), source="pools", what=what, about=about, text=entry.reason)


def _verified(state: Path) -> Iterator[Event]:
    for host, it in record.load(state / "verified.json").items():
        what = "passed" if it.ok else "failed"
        yield Event(at=_utc(it.verified_at), source="verify", what=what, about=host, text="last verification")


def _utc(text: str) -> str:
    try:
        return stamp(datetime.fromisoformat(text).astimezone(UTC).timestamp())
    except ValueError:
        return text


def _access(state: Path) -> Iterator[Event]:
    for it in break_glass.list_grants(state / "access/grants.json"):
        text = f"{it.role}, grant {it.id}: {it.reason}"
        yield Event(at=stamp(it.since.timestamp()), source="access", what="break-glass", about=it.name, text=text)
        if it.until <= datetime.now(UTC):
            at = stamp(it.until.timestamp())
            yield Event(at=at, source="access", what="ended", about=it.name, text=f"{it.role}, grant {it.id}")


def _tracks(file: Path) -> Iterator[Event]:
    now = read(file, Current)
    if now is None:
        return
    up = [f"cloud ({now.stack})"] * bool(now.stack) + [f"local ({now.facts})"] * bool(now.facts)
    text = f"up since then: {', '.join(up)}" if up else "both tracks down since then"
    yield Event(at=stamp(file.stat().st_mtime), source="tracks", what="changed", about=now.stack or "local", text=text)
