"""What runs now, and its cost: instances by pool, stored bytes by class, owned servers, against a budget. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from dualtrack.cloud.pools.costs import spot_usd
from dualtrack.cloud.prices import MONTH_DAYS, MONTH_HOURS
from dualtrack.cloud.prices.book import Book
from dualtrack.cloud.prices.storage import GB, Storage
from dualtrack.inventory import ec2
from dualtrack.inventory.contract import Output
from dualtrack.inventory.facts import Server

#: What stands in the place of a pool for instances without our tags.
UNTAGGED = "(untagged)"
NOT_COUNTED = "not counted: disks of the instances, traffic, requests, the control planes, tax"


class CostRow(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of thing that costs. ``quantity`` counts nodes, GB or servers; US$ are None where no price is known."""

    track: str
    name: str
    kind: str
    lifecycle: str
    quantity: float
    unit: str
    usd_per_hour: float | None
    usd_per_month: float | None


class CostReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `dualtrack cost report` prints: US$; a month has 365.25 / 12 days.

    The sums hold what is priced: with anything in ``unpriced`` they are the least that it can be.
    """

    region: str
    rows: tuple[CostRow, ...]
    usd_per_hour: float
    usd_per_month: float
    budget_usd_per_month: float | None
    cny_per_usd: float
    unpriced: tuple[str, ...]
    findings: tuple[str, ...]
    prices: tuple[str, ...]
    notes: tuple[str, ...]


class Seen(msgspec.Struct, frozen=True):
    """What was found: instances of the region, bytes by (class of data, storage class), one's own servers."""

    instances: tuple[ec2.Instance, ...]
    stored: Mapping[tuple[str, str], int]
    servers: tuple[Server, ...]


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What things cost; ``exchange`` is ¥ for a US$, as of ``exchange_taken``. ``now``: seconds since 1970."""

    book: Book
    storage: Storage
    exchange: float
    exchange_taken: str
    now: float


def report(output: Output, deployment: str, seen: Seen, facts: Facts, budget: float | None) -> CostReport:
    """Return what runs now costs, the most expensive first, and what is not in order with it."""
    ours = [it for it in seen.instances if it.tag_deployment in ("", deployment)]
    rows = [*_nodes(output, ours, facts), *_tiers(output.region, seen.stored, facts.storage), *_servers(seen, facts)]
    rows.sort(key=lambda row: -(row.usd_per_month or 0))
    hour, month = (sum(getattr(row, name) or 0 for row in rows) for name in ("usd_per_hour", "usd_per_month"))
    unpriced = tuple(
        f"{row.quantity:g} {row.unit} {row.name} ({row.kind})" for row in rows if row.usd_per_month is None
    )
    others = len(seen.instances) - len(ours)
    notes = [NOT_COUNTED]
    if others:
        notes.append(f"{others} instances of other deployments run in {output.region}, too: not counted")
    return CostReport(
        region=output.region,
        rows=tuple(rows),
        usd_per_hour=hour,
        usd_per_month=month,
        budget_usd_per_month=budget,
        cny_per_usd=facts.exchange,
        unpriced=unpriced,
        findings=tuple(_findings(ours, output, month, budget, unpriced)),
        prices=_dates(rows, output.region, facts),
        notes=tuple(notes),
    )


def _tagged(it: ec2.Instance, output: Output) -> bool:
    return bool(it.tag_deployment) and it.tag_pool in output.pools


def _nodes(output: Output, instances: Iterable[ec2.Instance], facts: Facts) -> Iterable[CostRow]:
    kinds: Counter[tuple[str, str, str, str]] = Counter()
    for it in instances:
        known = _tagged(it, output)
        pool = output.pools.get(it.tag_pool) if known else None
        kinds[it.tag_pool if known else UNTAGGED, it.type, ec2.lifecycle(it, pool), it.zone] += 1
    merged: dict[tuple[str, str, str], list[float | None]] = {}
    counts: Counter[tuple[str, str, str]] = Counter()
    for (pool_name, type_, lifecycle, zone), count in kinds.items():
        price = _hour(facts, type_, lifecycle, zone)
        key = pool_name, type_, lifecycle
        counts[key] += count
        merged.setdefault(key, []).append(None if price is None else price * count)
    for (name, type_, lifecycle), prices in merged.items():
        known_prices = [it for it in prices if it is not None]
        hour = sum(known_prices) if len(known_prices) == len(prices) else None
        nodes = counts[name, type_, lifecycle]
        yield CostRow(
            track="cloud",
            name=name,
            kind=type_,
            lifecycle=lifecycle,
            quantity=nodes,
            unit="nodes",
            usd_per_hour=hour,
            usd_per_month=None if hour is None else hour * MONTH_HOURS,
        )


def _hour(facts: Facts, type_: str, lifecycle: str, zone: str) -> float | None:
    if lifecycle == "spot":
        return spot_usd(facts.book.spot(type_, zone), facts.now)
    found = facts.book.on_demand(type_, zone)
    return found.usd if found else None


def _tiers(region: str, stored: Mapping[tuple[str, str], int], storage: Storage) -> Iterable[CostRow]:
    for (name, class_), size in stored.items():
        price = storage.of(class_, region)
        month = None if price is None else price.month_usd_per_gb * size / GB
        yield CostRow(
            track="cloud",
            name=name,
            kind=class_,
            lifecycle="",
            quantity=size / GB,
            unit="GB",
            usd_per_hour=None if month is None else month / MONTH_HOURS,
            usd_per_month=month,
        )


def _servers(seen: Seen, facts: Facts) -> Iterable[CostRow]:
    for it in seen.servers:
        month = None if it.cny_per_day is None else it.cny_per_day * MONTH_DAYS / facts.exchange
        hour = None if month is None else month / MONTH_HOURS
        yield CostRow(
            track="local",
            name=it.name,
            kind="+".join(it.roles),
            lifecycle="owned",
            quantity=1,
            unit="servers",
            usd_per_hour=hour,
            usd_per_month=month,
        )


def _findings(
    ours: Iterable[ec2.Instance], output: Output, month: float, budget: float | None, unpriced: tuple[str, ...]
) -> Iterable[str]:
    bare = [it.id for it in ours if not _tagged(it, output)]
    if bare:
        names = ", ".join(bare[:3]) + (f" and {len(bare) - 3} more" if len(bare) > 3 else "")
        yield f"without the tags dualtrack:deployment and dualtrack:pool: {names}: nobody knows whose they are"
    if budget is not None and month > budget:
        yield f"US$ {month:,.2f} a month is over the budget of US$ {budget:,.2f}"
    elif budget is not None and unpriced:
        yield "whether the budget holds is not known: not everything has a price"


def _dates(rows: Iterable[CostRow], region: str, facts: Facts) -> tuple[str, ...]:
    found = set()
    for row in rows:
        if row.usd_per_month is None:
            continue
        if row.unit == "nodes":
            fact = (
                facts.book.spot(row.kind, region) if row.lifecycle == "spot" else facts.book.on_demand(row.kind, region)
            )
            if fact:
                found.add(f"{row.kind}: {fact.taken} ({fact.source})")
        elif row.unit == "GB":
            source = facts.storage.classes[row.kind].source
            found.add(f"S3 {row.kind}: {facts.storage.sources[source].taken} ({source})")
        else:
            found.add(f"¥{facts.exchange:g} for a US$: {facts.exchange_taken}")
    return tuple(sorted(found))
