"""What a stack's pools cost: instances, dated prices and sums, from the variables of a plan. Pure.

The sums hold the instances alone. Of several types that a pool may take, the most expensive counts: nobody pays more
than it says. What has no known price is named, and the sum is then the least that it can be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from dualtrack.cloud.pools.costs import dates, dearest, spot_usd
from dualtrack.cloud.prices import MONTH_HOURS
from dualtrack.cloud.prices.book import Book

#: What the stack adds to the variable `serving` where it is silent (terraform/stacks/aws/variables.tf).
SERVING = {"desired": 1, "max": 2, "on_demand_base": 1}
Bought = Literal["on-demand", "spot"]
#: What the sums do not hold.
NOT_COUNTED = "disks, traffic, addresses, requests, load balancers, tax"


class PoolBill(msgspec.Struct, frozen=True, kw_only=True):
    """One pool. ``desired`` and ``most`` count instances: at first, and what the pool may grow to.

    Of its instances, the first ``on_demand_base`` are bought on demand: all of an on-demand pool. US$ are of one
    instance and hour for ``on_demand_usd`` and ``spot_usd``, and of all of them for the two others; None where no price
    is known.
    """

    pool: str
    lifecycle: str
    types: tuple[str, ...]
    image: str
    desired: int
    most: int
    on_demand_base: int
    on_demand_usd: float | None
    spot_usd: float | None
    usd_per_hour: float | None = None
    most_usd_per_hour: float | None = None

    def bought(self, count: int) -> dict[Bought, int]:
        """Return how many of ``count`` instances are bought in which way."""
        base = min(count, self.on_demand_base)
        return {"on-demand": base, "spot": count - base}

    def cost(self, count: int) -> float | None:
        """Return the US$ per hour of ``count`` instances, None where a price that they need is not known."""
        number = self.bought(count)
        parts = [(number["on-demand"], self.on_demand_usd), (number["spot"], self.spot_usd)]
        if any(wanted and usd is None for wanted, usd in parts):
            return None
        return sum(wanted * (usd or 0.0) for wanted, usd in parts)


class Bill(msgspec.Struct, frozen=True, kw_only=True):
    """All pools of a plan, in US$; ``unpriced`` names types without a price, ``prices`` how old the others are."""

    region: str
    pools: tuple[PoolBill, ...]
    usd_per_hour: float
    usd_per_month: float
    most_usd_per_hour: float
    most_usd_per_month: float
    budget_usd_per_month: float | None
    unpriced: tuple[str, ...]
    prices: tuple[str, ...]


def bill(variables: Mapping[str, Any], book: Book, now: float) -> Bill:
    """Return what the pools of a stack cost at ``now`` (seconds since 1970).

    ``variables`` are a plan's: `region`, `image`, `network`, `pools`, `serving` and `watch` as the stack declares them.
    """
    region = str(variables["region"])
    zones = tuple((variables.get("network") or {}).get("subnets") or ())
    image = str((variables.get("image") or {}).get("id", ""))
    pools = dict(variables.get("pools") or {})
    if serving := variables.get("serving"):
        pools["serving"] = {
            **SERVING,
            **{name: it for name, it in serving.items() if it is not None},
            "lifecycle": "spot",
        }
    rows = tuple(_pool(name, pool, image, _Prices(book, region, zones, now)) for name, pool in sorted(pools.items()))
    hour, most = (sum(getattr(it, name) or 0.0 for it in rows) for name in ("usd_per_hour", "most_usd_per_hour"))
    return Bill(
        region=region, pools=rows, usd_per_hour=hour, usd_per_month=hour * MONTH_HOURS, most_usd_per_hour=most,
        most_usd_per_month=most * MONTH_HOURS, budget_usd_per_month=(variables.get("watch") or {}).get("budget_usd"),
        unpriced=tuple(sorted(set(_unpriced(rows)))),
        prices=dates({type_ for it in rows for type_ in it.types}, region, book),
    )  # fmt: skip


class _Prices:
    """Prices of types in one place and moment: the highest of several, None where one has none."""

    def __init__(self, book: Book, region: str, zones: Iterable[str], now: float) -> None:
        self.book, self.region, self.zones, self.now = book, region, tuple(zones) or (region,), now

    def on_demand(self, types: Iterable[str]) -> float | None:
        return dearest(types, self.book, self.region)

    def spot(self, types: Iterable[str]) -> float | None:
        found = [spot_usd(self.book.spot(it, zone), self.now) for it in types for zone in self.zones]
        return None if None in found else max((it for it in found if it is not None), default=None)


def _pool(name: str, pool: Mapping[str, Any], image: str, prices: _Prices) -> PoolBill:
    types = tuple(pool.get("instance_types") or ())
    spot = pool.get("lifecycle") == "spot"
    scheduled = [int(it["desired"]) for it in (pool.get("schedules") or {}).values()]
    desired = int(pool["desired"])
    most = max(int(pool["max"]), desired, *scheduled)

    row = PoolBill(
        pool=name, lifecycle=str(pool.get("lifecycle")), types=types,
        image=(pool.get("image") or {}).get("id", image), desired=desired, most=most,
        on_demand_base=int(pool.get("on_demand_base") or 0) if spot else most,
        on_demand_usd=prices.on_demand(types), spot_usd=prices.spot(types) if spot else None,
    )  # fmt: skip
    return replace(row, usd_per_hour=row.cost(desired), most_usd_per_hour=row.cost(most))


def _unpriced(rows: Iterable[PoolBill]) -> Iterable[str]:
    for it in rows:
        if it.most_usd_per_hour is None:
            kind = "spot" if it.on_demand_usd is not None else "on-demand"
            yield f"pool {it.pool}: no {kind} price is known for all of {', '.join(it.types)}"
