"""What the planner sees: prices by type, zone and hour of the operator's day, with their dates and their gaps. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec

from dualtrack.cloud.prices import day
from dualtrack.cloud.prices.book import Book, Fact, Spot, earliest
from dualtrack.core.errors import BadInput

#: Days that prices are believed without `--max-age`: facts with a date; and a history, which is old much sooner.
FACTS_DAYS, HISTORY_DAYS = 400, 60
#: A spot price below this share of on-demand is not believed. AWS's deepest discount is "up to 90 %"
#: (https://aws.amazon.com/ec2/spot/); an emulator's 0.00001 is none.
BELIEVABLE = 0.02
#: A clock may be this far ahead of ours, in seconds, before its prices count as being from the future.
SKEW = 600

Levels = tuple[float | None, ...]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What prices are wanted for. ``days``: how far back a history is read; ``max_age`` in days, None: the defaults."""

    region: str
    zones: tuple[str, ...]
    types: tuple[str, ...]
    time_zone: str
    days: int = 30
    max_age: float | None = None


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """Prices, US$ an instance hour. ``spot`` is type, zone, 24 levels; a zone lacks where AWS does not offer the type.

    ``dates`` says what was used and how old it is, ``notes`` what is not known.
    """

    region: str
    zones: tuple[str, ...]
    on_demand: dict[str, float]
    spot: dict[str, dict[str, Levels]]
    dates: tuple[str, ...]
    notes: tuple[str, ...]


def market(book: Book, wanted: Wanted, now: datetime, *, complete: bool = False) -> Market:
    """Return the prices for ``wanted`` as ``book`` knows them at ``now`` (aware).

    With ``complete`` the book holds all that AWS offers (the live API): what is missing there is not offered. BadInput
    for prices that are too old, or from the future, with their date.
    """
    zone = day.zone_info(wanted.time_zone)
    on_demand = {type_: fact for type_ in wanted.types if (fact := book.on_demand(type_, wanted.region))}
    found = {
        (type_, place): spot for type_ in wanted.types for place in wanted.zones if (spot := book.spot(type_, place))
    }
    for type_, fact in on_demand.items():
        _check_age(f"the on-demand price of {type_} in {wanted.region}", fact.taken, wanted, now)
    for (type_, _), spot in found.items():
        if spot.history is None:
            _check_age(f"the spot price of {type_} in {spot.place}", spot.taken, wanted, now)
    stale = _stale(found, wanted, now)
    reader = _Reader(zone, now, wanted.days)
    prices: dict[str, dict[str, Levels]] = {type_: {} for type_ in wanted.types}
    notes = [*stale.values()]
    nothing: Levels = (None,) * 24
    for type_ in wanted.types:
        for place in wanted.zones:
            spot_found = found.get((type_, place))
            if spot_found is None:
                if not complete:
                    prices[type_][place] = nothing
                continue
            if (type_, place) in stale:
                prices[type_][place] = nothing
                continue
            levels, missing = reader.levels(spot_found)
            usual = on_demand[type_].usd if type_ in on_demand else 0.0
            prices[type_][place], doubted = _believed(levels, usual)
            notes += _gap_notes(type_, place, missing, doubted)
    notes += _kind_notes(found)
    dates = (*_dates("on demand", on_demand), *_spot_dates(found))
    return Market(
        region=wanted.region,
        zones=wanted.zones,
        on_demand={name: fact.usd for name, fact in on_demand.items()},
        spot=prices,
        dates=dates,
        notes=tuple(notes),
    )


class _Reader:
    """Turns what is known of a spot price into 24 levels; the hours of the window are worked out once."""

    def __init__(self, zone: ZoneInfo, now: datetime, days: int) -> None:
        self.utc = [day.utc_hours(zone, now, hour) for hour in day.HOURS]
        self.slots = day.slots(zone, now, days)

    def levels(self, spot: Spot) -> tuple[Levels, int]:
        """Return the levels by hour of the operator's day, and how many of them are missing."""
        if spot.level is not None:
            return (spot.level.usd,) * 24, 0
        if spot.by_hour is not None:
            parts = [[spot.by_hour[hour] for hour in hours] for hours in self.utc]
            found = tuple(None if None in part else max(u for u in part if u is not None) for part in parts)
            return found, found.count(None)
        return day.by_hour(spot.history or (), self.slots, spot.holds)


