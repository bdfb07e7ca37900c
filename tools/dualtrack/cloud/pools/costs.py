"""What pools cost: US$ a day of a node bought on demand, by the price facts. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from dualtrack.cloud.prices.book import Book, Spot, earliest
from dualtrack.inventory import contract

HOURS = 24


def by_pool(output: contract.Output, book: Book) -> dict[str, float | None]:
    """Return US$ a day of a node of each GPU pool on demand: of its most expensive type, None where none is known."""
    return {
        name: None if (usd := dearest(pool.instance_types, book, output.region)) is None else usd * HOURS
        for name, pool in output.pools.items()
        if pool.gpus
    }


def dearest(types: Iterable[str], book: Book, region: str) -> float | None:
    """Return US$ an hour on demand of the most expensive type; None where one has no known price, or there is none."""
    facts = [book.on_demand(it, region) for it in types]
    known = [fact.usd for fact in facts if fact is not None]
    return max(known) if known and len(known) == len(facts) else None


def dates(types: Iterable[str], region: str, book: Book) -> tuple[str, ...]:
    """Return how old the on-demand prices of types are, one line for each date and source, the oldest first."""
    facts = [(it, fact) for it in sorted(types) if (fact := book.on_demand(it, region))]
    lines: dict[tuple[str, str], list[str]] = {}
    for name, fact in facts:
        lines.setdefault((fact.taken, fact.source), []).append(name)
    ordered = sorted(lines.items(), key=lambda it: earliest(it[0][0]))
    return tuple(f"{', '.join(names)}: {taken} ({source})" for (taken, source), names in ordered)


def spot_usd(found: Spot | None, at: float) -> float | None:
    """Return US$ an hour of a spot price at a moment, the higher price of a range; None where nothing is known."""
    if found is None:
        return None
    if found.level is not None:
        return found.level.usd
    if found.by_hour is not None:
        return found.by_hour[int(at // 3600) % HOURS]
    before = [usd for when, usd in found.history or () if when <= at < when + found.holds]
    return before[-1] if before else None
