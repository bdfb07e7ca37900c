from __future__ import annotations

from datetime import UTC, datetime

import pytest

from dualtrack.cloud.clock import offset_notice
from dualtrack.core.errors import BadInput

WINTER, SUMMER = datetime(2026, 1, 15, tzinfo=UTC), datetime(2026, 7, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "offset", "now"),
    [
        ("Asia/Shanghai", "+08:00", WINTER),
        ("Asia/Shanghai", "+08:00", SUMMER),
        ("Europe/Berlin", "+01:00", WINTER),
        ("Europe/Berlin", "+02:00", SUMMER),
        ("Asia/Kathmandu", "+05:45", WINTER),
        ("America/New_York", "-05:00", WINTER),
    ],
)
def test_right(zone: str, offset: str, now: datetime) -> None:
    assert offset_notice(zone, offset, now) is None


def test_the_other_half_of_the_year_is_a_notice() -> None:
    notice = offset_notice("Europe/Berlin", "+02:00", WINTER)
    assert notice
    assert 'write utc_offset = "+01:00"' in notice


@pytest.mark.parametrize(("zone", "offset"), [("Asia/Shanghai", "+09:00"), ("Europe/Berlin", "-01:00")])
def test_an_offset_that_the_zone_never_has_is_refused(zone: str, offset: str) -> None:
    with pytest.raises(BadInput, match=f"{zone} is at .*, not "):
        offset_notice(zone, offset, WINTER)


@pytest.mark.parametrize("zone", ["Asia/Shangai", "../etc/passwd", "", "CST8"])
def test_unknown_zone(zone: str) -> None:
    with pytest.raises(BadInput, match="is not a time zone"):
        offset_notice(zone, "+08:00", WINTER)
