"""What the pools of a plan cost, for people: a table, the sums, and how old the prices are."""

from __future__ import annotations

from collections.abc import Iterator

from dualtrack.cloud.bill import NOT_COUNTED, Bill
from dualtrack.cloud.preflight import Preflight
from dualtrack.core.output import echo, table

COLUMNS = ("pool", "instances", "type", "bought", "image", "on demand $/h", "spot $/h", "desired $/h", "at most $/h")


def prices(found: Bill, *, err: bool = False) -> None:
    """Print a bill on stdout, or on stderr with ``err``."""
    rows = [
        (
            it.pool, f"{it.desired}, at most {it.most}", " or ".join(it.types), it.lifecycle, it.image,
            _usd(it.on_demand_usd), _usd(it.spot_usd) if it.lifecycle == "spot" else "", _usd(it.usd_per_hour),
            _usd(it.most_usd_per_hour),
        )
        for it in found.pools
    ]  # fmt: skip
    table(COLUMNS, rows, title=f"What the pools cost in {found.region}", err=err)
    for line in _lines(found):
        echo(line, err=err)


def preflight(found: Preflight, *, err: bool = False) -> None:
    """Print the quotas that the pools need, and why they cannot start."""
    for it in found.quotas:
        has = "it is not known how many the account may run" if it.has is None else f"the account may run {it.has}"
        echo(f"quota    {it.family} instances, {it.bought}: {it.needs} vCPUs, at most {it.most}; {has}", err=err)
    for line in found.unchecked:
        echo(f"unknown  {line}", err=err)
    for problem in found.problems:
        echo(f"missing  {problem}", err=err)


def _lines(found: Bill) -> Iterator[str]:
    least = "at least " if found.unpriced else ""
    yield f"desired  {least}${found.usd_per_hour:,.2f} an hour, ${found.usd_per_month:,.0f} a month"
    yield (
        f"at most  {least}${found.most_usd_per_hour:,.2f} an hour, ${found.most_usd_per_month:,.0f} a month,"
        " with every pool at its largest"
    )
    budget = found.budget_usd_per_month
    yield "budget   " + (f"${budget:,.0f} a month" if budget else "none is set (watch.budget_usd)")
    yield from (f"unknown  {it}" for it in found.unpriced)
    yield from (f"prices   on demand, {it}" for it in found.prices)
    yield f"not in these sums: {NOT_COUNTED}"


def _usd(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:,.2f}" if value >= 1 or not value else f"{value:.3f}"
