"""Which zones, types and hours spot is bought in. Pure.

An autoscaling group buys any of its types in any of its zones, as AWS has capacity. So the lists must be such that
every pair is worth buying at every hour at which the group is asked for nodes: what one pair spoils is either that
pair's zone, its type or the hour.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import msgspec

from dualtrack.cloud.prices.market import Levels
from dualtrack.cloud.spot.model import Case, Choice, Verdict
from dualtrack.core.errors import BadInput

#: Every set of types is weighed against every other: 2 to the power of this.
MOST_TYPES = 10
ALL = (1 << 24) - 1


class _Option(msgspec.Struct, frozen=True, kw_only=True):
    """Lists that may be chosen: ``mask`` has a bit for each hour at which all pairs are worth buying."""

    types: tuple[str, ...]
    zones: tuple[str, ...]
    mask: int
    covered: int  # node hours
    pairs: int

    def cost(self, case: Case, wanted: Sequence[int]) -> float:
        """Return what the node hours cost, US$."""
        return sum(wanted[hour] * _level(case, self.types, self.zones, hour) for hour in bits(self.mask))


def bits(mask: int) -> list[int]:
    """Return the hours of a mask."""
    return [hour for hour in range(24) if mask >> hour & 1]


def choose(case: Case, wanted: Sequence[int]) -> Choice:
    """Return the choice for ``wanted`` spot nodes by hour.

    In this order: as many node hours on spot as the prices allow, then as many pairs of type and zone (AWS takes the
    deepest, so that each more makes a reclaim less likely), then the greatest saving.
    """
    if len(case.types) > MOST_TYPES:
        raise BadInput(f"{len(case.types)} instance types", hint=f"name {MOST_TYPES} at most")
    masks = {type_: {zone: _mask(case, type_, zone) for zone in case.market.zones} for type_ in case.types}
    best: _Option | None = None
    for count in range(len(case.types), 0, -1):
        for types in combinations(case.types, count):
            for option in _options(case, types, masks, wanted):
                if best is None or _better(case, option, best, wanted):
                    best = option
    types = best.types if best else ()
    zones = best.zones if best else ()
    hours = frozenset(bits(best.mask) if best else ())
    return Choice(
        types=tuple(sorted(types, key=lambda name: (_mean(case, (name,), zones, hours), name))),
        zones=tuple(
            sorted(zones, key=lambda name: (-case.scores.get(name, 0), _mean(case, types, (name,), hours), name))
        ),
        hours=hours,
        type_verdicts=tuple(_type_verdict(case, name, types, masks) for name in case.types),
        zone_verdicts=tuple(_zone_verdict(case, name, zones, masks) for name in case.market.zones),
    )


def _better(case: Case, one: _Option, other: _Option, wanted: Sequence[int]) -> bool:
    ranks = (one.covered, one.pairs), (other.covered, other.pairs)
    # Money is worked out for equals only: there are thousands of options.
    return ranks[0] > ranks[1] or (ranks[0] == ranks[1] and one.cost(case, wanted) < other.cost(case, wanted))


def _mask(case: Case, type_: str, zone: str) -> int | None:
    """Return the hours at which a type is worth buying as spot in a zone, as bits; None where it is not offered."""
    levels = case.market.spot.get(type_, {}).get(zone)
    if levels is None:
        return None
    most = _most(case, type_)
    return sum(1 << hour for hour, usd in enumerate(levels) if usd is not None and usd <= most)


def _most(case: Case, type_: str) -> float:
    """Return the most that a spot node of a type may cost, 0 for a type without a price on demand.

    Below its own price on demand by the discount, and never above the cheapest node on demand.
    """
    usual = case.market.on_demand.get(type_)
    if usual is None:
        return 0.0
    cheapest = min(case.market.on_demand[name] for name in case.types if name in case.market.on_demand)
    return min((1 - case.limits.discount) * usual + 1e-9, cheapest)


def _options(
    case: Case, types: tuple[str, ...], masks: dict[str, dict[str, int | None]], wanted: Sequence[int]
) -> Iterator[_Option]:
    by_zone: dict[str, int] = {}
    pairs: dict[str, int] = {}
    for zone in case.market.zones:
        offered = [mask for type_ in types if (mask := masks[type_][zone]) is not None]
        mask = ALL if offered else 0
        for other in offered:
            mask &= other
        if mask:
            by_zone[zone], pairs[zone] = mask, len(offered)
    unoffered = {type_ for type_ in types if all(masks[type_][zone] is None for zone in by_zone)}
    if unoffered:
        return  # the smaller set without these is weighed on its own
    for mask in set(by_zone.values()):
        zones = tuple(zone for zone, other in by_zone.items() if other & mask == mask)
        covered = sum(wanted[hour] for hour in bits(mask))
        if covered:
            yield _Option(
                types=types, zones=zones, mask=mask, covered=covered, pairs=sum(pairs[zone] for zone in zones)
            )


def _level(case: Case, types: Sequence[str], zones: Sequence[str], hour: int) -> float:
    """Return what a spot node costs in an hour: the mean over the zones of their most expensive type."""
    levels = [usd for zone in zones if (usd := dearest(case, types, zone, hour)) is not None]
    return sum(levels) / len(levels) if levels else 0.0


def dearest(case: Case, types: Sequence[str], zone: str, hour: int) -> float | None:
    """Return the most expensive spot price among some types in a zone and hour, None where none is offered or known."""
    found = (case.market.spot.get(type_, {}).get(zone) for type_ in types)
    return max((usd for levels in found if levels and (usd := levels[hour]) is not None), default=None)


def _mean(case: Case, types: Sequence[str], zones: Sequence[str], hours: frozenset[int]) -> float:
    levels = [_level(case, types, zones, hour) for hour in hours]
    return sum(levels) / len(levels) if levels else 0.0


def _type_verdict(
    case: Case, type_: str, chosen: Sequence[str], masks: dict[str, dict[str, int | None]]
) -> Verdict:  # fmt: skip
    known = [levels for zone in case.market.zones if (levels := case.market.spot.get(type_, {}).get(zone))]
    used = type_ in chosen
    if not used and any(masks[type_][zone] for zone in case.market.zones):
        return Verdict(type_, False, "left out: its discount is in fewer zones or hours than the others'")
    return Verdict(type_, used, _price_words(case, type_, known))


def _zone_verdict(case: Case, zone: str, chosen: Sequence[str], masks: dict[str, dict[str, int | None]]) -> Verdict:
    offered = [type_ for type_ in case.types if masks[type_][zone] is not None]
    score = f", placement score {case.scores[zone]} of 10" if zone in case.scores else ""
    if not offered:
        return Verdict(zone, False, "no spot: none of the types is offered there")
    if zone not in chosen and any(masks[type_][zone] for type_ in offered):
        return Verdict(zone, False, f"left out: its discount is in fewer hours or types than the other zones'{score}")
    words = (f"{type_} {_price_words(case, type_, [case.market.spot[type_][zone]])}" for type_ in offered)
    return Verdict(zone, zone in chosen, "; ".join(words) + score)


def _price_words(case: Case, type_: str, known: Sequence[Levels]) -> str:
    """Return a type's spot prices against its price on demand, in words."""
    usual = case.market.on_demand.get(type_)
    prices = [usd for levels in known for usd in levels if usd is not None]
    if usual is None:
        return "no spot: it has no known price on demand to compare with"
    if not prices:
        return "no spot: no spot price is known"
    low, high = min(prices), max(prices)
    span = f"{low:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f} to {high:.2f}"
    words = f"{span} against {usual:.2f} on demand, {_below(high, usual)} to {_below(low, usual)} % below"
    if _below(high, usual) == _below(low, usual):
        words = f"{span} against {usual:.2f} on demand, {_below(low, usual)} % below"
    if low > (1 - case.limits.discount) * usual + 1e-9:
        return f"no spot: {words}, and {case.limits.discount * 100:g} % is asked"
    if low > _most(case, type_):
        return f"no spot: {words}, and another type is cheaper on demand"
    return words


def _below(usd: float, usual: float) -> str:
    return f"{max(0.0, (1 - usd / usual) * 100):.0f}"
