"""Which days' indices may go (pure): old enough, not held, in a snapshot, and only from the begin of a host's chain.

What goes is a prefix of the chain, so that what stays is still a chain: an index of which a record comes after one that
stays is kept, however old its date says it is. So nobody makes room in the middle by a clock that is wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any

import msgspec

from dualtrack.security.audit import holds, index_documents
from dualtrack.security.audit.snapshots import RUNNING, Snapshot


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """A day of a host: the numbers of its first and last record and of its first and last head, 0 where it has none."""

    name: str
    host: str
    day: date
    first: int
    last: int
    heads: tuple[int, int]
    documents: int


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of an index, and why; ``wrong`` where it stays because something is not as it should be."""

    index: str
    host: str
    goes: bool
    why: str
    wrong: bool = False


def parse(bucket: Mapping[str, Any]) -> Index | None:
    """Return an index as the store counts it (SURVEY in `retain`); None for one whose name has no host and day."""
    found = index_documents.INDEX.fullmatch(bucket["key"])
    try:
        when = date(*map(int, found.groups()[1:])) if found else None
    except ValueError:
        when = None
    if found is None or when is None:
        return None
    first, last, head, heads = (int(bucket[it]["value"] or 0) for it in ("first", "last", "head", "heads"))
    return Index(
        name=found[0],
        host=found[1],
        day=when,
        first=first,
        last=last,
        heads=(head, heads),
        documents=int(bucket["doc_count"]),
    )


def plan(
    indices: Iterable[Index], snapshots: Sequence[Snapshot], held: Mapping[str, str], *, today: date, days: int
) -> list[Verdict]:
    """Return what becomes of each index when records are kept for ``days`` days. ``held``: a host to the reason."""
    saved = [it for it in snapshots if it.whole]
    found = []
    for host, group in groupby(sorted(indices, key=lambda it: (it.host, it.day)), key=lambda it: it.host):
        mine = list(group)
        why = {it.name: _stays(it, mine[-1], saved, held, today, days) for it in mine}
        _ordered(mine, why)
        found += [
            Verdict(index=it.name, host=host, goes=not why[it.name], why=why[it.name] or _age(it, today)) for it in mine
        ]
    return found


def _age(it: Index, today: date) -> str:
    return f"{(today - it.day).days} days old"


def _stays(it: Index, newest: Index, saved: Sequence[Snapshot], held: Mapping[str, str], today: date, days: int) -> str:
    """Return why an index stays, looked at for itself; '' for one that may go."""
    if it.host in held:
        return f"held: {held[it.host]}"
    if it is newest:
        return "the newest of its host"
    if (today - it.day).days <= days:
        return _age(it, today)
    over = datetime(it.day.year, it.day.month, it.day.day, tzinfo=UTC) + timedelta(days=1)
    if not any(it.name in one.indices and one.begun >= over.timestamp() * 10**9 for one in saved):
        return "in no whole snapshot that was begun after its day"
    return ""


def _ordered(mine: Sequence[Index], why: dict[str, str]) -> None:
    """Keep what is not the begin of the chain: until all that goes comes before all that stays."""
    while True:
        kept = [it for it in mine if why[it.name]]
        record = min((it.first for it in kept if it.first), default=0)
        head = min((it.heads[0] for it in kept if it.heads[0]), default=0)
        late = [it for it in mine if not why[it.name] and (it.last >= record or it.heads[1] >= head)]
        if not late:
            return
        for it in late:
            why[it.name] = "what stays does not continue behind it"


def expired_snapshots(
    snapshots: Sequence[Snapshot], live: Collection[str], held: Mapping[str, str], *, today: date, days: int
) -> list[Verdict]:
    """Return what becomes of each snapshot when they are kept for ``days`` days; ``live`` is what the store has.

    What is in none but those that go is gone for good then; what is held stays in one, or in the store.
    """
    found, whole, there = list[Verdict](), [it for it in snapshots if it.whole], set(live)
    newest, copies = whole[-1:], Counter(name for it in whole for name in it.indices)
    for it in snapshots:
        age = (today - holds.day(it.begun)).days
        last = [name for name in it.indices if it.whole and copies[name] == 1 and name not in there]
        only = [name for name in last if index_documents.host_of(name) in held]
        why = (
            f"{age} days old" if age <= days
            else "the newest whole one" if it in newest
            else "it is being taken" if it.state == RUNNING
            else f"held, and in no other: {only[0]}" if only
            else ""
        )  # fmt: skip
        if not why and it.whole:
            copies.subtract(it.indices)
        found.append(Verdict(index=it.name, host="", goes=not why, why=why or f"{age} days old"))
    return found
