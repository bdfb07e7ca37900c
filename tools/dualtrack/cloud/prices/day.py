"""The hours of the operator's day, in an IANA time zone; safe where clocks change. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dualtrack.core.errors import BadInput

HOUR = 3600
HOURS = range(24)


def zone_info(name: str) -> ZoneInfo:
    """Return the time zone of that IANA name; BadInput when there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadInput(f"{name!r} is not a time zone", hint='write an IANA name such as "Asia/Shanghai"') from None


def slots(zone: ZoneInfo, now: datetime, days: int) -> list[tuple[float, int]]:
    """Return each hour of the last ``days`` days: (its start in seconds since 1970, which hour of the day it was).

    Each moment is read with the offset that it had, so that 14:00 is 14:00 in summer and in winter.
    """
    start = _midnight(zone, now.astimezone(zone).date() - timedelta(days=days))
    moments = range(int(start), int(now.timestamp()), HOUR)
    return [(float(at), datetime.fromtimestamp(at, zone).hour) for at in moments]


def utc_hours(zone: ZoneInfo, now: datetime, hour: int) -> tuple[int, ...]:
    """Return the hours in UTC that an hour of today touches: two where the offset has minutes (India, Nepal)."""
    start = datetime.combine(now.astimezone(zone).date(), time(hour), zone).astimezone(UTC)
    return (start.hour,) if start.minute == 0 else (start.hour, (start.hour + 1) % 24)


def longest(zone: ZoneInfo, now: datetime) -> tuple[int, ...]:
    """Return how often each hour of the day comes on the longest day of the coming year.

    1 for each, but 2 for an hour that comes twice when the clocks go back: a ceiling for a day must hold on that day,
    too.
    """
    today = now.astimezone(zone).date()
    most = [1] * 24
    for day in (today + timedelta(days=number) for number in range(366)):
        begin, end = _midnight(zone, day), _midnight(zone, day + timedelta(days=1))
        if end - begin > 24 * HOUR:
            halves = Counter(datetime.fromtimestamp(at, zone).hour for at in range(int(begin), int(end), HOUR // 2))
            most = [max(known, math.ceil(halves[hour] / 2)) for hour, known in enumerate(most)]
    return tuple(most)


def _midnight(zone: ZoneInfo, day: date) -> float:
    return datetime.combine(day, time(), zone).timestamp()


def by_hour(
    rows: Sequence[tuple[float, float]], hours: Sequence[tuple[float, int]], holds: float
) -> tuple[tuple[float | None, ...], int]:
    """Return the mean price of each hour of the day, from a history, and how many hours of the day lack one.

    ``rows`` is (seconds since 1970, US$), oldest first; each holds until the next, ``holds`` seconds at most. ``hours``
    is what `slots` returns. A clock hour counts with the most expensive price in it. An hour of the day that is known
    on less than half of the days since the history begins has no price: better none than one out of a lucky day.
    """
    total, known, wanted = [0.0] * 24, [0] * 24, [0] * 24
    index, last = 0, len(rows)
    for at, hour in hours:
        while index < last and rows[index][0] <= at:
            index += 1
        if index == 0 and (not rows or rows[0][0] >= at + HOUR):
            continue  # before the history begins
        wanted[hour] += 1
        usd = 0.0
        if index and at - rows[index - 1][0] < holds:
            usd = rows[index - 1][1]
        ahead = index
        while ahead < last and rows[ahead][0] < at + HOUR:
            usd = max(usd, rows[ahead][1])
            ahead += 1
        if usd:
            total[hour] += usd
            known[hour] += 1
    levels = tuple(total[h] / known[h] if known[h] and known[h] * 2 >= wanted[h] else None for h in HOURS)
    return levels, levels.count(None)
