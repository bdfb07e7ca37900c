"""Retention in the search store: whole days go, once it is certain that nothing is hidden by it.

Old days take no more documents; each host's trail is verified up to where they end, by the registered key; a snapshot
of them is taken; the authority notes what goes; then it goes, a host's days in one step. Whatever is found on the way
keeps them. An end in between leaves days that are still there, and at most a note of what the next run removes.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from dualtrack.core.errors import BadInput, DualtrackError, External
from dualtrack.core.files import read_whole
from dualtrack.core.operator import operator
from dualtrack.remote.opensearch import Away, SearchStore
from dualtrack.security.audit import anchors as anchoring
from dualtrack.security.audit import fetch as fetching
from dualtrack.security.audit import holds, retention_policy, retention_receipts, snapshots, verify
from dualtrack.security.audit.retention_policy import Index, Verdict
from dualtrack.security.audit.verify import Anchor

#: What is told and does not keep a day: it happened on the host, and its note says so.
TOLD = frozenset({"silent", "clock", "damaged"})
#: Indices that are looked at; a store with as many is long out of order.
MOST = 50_000
_NUMBERS = {"first": ("min", "n"), "last": ("max", "n"), "head": ("min", "segment"), "heads": ("max", "segment")}
SURVEY = {
    "size": 0, "track_total_hits": False,
    "aggs": {"indices": {
        "terms": {"field": "_index", "size": MOST},
        "aggs": {name: {how: {"field": field}} for name, (how, field) in _NUMBERS.items()},
    }},
}  # fmt: skip


#: What is noted of each host whose days go; None where it was noted before.
Notes = dict[str, retention_receipts.Note | None]


class Keeper(msgspec.Struct, frozen=True, kw_only=True):
    """What retention works with: the authority's directory, that of registered keys, anchors, where snapshots go."""

    store: SearchStore
    pki: Path
    keys: Path
    repository: str
    anchors: tuple[Anchor, ...] = ()


def survey(store: SearchStore, pattern: str = "audit-*") -> list[Index]:
    """Return the audit indices of hosts that the store has."""
    store.ask("POST", f"/{pattern}/_refresh?ignore_unavailable=true&allow_no_indices=true")
    answer = store.ask("POST", f"/{pattern}/_search?ignore_unavailable=true&allow_no_indices=true", SURVEY)
    found: dict[str, Any] = answer.get("aggregations", {}).get("indices", {"buckets": []})
    if found.get("sum_other_doc_count"):
        raise External(f"the store has more than {MOST} audit indices")
    return [it for bucket in found["buckets"] if (it := retention_policy.parse(bucket))]


class Result(msgspec.Struct, frozen=True):
    """What becomes of each index, and of each snapshot where their time was given, too."""

    indices: list[Verdict]
    snapshots: list[Verdict]


def retain(
    keeper: Keeper, days: int, *, apply: bool, saved_days: int = 0, now: int = 0,
    say: Callable[[str], object] = lambda _: None, agree: Callable[[Result], bool] = lambda _: True,
) -> Result:  # fmt: skip
    """Return what becomes of each index when ``days`` days are kept, after removing what goes (with ``apply``).

    Snapshots are kept for ``saved_days`` days, 0 for ever. ``agree`` is asked when all is verified: what goes takes no
    more documents until then, so that what is removed is what was verified. False or an exception keeps everything.
    """
    now = now or time.time_ns()
    today = holds.day(now)
    held = {it.host: it.reason for it in holds.active(holds.read(keeper.pki), today)}
    indices = survey(keeper.store)
    verdicts = retention_policy.plan(
        indices, snapshots.listed(keeper.store, keeper.repository), held, today=today, days=days
    )
    goes = {it.index for it in verdicts if it.goes}

    def result(stays: Mapping[str, str]) -> Result:
        found = [
            msgspec.structs.replace(it, goes=False, why=stays[it.host], wrong=True) if it.goes and it.host in stays
            else it
            for it in verdicts
        ]  # fmt: skip
        live = {it.name for it in indices} - {it.index for it in found if it.goes}
        taken = snapshots.listed(keeper.store, keeper.repository) if saved_days else []  # one more, maybe
        spare = (
            retention_policy.expired_snapshots(taken, live, held, today=today, days=saved_days) if saved_days else []
        )
        return Result(found, spare)

    with _blocking(keeper.store) as blocked:
        stays, notes = _verify(keeper, [it for it in indices if it.name in goes], blocked if apply else None, now, say)
        found = result(stays)
        if not apply or not agree(found):
            return found
        leaving = {host: [it for it in indices if it.host == host and it.name in goes] for host in notes}
        stays |= _remove(keeper, leaving, notes, blocked, now)
    found = result(stays)
    for it in found.snapshots:
        if it.goes:
            snapshots.remove(keeper.store, keeper.repository, it.index)
    return found


