"""What each class of data costs by tier, what a restore of it takes, and whether that keeps its budget. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from dualtrack.cloud.prices import MONTH_DAYS
from dualtrack.cloud.prices.storage import GB, Restore, Storage
from dualtrack.core.errors import BadInput


class Class(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One class of data as the stack's variable `storage` has it; days from its upload, None for never.

    ``write_once``: the bucket's policy refuses to replace an object. It changes no price.
    """

    ia_days: int | None = None
    deep_archive_days: int | None = None
    noncurrent_days: int = 0
    recovery_hours: float | None = None
    write_once: bool = False


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """One way to read a tier again: how long it may take, and what it costs for all of the class in US$."""

    name: str
    hours: float
    usd: float
    fits: bool


class Tier(msgspec.Struct, frozen=True, kw_only=True):
    """One tier that the class passes: from which day, what a month in it costs, and the ways to read it."""

    storage_class: str
    from_day: int
    usd_per_month: float
    least_usd: float
    ways: tuple[Way, ...]


class TierRow(msgspec.Struct, frozen=True, kw_only=True):
    """One class: ``gb`` of 10^9 bytes in ``objects``; ``problem`` says how its budget is broken, '' when it is not."""

    name: str
    gb: float
    objects: int
    recovery_hours: float | None
    tiers: tuple[Tier, ...]
    all_standard_usd: float
    year_usd: float
    year_standard_usd: float
    problem: str


class TiersPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What `dualtrack tiers plan` prints."""

    region: str
    rows: tuple[TierRow, ...]
    prices: tuple[str, ...]
    notes: tuple[str, ...]


class Amount(msgspec.Struct, frozen=True):
    """How much there is of a class."""

    bytes: int
    objects: int


def classes(values: Mapping[str, Any]) -> dict[str, Class]:
    """Return the stack's classes of data; BadInput names the one that is not as variables.tf declares it."""
    try:
        return {name: msgspec.convert(dict(it), Class, strict=False) for name, it in dict(values["storage"]).items()}
    except (KeyError, TypeError, ValueError, msgspec.ValidationError) as error:
        raise BadInput(f"the stack's variable storage is not as it is declared: {error}") from None


def plan(region: str, of: Mapping[str, Class], amounts: Mapping[str, Amount], prices: Storage) -> TiersPlan:
    """Return what each class costs; BadInput where a price is not known or an amount is of no class."""
    unknown = sorted(set(amounts) - set(of))
    if unknown:
        raise BadInput(f"there is no class of data {unknown[0]}", hint=f"the stack has {', '.join(sorted(of))}")
    rows = tuple(_row(region, name, of[name], amounts[name], prices) for name in sorted(amounts))
    used = {tier.storage_class for row in rows for tier in row.tiers}
    sources = {prices.classes[name].source for name in used}
    dates = tuple(f"{prices.sources[name].what} ({prices.sources[name].taken})" for name in sorted(sources))
    return TiersPlan(region=region, rows=rows, prices=dates, notes=(
        "not counted: traffic out of AWS, requests but those of a restore, versions that were replaced",
        "objects in an archive are billed 40 KB more each: archive few large ones",
    ))  # fmt: skip


def _row(region: str, name: str, of: Class, amount: Amount, prices: Storage) -> TierRow:
    stages = [("STANDARD", 0)]
    stages += [("STANDARD_IA", of.ia_days)] if of.ia_days is not None else []
    stages += [("DEEP_ARCHIVE", of.deep_archive_days)] if of.deep_archive_days is not None else []
    tiers = tuple(_tier(region, class_, day, of.recovery_hours, amount, prices) for class_, day in stages)
    problem = next(_problems(name, of, tiers), "")
    standard = tiers[0].usd_per_month
    return TierRow(
        name=name,
        gb=amount.bytes / GB,
        objects=amount.objects,
        recovery_hours=of.recovery_hours,
        tiers=tiers,
        all_standard_usd=standard,
        year_usd=_year(tiers),
        year_standard_usd=standard * 365 / MONTH_DAYS,
        problem=problem,
    )


def _tier(region: str, class_: str, day: int, budget: float | None, amount: Amount, prices: Storage) -> Tier:
    price = prices.of(class_, region)
    if price is None:
        raise BadInput(f"what {class_} costs in {region} is not known", hint="--storage-prices FILE")
    month = price.month_usd_per_gb * amount.bytes / GB
    ways = tuple(
        Way(name=name, hours=way.hours, usd=restore_usd(way, amount), fits=budget is None or way.hours <= budget)
        for name, way in sorted(price.restores.items(), key=lambda it: it[1].hours)
    )
    return Tier(
        storage_class=class_,
        from_day=day,
        usd_per_month=month,
        least_usd=month * price.least_days / MONTH_DAYS,
        ways=ways,
    )


def restore_usd(way: Restore, amount: Amount) -> float:
    """Return what reading everything by one way costs: by the GB, and by the thousand objects."""
    return way.usd_per_gb * amount.bytes / GB + way.usd_per_1000 * amount.objects / 1000


def _problems(name: str, of: Class, tiers: tuple[Tier, ...]) -> Iterator[str]:
    if of.recovery_hours is not None and not (0 < of.recovery_hours < math.inf):
        yield f"{name}: a recovery budget of {of.recovery_hours:g} hours cannot be kept"
    for tier in tiers:
        if tier.ways and not any(way.fits for way in tier.ways):
            fastest = min(way.hours for way in tier.ways)
            yield (
                f"{name} goes to {tier.storage_class} after {tier.from_day} days, where reading takes {fastest:g}"
                f" hours: its recovery budget is {of.recovery_hours:g}"
            )


def _year(tiers: tuple[Tier, ...]) -> float:
    """Return what the first 365 days of an upload cost, tier by tier, with what a tier bills at least."""
    total = 0.0
    for tier, following in zip(tiers, (*tiers[1:], None), strict=True):
        end = 365 if following is None else min(365, following.from_day)
        days = max(0, end - tier.from_day)
        if days:
            stay = tier.usd_per_month * days / MONTH_DAYS
            total += max(stay, tier.least_usd) if following is not None else stay
    return total


def cheapest(tier: Tier) -> Way | None:
    """Return the cheapest way to read a tier that keeps the budget, None where it is read at once."""
    fitting = [way for way in tier.ways if way.fits]
    return min(fitting, key=lambda way: way.usd) if fitting else None
