"""The plan of a day: prices, demand and limits in, nodes by hour and zone out, with what they cost and why. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from dualtrack.cloud.spot import demand
from dualtrack.cloud.spot.model import Case, Choice, Hour, Limits, Money, Share, SpotPlan
from dualtrack.cloud.spot.selection import choose, dearest
from dualtrack.core.errors import BadInput

#: Digits of US$ that sums are rounded to: floats add up to 109.80000000000001.
DIGITS = 4


def plan(case: Case) -> SpotPlan:
    """Return the plan of the operator's day; BadInput for limits that are none, and types without a known price."""
    _check(case.limits)
    on_demand = _on_demand_types(case)
    need = [demand.nodes(gpus, case.gpus, case.demand.job) for gpus in case.demand.gpus]
    base = min(case.limits.base, case.limits.on_demand_max)
    choice = choose(case, [min(nodes, case.limits.spot_max) for nodes in need])

    def on_spot(hour: int, on_demand: int) -> int:
        """Return the spot nodes for what ``on_demand`` nodes leave over in an hour."""
        return min(max(0, need[hour] - on_demand), case.limits.spot_max) if hour in choice.hours else 0

    asked = [min(max(base, need[hour] - on_spot(hour, base)), case.limits.on_demand_max) for hour in range(24)]
    dear = max(case.market.on_demand[name] for name in on_demand)
    bought = under_ceiling(asked, dear, case.limits.ceiling, case.repeats)
    # What the ceiling takes off the base, spot may still carry.
    hours = tuple(
        _hour(case, choice, on_demand, hour, need[hour], asked[hour], (on_spot(hour, bought[hour]), bought[hour]))
        for hour in range(24)
    )
    return SpotPlan(
        region=case.market.region,
        hours=hours,
        spot_types=choice.types,
        spot_zones=choice.zones,
        on_demand_types=on_demand,
        on_demand_usd={name: case.market.on_demand[name] for name in on_demand},
        types=choice.type_verdicts,
        zones=choice.zone_verdicts,
        money=_money(case, choice, hours, dear),
        short_gpu_hours=sum(hour.short_gpus for hour in hours),
        idle_gpu_hours=sum(hour.idle_gpus for hour in hours),
        prices=case.market.dates,
        notes=(*case.market.notes, *_notes(case, choice, on_demand, hours)),
    )


def under_ceiling(asked: Sequence[int], usd: float, ceiling: float | None, repeats: Sequence[int]) -> list[int]:
    """Return on-demand nodes by hour that cost the ceiling (US$ a day) at most, at ``usd`` a node and hour.

    What does not fit is taken from the hours with the most nodes, the latest of these first, so that no hour is left
    without while another has plenty. An hour that repeats on some day of the year counts as often as it comes.
    """
    kept = list(asked)
    if ceiling is None:
        return kept
    hours = sum(nodes * times for nodes, times in zip(kept, repeats, strict=True))
    while hours and hours * usd > ceiling:
        most = max(range(24), key=lambda hour: (kept[hour], hour))
        kept[most] -= 1
        hours -= repeats[most]
    return kept


def _check(limits: Limits) -> None:
    ceiling = limits.ceiling
    if ceiling is not None and not (0 <= ceiling < math.inf):
        raise BadInput(f"--ceiling {ceiling:g}", hint="US$ a day for on-demand, 0 or more")
    if not 0 <= limits.discount < 1:
        raise BadInput(f"--min-discount {limits.discount * 100:g}", hint="per cent, from 0 to 99")
    if min(limits.spot_max, limits.on_demand_max, limits.base) < 0:
        raise BadInput("a limit is below 0 nodes", hint="--spot-max and --ondemand-max are 0 or more")


def _on_demand_types(case: Case) -> tuple[str, ...]:
    """Return the types that can be bought on demand, the cheapest first: a node without a price breaks any ceiling."""
    known = [type_ for type_ in case.types if type_ in case.market.on_demand]
    if not known:
        raise BadInput(
            f"no on-demand price of {', '.join(case.types)} in {case.market.region} is known",
            hint="add it to a price file and name that with --prices",
        )
    return tuple(sorted(known, key=lambda name: (case.market.on_demand[name], name)))


