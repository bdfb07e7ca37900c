"""The price file: what an entry means, what is wrong with one, and which entry answers for a place. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import date, datetime
from typing import Annotated, Literal

import msgspec

from dualtrack.core.errors import BadInput

#: No instance of AWS costs more than this an hour; a figure above it is a slip of the unit (cents, a month).
MOST_USD = 1000.0
TAKEN = re.compile(r"\d{4}(-\d{2}(-\d{2})?)?")
#: `us-east-1`, and its zones `us-east-1a`, `us-east-1-atl-2a`.
REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
ZONE = re.compile(rf"({REGION.pattern})(-[a-z]+-\d)?[a-z]")

Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where figures are from. ``taken`` is their date: a day, or a month or a year where the day is not known."""

    what: str
    taken: str


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Prices of one type in some places (regions, or zones, which win over their region), US$ an instance hour.

    ``spot`` is a level, or a range [low, high] where the places are known to differ and not how. ``spot_by_hour`` has
    24 levels by the hour of the day in UTC, null where one is not known. ``history`` is spot by moment: each holds
    until the next.
    """

    type: str
    where: tuple[str, ...]
    source: str
    on_demand: float | None = None
    spot: float | tuple[float, float] | None = None
    spot_by_hour: tuple[float | None, ...] | None = None
    history: tuple[tuple[Moment, float], ...] | None = None
    note: str = ""


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A price file as it is written. ``holds_hours``: how long a price of a history is believed when none follows."""

    schema: Literal["dualtrack.prices/1"]
    sources: dict[str, Source]
    prices: tuple[Entry, ...]
    holds_hours: float = 24.0


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One price and where it is from: US$ an instance hour; ``low`` where it is the higher price of a range."""

    usd: float
    taken: str
    source: str
    low: float | None = None


class Spot(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one type's spot price in one place: a level, levels by UTC hour, or a history.

    ``history`` is (seconds since 1970, US$), oldest first. ``regional`` says that the place is a region: its zones may
    differ. ``holds`` is in seconds.
    """

    type: str
    place: str
    taken: str
    source: str
    regional: bool
    level: Fact | None = None
    by_hour: tuple[float | None, ...] | None = None
    history: tuple[tuple[float, float], ...] | None = None
    holds: float = math.inf


class Book(msgspec.Struct, frozen=True):
    """Prices by (type, place), checked."""

    on_demand_facts: dict[tuple[str, str], Fact]
    spot_facts: dict[tuple[str, str], Spot]

    def on_demand(self, type_: str, place: str) -> Fact | None:
        """Return what ``type_`` costs on demand in a region or zone, None where that is not known."""
        found = self.on_demand_facts.get((type_, place))
        return found or self.on_demand_facts.get((type_, region_of(place)))

    def spot(self, type_: str, zone: str) -> Spot | None:
        """Return what is known of ``type_``'s spot price in a zone: its own entry, else its region's."""
        return self.spot_facts.get((type_, zone)) or self.spot_facts.get((type_, region_of(zone)))


def region_of(place: str) -> str:
    """Return the region of a zone; a region is its own."""
    found = ZONE.fullmatch(place)
    return found[1] if found else place


def earliest(taken: str) -> date:
    """Return the first day that a date can mean: a price of "2026" may be as old as its first of January."""
    parts = [int(part) for part in taken.split("-")]
    return date(parts[0], *(parts[1:] or [1]), *([1] if len(parts) < 3 else []))