def _believed(levels: Levels, usual: float) -> tuple[Levels, float]:
    """Return the levels without those too low to be true, and the lowest of these (0 where there is none)."""
    doubted = [usd for usd in levels if usd is not None and usd < BELIEVABLE * usual]
    kept = tuple(None if usd is not None and usd < BELIEVABLE * usual else usd for usd in levels)
    return kept, min(doubted, default=0.0)


def _check_age(what: str, taken: str, wanted: Wanted, now: datetime) -> None:
    limit = FACTS_DAYS if wanted.max_age is None else wanted.max_age
    age = (now.astimezone(UTC).date() - earliest(taken)).days
    if age < -1:  # a day's grace: it may be tomorrow where they were taken
        raise BadInput(f"{what} is from the future ({taken})", hint="is this machine's clock right?")
    if age > limit:
        raise BadInput(
            f"{what} is of {taken}, which may be {age} days ago: more than {limit:g}",
            hint="read newer ones (--live, --prices FILE), or accept their age with --max-age DAYS",
        )


def _stale(found: dict[tuple[str, str], Spot], wanted: Wanted, now: datetime) -> dict[tuple[str, str], str]:
    """Return what to say of each history that ended too long ago; BadInput when all did, or one is of the future."""
    newest = {key: spot.history[-1][0] for key, spot in found.items() if spot.history}
    if not newest:
        return {}
    limit = (HISTORY_DAYS if wanted.max_age is None else wanted.max_age) * 86400
    stamp = now.timestamp()
    for (type_, place), at in newest.items():
        if at > stamp + SKEW:
            raise BadInput(
                f"the spot price of {type_} in {place} is from the future ({_day(at)})",
                hint="is this machine's clock right?",
            )
    if stamp - max(newest.values()) > limit:
        raise BadInput(
            f"the newest spot price is of {_day(max(newest.values()))}: older than {limit / 86400:g} days",
            hint="read newer ones, or accept their age with --max-age DAYS",
        )
    return {
        (type_, place): f"{type_} in {place}: no spot, its newest price is of {_day(at)}"
        for (type_, place), at in newest.items()
        if stamp - at > limit
    }


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def _gap_notes(type_: str, place: str, missing: int, doubted: float) -> Iterator[str]:
    if missing:
        yield f"{type_} in {place}: {missing} of the day's 24 hours have no spot price, and get no spot"
    if doubted:
        yield f"{type_} in {place}: a spot price of {doubted:g} is too low to be true, and is not believed"


def _kind_notes(found: dict[tuple[str, str], Spot]) -> Iterator[str]:
    """Yield what kind of knowledge the spot prices are, where it is less than a price by zone and hour."""
    ranges = {spot.type: spot.level for spot in found.values() if spot.level and spot.level.low is not None}
    for type_, level in ranges.items():
        yield f"{type_}: spot is known as a range, {level.low:.2f} to {level.usd:.2f}: planned at the higher price"
    if any(spot.regional for spot in found.values()):
        yield "some spot prices are a whole region's: zones do not differ in them"
    if found and all(spot.level for spot in found.values()):
        yield "no spot price by the hour is known: hours differ by demand only (--live reads the hours from AWS)"


def _dates(what: str, facts: dict[str, Fact]) -> Iterator[str]:
    for taken in sorted({fact.taken for fact in facts.values()}):
        names = sorted(name for name, fact in facts.items() if fact.taken == taken)
        sources = sorted({fact.source for fact in facts.values() if fact.taken == taken})
        yield f"{what}, {', '.join(names)}: {taken} ({', '.join(sources)})"


def _spot_dates(found: dict[tuple[str, str], Spot]) -> Iterator[str]:
    yield from _dates(
        "spot", {s.type: Fact(usd=0, taken=s.taken, source=s.source) for s in found.values() if s.history is None}
    )
    ends = [spot.history[-1][0] for spot in found.values() if spot.history]
    if ends:
        begin = min(spot.history[0][0] for spot in found.values() if spot.history)
        yield f"spot, {len(ends)} histories: {_day(begin)} to {_day(max(ends))}"