def spread(count: int, zones: Sequence[str]) -> dict[str, int]:
    """Return ``count`` nodes over zones as an autoscaling group balances them, the first zones getting one more."""
    return {zone: count // len(zones) + (index < count % len(zones)) for index, zone in enumerate(zones)}


def _hour(
    case: Case, choice: Choice, on_demand: Sequence[str], hour: int, need: int, asked: int, got: tuple[int, int]
) -> Hour:
    """``need``: nodes for the demand; ``asked``: those wanted on demand; ``got``: spot and on-demand nodes bought."""
    spot, bought = got
    gpus = case.demand.gpus[hour]
    usual = case.market.on_demand[on_demand[0]]
    on_spot = spread(spot, choice.zones) if choice.zones else {}
    other = spread(bought, case.on_demand_zones)
    levels = {zone: dearest(case, choice.types, zone, hour) for zone in on_spot}
    shares = tuple(
        Share(
            zone=zone,
            spot=on_spot.get(zone, 0),
            on_demand=other.get(zone, 0),
            spot_usd=levels[zone] if on_spot.get(zone) else None,
        )
        for zone in dict.fromkeys((*case.market.zones, *case.on_demand_zones))
        if on_spot.get(zone) or other.get(zone)
    )
    held = demand.holds(spot + bought, case.gpus, case.demand.job)
    usd = bought * usual + sum(share.spot * (share.spot_usd or 0.0) for share in shares)
    return Hour(
        hour=hour,
        gpus=gpus,
        spot=spot,
        on_demand=bought,
        short_gpus=max(0, gpus - held),
        idle_gpus=max(0, (spot + bought) * case.gpus - gpus),
        usd=round(usd, DIGITS),
        all_on_demand_usd=round((spot + bought) * usual, DIGITS),
        zones=shares,
        why="; ".join(_why(case, choice, hour, need, asked, got)),
    )


def _why(case: Case, choice: Choice, hour: int, need: int, asked: int, got: tuple[int, int]) -> Iterator[str]:
    spot, bought = got
    base = min(case.limits.base, case.limits.on_demand_max)
    if not need:
        yield "nothing is asked for"
    if base and bought:
        yield f"{min(base, bought)} on demand at every hour"
    if need > base and case.limits.spot_max and not choice.zones:
        yield "no spot: no zone and type is cheap enough"
    elif need > base and case.limits.spot_max and hour not in choice.hours:
        yield "no spot: not all of its zones and types are cheap enough at this hour"
    if spot:
        yield f"{spot} on spot"
    if spot == case.limits.spot_max and need > spot + base:
        yield f"spot ends at its {spot} nodes"
    if bought > base:
        yield f"{bought - base} more on demand" if base else f"{bought} on demand"
    if bought < asked:
        yield f"the ceiling leaves out {asked - bought} on demand"
    if asked == case.limits.on_demand_max and need > spot + asked:
        yield f"on-demand ends at its {asked} nodes"


def _money(case: Case, choice: Choice, hours: Sequence[Hour], dear: float) -> Money:
    spot = sum(share.spot * (share.spot_usd or 0.0) for hour in hours for share in hour.zones)
    total = sum(hour.usd for hour in hours)
    baseline = sum(hour.all_on_demand_usd for hour in hours)
    worst = sum(
        hour.spot * max((dearest(case, choice.types, zone, hour.hour) or 0.0 for zone in choice.zones), default=0.0)
        + hour.on_demand * dear
        for hour in hours
    )
    ceiling = sum(hour.on_demand * times for hour, times in zip(hours, case.repeats, strict=True)) * dear
    saving = baseline - total
    percent = saving / baseline * 100 if baseline else 0.0
    figures = {
        "plan": total, "spot": spot, "on_demand": total - spot, "all_on_demand": baseline, "saving": saving,
        "saving_percent": percent, "at_most": worst, "on_demand_at_most": ceiling,
    }  # fmt: skip
    return Money(**{name: round(figure, DIGITS) for name, figure in figures.items()})


def _notes(case: Case, choice: Choice, on_demand: Sequence[str], hours: Sequence[Hour]) -> list[str]:
    notes = []
    if case.limits.ceiling is None:
        dear = max(case.market.on_demand[name] for name in on_demand)
        most = case.limits.on_demand_max * dear * sum(case.repeats)
        notes.append(f"no ceiling is given: on-demand may cost up to {most:,.2f} a day (--ceiling sets one)")
    if max(case.repeats) > 1 and case.limits.ceiling is not None:
        notes.append("the ceiling also holds on the day of 25 hours on which the clocks go back")
    if choice.hours and len(choice.zones) == 1:
        notes.append(f"spot stands in {choice.zones[0]} alone: one shortage there takes all of it")
    if not case.limits.base and choice.hours and not any(hour.on_demand for hour in hours):
        notes.append("nothing stands on demand: a shortage of spot takes every node (--base keeps some)")
    unpriced = [name for name in case.types if name not in on_demand]
    if unpriced:
        notes.append(f"left out of the on-demand pool, no known price on demand: {', '.join(unpriced)}")
    if case.limits.base > case.limits.on_demand_max:
        notes.append(f"the on-demand pool ends at {case.limits.on_demand_max} nodes, below its base")
    return notes
