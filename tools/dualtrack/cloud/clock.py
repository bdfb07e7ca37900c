"""Whether the offset that the schedules were written with is the one that the operator's clock has."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dualtrack.core.errors import BadInput


def offset_notice(name: str, utc_offset: str, now: datetime) -> str | None:
    """Return a line to show when ``utc_offset`` is right for ``name`` only in the other half of the year, else None.

    ``now`` is aware. Raises BadInput for a zone that is not in the IANA database, and for an offset that the zone does
    not have in the year around ``now``.
    """
    try:
        zone = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadInput(
            f"time_zone.name: {name!r} is not a time zone", hint='write an IANA name such as "Asia/Shanghai"'
        ) from None
    today = _offset(now.astimezone(zone))
    if utc_offset == today:
        return None
    this_year = {_offset((now + timedelta(days=days)).astimezone(zone)) for days in range(0, 366, 7)}
    if utc_offset not in this_year:
        raise BadInput(f"time_zone: {name} is at {today}, not {utc_offset}", hint=f'write utc_offset = "{today}"')
    return (
        f"{name} is at {today} since its clocks changed, and the schedules still count with {utc_offset}: "
        f'write utc_offset = "{today}" in time_zone'
    )


def _offset(moment: datetime) -> str:
    text = moment.strftime("%z")
    return f"{text[:3]}:{text[3:5]}"
