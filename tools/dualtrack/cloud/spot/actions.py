"""What `dualtrack spot plan` does: the stack's variables and prices in, a plan out, and written where that is asked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from dualtrack.cloud.prices import day, files, live
from dualtrack.cloud.prices.book import region_of
from dualtrack.cloud.prices.market import Wanted, market
from dualtrack.cloud.spot import demand, stack, tfvars
from dualtrack.cloud.spot.model import Case, Demand, Limits, SpotPlan
from dualtrack.cloud.spot.planner import plan
from dualtrack.core.errors import BadInput

#: (service, region) to a client of the AWS API that is asked.
Api = Callable[[str, str], Any]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A plan as it is asked for: '' and () and None stand for what the stack's variables say.

    ``ceiling`` is in US$ a day, ``discount`` a share (0.1 for 10 %), ``max_age`` and ``days`` in days.
    """

    folder: Path
    prices: Path = files.FACTS
    region: str = ""
    zones: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    demand: str = ""
    job: int = 4
    ceiling: float | None = None
    discount: float = 0.1
    max_age: float | None = None
    days: int = 30
    time_zone: str = ""
    names: tuple[str, str] = ("spot", "ondemand")
    spot_max: int | None = None
    on_demand_max: int | None = None
    base: int | None = None


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """A plan, and all of the stack's pools as they are with it."""

    plan: SpotPlan
    demand: Demand
    limits: Limits
    gpus_per_node: int
    time_zone: str
    pools: dict[str, dict[str, Any]]

    @property
    def variables(self) -> str:
        """The text of the variables file that makes the stack follow the plan."""
        return tfvars.render(self.pools, self.plan.prices)


def build_plan(request: Request, now: datetime, api: Api | None = None) -> Planned:
    """Return the plan for ``request`` at ``now`` (aware); with ``api`` spot prices are read from there.

    Raises BadInput for what cannot be planned, External where AWS does not answer.
    """
    if request.max_age is not None and not request.max_age > 0:
        raise BadInput(f"--max-age {request.max_age:g}", hint="days, more than 0")
    found = stack.read(request.folder)
    ours, other = tfvars.pair(found.pools, *request.names)
    types = request.types or tuple(dict.fromkeys((*ours["instance_types"], *other["instance_types"])))
    node = stack.node(types)
    limits = tfvars.limits(
        found.pools, *request.names, spot_max=request.spot_max, on_demand_max=request.on_demand_max,
        base=request.base, ceiling=request.ceiling, discount=request.discount,
    )  # fmt: skip
    wanted = Wanted(
        region=request.region or found.region,
        zones=_zones(request, found, ours),
        types=types,
        time_zone=request.time_zone or found.time_zone,
        days=request.days,
        max_age=request.max_age,
    )
    asked = (
        demand.parse(request.demand, request.job)
        if request.demand
        else tfvars.demand_of(found.pools, request.names, node.gpus, request.job)
    )
    book = files.load(request.prices)
    scores: dict[str, int] = {}
    notes: list[str] = []
    if len(node.kinds) > 1:
        notes.append(
            f"the types have different GPUs ({', '.join(node.kinds)}): jobs must fit each (--type names fewer)"
        )
    if api is not None:
        ec2 = api("ec2", wanted.region)
        book, rows = live.with_history(book, ec2, types, wanted.zones, now, request.days)
        notes.append(f"{rows} spot price changes were read from AWS")
        scores, why = live.scores(ec2, types, wanted.region, limits.spot_max)
        notes += [why] if why else []
    zone = day.zone_info(wanted.time_zone)
    case = Case(
        market=market(book, wanted, now, complete=api is not None),
        demand=asked,
        limits=limits,
        types=types,
        gpus=node.gpus,
        on_demand_zones=wanted.zones if request.zones else tuple(other.get("zones") or found.zones),
        scores=scores,
        repeats=day.longest(zone, now),
    )
    made = plan(case)
    made = msgspec.structs.replace(made, notes=(*made.notes, *notes))
    changed = tfvars.apply(found.pools, made, limits, request.names, now.astimezone(zone).hour)
    return Planned(
        plan=made, demand=asked, limits=limits, gpus_per_node=node.gpus, time_zone=wanted.time_zone, pools=changed
    )


def _zones(request: Request, found: stack.Stack, spot: Any) -> tuple[str, ...]:
    """Return the zones to plan for: those named, else the spot pool's, else all of the network's."""
    zones = request.zones or tuple(spot.get("zones") or found.zones)
    region = request.region or found.region
    if len(set(zones)) != len(zones):
        raise BadInput(f"zones are named twice: {', '.join(zones)}", hint="each --zone once")
    outside = [zone for zone in zones if region_of(zone) != region]
    if outside:
        raise BadInput(
            f"zone {outside[0]} is not in region {region}", hint="name the zones of that region with --zone, each once"
        )
    return zones


def fits(request: Request) -> None:
    """Check that a plan may be written into its stack; BadInput when it is for another region or other zones."""
    found = stack.read(request.folder)
    if request.region and request.region != found.region:
        raise BadInput(f"the plan is for {request.region}, and the stack stands in {found.region}")
    for zone in request.zones:
        if zone not in found.zones:
            raise BadInput(f"the stack's network has no subnet in {zone}", hint=f"it has {', '.join(found.zones)}")
