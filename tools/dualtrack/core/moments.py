"""Moments that people write: `90s`, `15m`, `2h`, `now-3d` (ago), or a date and time (pure)."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from dualtrack.core.errors import BadInput

_AGO = re.compile(r"(?:now-)?(\d{1,6})\s*([smhdw])", re.ASCII)
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def since(text: str, now: float) -> float:
    """Return a moment as seconds since 1970; a time without a zone is UTC. BadInput where it is none."""
    if text.strip().lower() == "now":
        return now
    try:
        if found := _AGO.fullmatch(text.strip().lower()):
            at = now - int(found[1]) * SECONDS[found[2]]
        else:
            moment = datetime.fromisoformat(text.strip())
            at = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        stamp(at)  # years before 1 and after 9999 are none
    except (ValueError, OverflowError):
        raise BadInput(
            f"{text.strip() or repr(text)} is not a time", hint="write 90s, 15m, 2h, 3d, or 2026-11-29T08:00"
        ) from None
    return at


def stamp(at: float) -> str:
    """Return a moment as ISO 8601 in UTC, to the second."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
