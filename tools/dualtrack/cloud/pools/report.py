"""What the watch brought: the timeline, and the money, calculated from its journal and the price facts. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from dualtrack.cloud.pools.costs import spot_usd
from dualtrack.cloud.pools.state import Entry
from dualtrack.cloud.prices.book import Book

#: Two counts further apart than this have an unseen time between them: nobody knows what ran then. In seconds.
SEEN_S = 1800.0


class PoolsRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one pool's nodes of one kind cost. ``usd`` and ``usd_on_demand`` are None where a price is not known."""

    pool: str
    type: str
    lifecycle: str
    node_hours: float
    usd: float | None
    usd_on_demand: float | None  # the same hours bought on demand


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the timeline; ``at`` in seconds since the epoch."""

    at: float
    kind: str
    pool: str
    reason: str
    applied: bool


class PoolsReport(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of it; times in seconds since the epoch, money in US$.

    ``saved`` is what spot saved against on-demand at the same hours; ``fallback_hours`` and ``fallback_extra`` what
    on-demand fallback took, and what it cost beyond the price of spot. None where a price is not known.
    """

    since: float
    until: float
    seen_hours: float
    unseen_hours: float
    rows: tuple[PoolsRow, ...]
    usd: float | None
    usd_on_demand: float | None
    saved: float | None
    fallback_hours: float = msgspec.field(name="stand_in_hours")
    fallback_extra: float | None = msgspec.field(name="stand_in_extra")
    events: tuple[Event, ...]
    unreadable: int
    prices: tuple[str, ...]


def report(
    entries: Sequence[Entry], book: Book, *, since: float = 0.0, until: float = 0.0, unreadable: int = 0
) -> PoolsReport:
    """Return what a journal tells between two moments (0: its beginning, its end); see `PoolsReport`."""
    ordered = sorted(entries, key=lambda it: it.at)
    region = next((it.region for it in reversed(ordered) if it.region), "")
    end = until or (ordered[-1].at if ordered else 0.0)
    begin = max(since, ordered[0].at) if ordered else since
    hours: dict[tuple[str, str, str], float] = defaultdict(float)
    money: dict[tuple[str, str, str], list[float | None]] = defaultdict(lambda: [0.0, 0.0])
    seen = unseen = stood = 0.0
    extra: float | None = 0.0
    counts = [it for it in ordered if it.kind == "nodes"]
    for entry, until_next in zip(counts, [*(it.at for it in counts[1:]), end][: len(counts)], strict=True):
        start, stop = max(entry.at, begin), min(until_next, end)
        if stop <= start:
            continue
        span = (stop - start) / 3600
        if until_next - entry.at > SEEN_S:
            unseen += span
            continue
        seen += span
        for count in entry.counts:
            hours[count.pool, count.type, count.lifecycle] += count.nodes * span
            usual = book.on_demand(count.type, region)
            price = (usual.usd if usual else None) if count.lifecycle == "on-demand" else spot_usd(
                book.spot(count.type, count.zone or region), start
            )  # fmt: skip
            row = money[count.pool, count.type, count.lifecycle]
            row[0] = _plus(row[0], price, count.nodes * span)
            row[1] = _plus(row[1], usual.usd if usual else None, count.nodes * span)
        for pool, raised in entry.fallback.items():
            nodes = min(
                raised, sum(it.nodes for it in entry.counts if it.pool == pool)
            )  # what was asked for may not be there
            if not nodes:
                continue
            stood += nodes * span
            extra = _plus(extra, _gap(entry, pool, book, region, start), nodes * span)
    rows = tuple(
        PoolsRow(
            pool=pool,
            type=kind,
            lifecycle=lifecycle,
            node_hours=hours[pool, kind, lifecycle],
            usd=usd,
            usd_on_demand=usual_usd,
        )
        for (pool, kind, lifecycle), (usd, usual_usd) in sorted(money.items(), key=lambda it: it[0])
    )
    usd, full = _sum(row.usd for row in rows), _sum(row.usd_on_demand for row in rows)
    events = tuple(
        Event(at=it.at, kind=it.kind, pool=it.pool, reason=it.reason, applied=it.applied)
        for it in ordered
        if it.kind != "nodes" and begin <= it.at <= end
    )
    taken = sorted({
        f"{row.type}: {fact.taken} ({fact.source})"
        for row in rows
        if (fact := book.on_demand(row.type, region)) is not None
    })  # fmt: skip
    return PoolsReport(
        since=begin,
        until=end,
        seen_hours=seen,
        unseen_hours=unseen,
        rows=rows,
        usd=usd,
        usd_on_demand=full,
        saved=None if usd is None or full is None else full - usd,
        fallback_hours=stood,
        fallback_extra=extra,
        events=events,
        unreadable=unreadable,
        prices=tuple(taken),
    )


def _gap(entry: Entry, pool: str, book: Book, region: str, at: float) -> float | None:
    """Return how much more an hour of an on-demand pool's node costs than spot would; None where not known."""
    type_ = next((it.type for it in entry.counts if it.pool == pool), "")
    usual, spot = book.on_demand(type_, region), spot_usd(book.spot(type_, region), at)
    return usual.usd - spot if usual is not None and spot is not None else None


def _plus(total: float | None, price: float | None, hours: float) -> float | None:
    return None if total is None or price is None else total + price * hours


def _sum(values: Iterable[float | None]) -> float | None:
    found = list(values)
    return None if any(it is None for it in found) else sum(it for it in found if it is not None)