@contextlib.contextmanager
def _blocking(store: SearchStore) -> Iterator[set[str]]:
    """Yield a set for the names of indices that take no documents now; those that are in it at the end do again."""
    blocked = set[str]()
    try:
        yield blocked
    finally:
        for name in sorted(blocked):
            with contextlib.suppress(DualtrackError):
                store.ask("PUT", f"/{name}/_settings", {"index.blocks.write": None})


def _verify(
    keeper: Keeper, going: Sequence[Index], blocked: set[str] | None, now: int, say: Callable[[str], object]
) -> tuple[dict[str, str], Notes]:
    """Verify what would go; return which hosts' days stay and why, and the notes of the others.

    Where ``blocked`` is given, what is verified takes no more documents and is named there.
    """
    stays, notes = dict[str, str](), Notes()
    for host in sorted({it.host for it in going}):
        mine = [it for it in going if it.host == host]
        say(f"{host}: checking {len(mine)} days")
        if blocked is not None:
            for it in mine:
                keeper.store.ask("PUT", f"/{it.name}/_block/write")
                blocked.add(it.name)
            # What was added since it was looked at is not what was planned.
            if {it for it in survey(keeper.store, _joined(mine)) if it.host == host} != set(mine):
                stays[host] = "something was added to it just now"
                continue
        why, note = _judged(keeper, host, mine, now)
        if why:
            stays[host] = why
        else:
            notes[host] = note
    return stays, notes


def _remove(
    keeper: Keeper, leaving: Mapping[str, Sequence[Index]], notes: Notes, blocked: set[str], now: int
) -> dict[str, str]:
    """Take a snapshot of what leaves, note it and remove it; return which hosts' days stay all the same, and why."""
    stays = dict[str, str]()
    if not leaving:
        return stays
    names = sorted(it.name for mine in leaving.values() for it in mine)
    name = snapshots.called(snapshots.RETIRED, now)
    taken = snapshots.take(keeper.store, keeper.repository, name, names)
    if list(taken.indices) != names:
        raise External(f"the snapshot {name} does not hold what was asked for")
    for host, mine in leaving.items():
        with holds.unchanged(keeper.pki) as changes:
            if any(it.host == host for it in holds.active(changes, holds.day(now))):
                stays[host] = "held since just now"
                continue
            if (note := notes[host]) is not None:
                retention_receipts.add(keeper.pki, msgspec.structs.replace(note, snapshot=name))
            keeper.store.ask("DELETE", f"/{_joined(mine)}")
        blocked -= {it.name for it in mine}
    return stays


def _joined(indices: Sequence[Index]) -> str:
    return ",".join(it.name for it in indices)


def _judged(keeper: Keeper, host: str, going: Sequence[Index], now: int) -> tuple[str, retention_receipts.Note | None]:
    """Return why the days of a host stay, and the note of what goes; nothing is touched.

    Neither, where it went before and was sent again: its note is there.
    """
    key = keeper.keys / f"{host}.pem"
    if not key.is_file():
        return f"no key of it is registered: there is no {key}", None
    root = read_whole(key, 1 << 14)
    file = retention_receipts.path(keeper.pki, host)
    notes = retention_receipts.read(file, keeper.pki / "ca.pem") if file.is_file() else []
    starts = retention_receipts.starts(notes, root)
    last, head = max(it.last for it in going), max(it.heads[1] for it in going)
    if starts and last <= starts[-1].n and head <= starts[-1].segment:
        return "", None
    last = max([last, *(it.n for it in starts)])
    with tempfile.TemporaryDirectory(prefix="dta-") as scratch:
        folder = Path(scratch, "trail")
        try:
            fetching.fetch(keeper.store, host, folder, lambda _: None, last=last)
            newest = anchoring.newest(folder).segment
            anchors = [it for it in keeper.anchors if it.host == host and it.segment <= newest]
            report = verify.judge(folder, root, anchors, starts=starts)
            if bad := [it for it in report.findings if it.kind not in TOLD]:
                return f"its trail is not in order: {bad[0].kind}: {bad[0].detail}", None
            before = (notes[-1], starts[-1]) if notes else None
            t, chain, signed, epochs = retention_receipts.compose(folder, last, head, before)
        except Away:
            raise
        except (BadInput, External) as error:  # what one host sent keeps no other's days
            return str(error), None
    told = tuple(f"{it.kind}: {it.detail}" for it in report.findings)
    indices = tuple(sorted(it.name for it in going))
    return "", retention_receipts.Note(
        host=host,
        n=last,
        t=t,
        chain=chain,
        head=signed,
        epochs=epochs,
        at=now,
        by=operator(),
        indices=indices,
        snapshot="",
        findings=told,
    )