def book(file: File) -> Book:
    """Return what a file says, checked; BadInput names the entry that is wrong."""
    for name, source in file.sources.items():
        if not dated(source.taken):
            wrong = f"source {name}: {source.taken!r} is not a date"
            raise BadInput(wrong, hint='write taken: "2026-11-25", in quotes')
    if not 0 < file.holds_hours < math.inf:
        raise BadInput(f"holds_hours is {file.holds_hours:g}", hint="hours, more than 0")
    on_demand: dict[tuple[str, str], Fact] = {}
    spot: dict[tuple[str, str], Spot] = {}
    for entry in file.prices:
        problem = next(_wrong(entry, file), "")
        if problem:
            raise BadInput(f"price of {entry.type} in {', '.join(entry.where) or 'no place'}: {problem}")
        source = file.sources[entry.source]
        for place in entry.where:
            key = (entry.type, place)
            if entry.on_demand is not None:
                _once(key, on_demand, "on_demand")
                on_demand[key] = Fact(usd=entry.on_demand, taken=source.taken, source=entry.source)
            if _kinds(entry):
                _once(key, spot, "spot")
                spot[key] = _spot(entry, place, source, file.holds_hours * 3600)
    return Book(on_demand, spot)


def _once(key: tuple[str, str], seen: dict[tuple[str, str], Fact] | dict[tuple[str, str], Spot], field: str) -> None:
    if key in seen:
        raise BadInput(f"price of {key[0]} in {key[1]}: {field} is given twice", hint="keep one of the two entries")


def _kinds(entry: Entry) -> list[str]:
    return [name for name in ("spot", "spot_by_hour", "history") if getattr(entry, name) is not None]


def _spot(entry: Entry, place: str, source: Source, holds: float) -> Spot:
    level, rows = None, None
    if isinstance(entry.spot, tuple):
        level = Fact(usd=max(entry.spot), taken=source.taken, source=entry.source, low=min(entry.spot))
    elif entry.spot is not None:
        level = Fact(usd=entry.spot, taken=source.taken, source=entry.source)
    if entry.history is not None:
        rows = tuple(sorted((at.timestamp(), usd) for at, usd in entry.history))
    return Spot(
        type=entry.type,
        place=place,
        taken=source.taken,
        source=entry.source,
        regional=not ZONE.fullmatch(place),
        level=level,
        by_hour=entry.spot_by_hour,
        history=rows,
        holds=holds,
    )


def _wrong(entry: Entry, file: File) -> Iterator[str]:
    if entry.source not in file.sources:
        yield f"source {entry.source!r} is not among the sources: describe it there, with its date"
    if not entry.where:
        yield "where is empty: write regions or zones"
    for place in entry.where:
        if not (REGION.fullmatch(place) or ZONE.fullmatch(place)):
            yield f"{place!r} is not a region or zone: write us-east-1 or us-east-1a"
    kinds = _kinds(entry)
    if len(kinds) > 1:
        yield f"{' and '.join(kinds)} exclude each other: keep one"
    if not kinds and entry.on_demand is None:
        yield "it gives no price: write on_demand, spot, spot_by_hour or history"
    if entry.spot_by_hour is not None and len(entry.spot_by_hour) != 24:
        yield f"spot_by_hour has {len(entry.spot_by_hour)} levels: write 24, null where one is not known"
    if entry.history == ():
        yield "its history is empty"
    for usd in _figures(entry):
        if why := implausible(usd):
            yield why


def _figures(entry: Entry) -> Iterator[float]:
    if entry.on_demand is not None:
        yield entry.on_demand
    if entry.spot is not None:
        yield from entry.spot if isinstance(entry.spot, tuple) else (entry.spot,)
    yield from (usd for usd in entry.spot_by_hour or () if usd is not None)
    yield from (usd for _, usd in entry.history or ())


def implausible(usd: float) -> str:
    """Return what is wrong with a figure as US$ an instance hour, '' when it can be one."""
    if 0 < usd <= MOST_USD:
        return ""
    return f"{usd:g} is not a price: US$ an instance hour, more than 0 and {MOST_USD:g} at most"


def dated(taken: str) -> bool:
    """Return whether a text is a date as sources carry it: a day, a month or a year."""
    try:
        return bool(TAKEN.fullmatch(taken)) and earliest(taken) is not None
    except ValueError:
        return False
