"""What the planner is given and what it answers. All money is US$, all prices for one instance and one hour."""

from __future__ import annotations

import msgspec

from dualtrack.cloud.prices.market import Market


class Demand(msgspec.Struct, frozen=True):
    """GPUs wanted by hour of the operator's day (24 of them), by jobs of ``job`` GPUs each."""

    gpus: tuple[int, ...]
    job: int = 4


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the plan must keep to. Sizes are in nodes.

    ``base``: on demand at every hour. ``ceiling``: US$ a day for on-demand, None for no ceiling. ``discount``: spot is
    used where it costs this share less than on-demand, at least (0.1 for 10 %).
    """

    spot_max: int
    on_demand_max: int
    base: int = 0
    ceiling: float | None = None
    discount: float = 0.1


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """All that a plan follows from. ``gpus`` is per node; ``scores`` are AWS's, by zone, empty without them.

    Spot may be bought in the zones of ``market``; on-demand is bought in ``on_demand_zones``.
    ``repeats``: how often each hour comes on the longest day (`dualtrack.cloud.prices.day.longest`).
    """

    market: Market
    demand: Demand
    limits: Limits
    types: tuple[str, ...]
    gpus: int
    on_demand_zones: tuple[str, ...]
    scores: dict[str, int] = {}
    repeats: tuple[int, ...] = (1,) * 24


class Verdict(msgspec.Struct, frozen=True):
    """Whether a zone or a type is used for spot, and why."""

    name: str
    spot: bool
    why: str


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Where, with what and when spot is bought: types by price, zones in the order that they are filled."""

    types: tuple[str, ...]
    zones: tuple[str, ...]
    hours: frozenset[int]
    type_verdicts: tuple[Verdict, ...]
    zone_verdicts: tuple[Verdict, ...]


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """One zone in one hour: nodes, and what one spot node costs there (of the most expensive type), None without."""

    zone: str
    spot: int
    on_demand: int
    spot_usd: float | None


class Hour(msgspec.Struct, frozen=True, kw_only=True):
    """One hour of the operator's day. ``usd`` is for the whole hour; ``idle_gpus`` are paid for and not asked for."""

    hour: int
    gpus: int
    spot: int
    on_demand: int
    short_gpus: int
    idle_gpus: int
    usd: float
    all_on_demand_usd: float
    zones: tuple[Share, ...]
    why: str


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """The day in US$. ``all_on_demand`` is for the same nodes, so that a plan that is short saves nothing by it.

    ``at_most`` is the plan when AWS takes the most expensive zone and type of the lists at every hour;
    ``on_demand_at_most`` the part of the ceiling that is then used, on the longest day of the year.
    """

    plan: float
    spot: float
    on_demand: float
    all_on_demand: float
    saving: float
    saving_percent: float
    at_most: float
    on_demand_at_most: float


class SpotPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. ``on_demand_types`` are by price; ``prices`` says which prices were used, ``notes`` what to know."""

    region: str
    hours: tuple[Hour, ...]
    spot_types: tuple[str, ...]
    spot_zones: tuple[str, ...]
    on_demand_types: tuple[str, ...]
    on_demand_usd: dict[str, float]
    types: tuple[Verdict, ...]
    zones: tuple[Verdict, ...]
    money: Money
    short_gpu_hours: int
    idle_gpu_hours: int
    prices: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def spot_sizes(self) -> tuple[int, ...]:
        """Spot nodes by hour."""
        return tuple(hour.spot for hour in self.hours)

    @property
    def on_demand_sizes(self) -> tuple[int, ...]:
        """On-demand nodes by hour."""
        return tuple(hour.on_demand for hour in self.hours)
