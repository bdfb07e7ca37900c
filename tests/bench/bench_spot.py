"""A day planned from 30 days of hourly prices of 8 types in 20 zones, beside the loop that one would write first."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from dualtrack.cloud.prices import day, files
from dualtrack.cloud.prices.market import Wanted, market
from dualtrack.cloud.spot.model import Case, Demand, Limits
from dualtrack.cloud.spot.planner import plan

TYPES = (
    "p4d.24xlarge", "p4de.24xlarge", "p5.48xlarge", "p5e.48xlarge", "p5en.48xlarge", "g5.48xlarge", "g6.48xlarge",
    "g6e.48xlarge",
)  # fmt: skip
ZONES = tuple(f"us-east-1{letter}" for letter in "abcdefghijklmnopqrst")
DAYS = 30
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
ZONE = "Europe/Berlin"
RUNS = 7


def history(random: Random) -> list[tuple[str, float]]:
    """Return hourly prices of one type in one zone: cheap at night, some hours too expensive for the discount."""
    start = NOW - timedelta(days=DAYS)
    level = random.uniform(8, 24)
    moments = (start + timedelta(hours=number) for number in range(DAYS * 24))
    return [(at.isoformat(), round(level * (1 - 0.3 * (at.hour < 7)) * random.uniform(0.9, 1.1), 4)) for at in moments]


def document() -> dict[str, Any]:
    """Return the price file. The figures are invented: what is measured is the time that they take."""
    random = Random(5)
    prices = [{"type": type_, "where": ["us-east-1"], "source": "made", "on_demand": 30.0} for type_ in TYPES]
    prices += [
        {"type": type_, "where": [zone], "source": "made", "history": history(random)}
        for type_ in TYPES
        for zone in ZONES
    ]
    sources = {"made": {"what": "made for a benchmark", "taken": NOW.date().isoformat()}}
    return {"schema": "dualtrack.prices/1", "sources": sources, "prices": prices}


def ours(file: Path) -> tuple[float, float, float]:
    """Return the seconds of reading and checking, of the hours, and of the plan itself."""
    begin = time.perf_counter()
    book = files.load(file)
    read = time.perf_counter()
    seen = market(book, Wanted(region="us-east-1", zones=ZONES, types=TYPES, time_zone=ZONE, days=DAYS), NOW)
    turned = time.perf_counter()
    demand = Demand(tuple(64 if 8 <= hour < 20 else 128 for hour in range(24)))
    limits = Limits(spot_max=24, on_demand_max=8, base=1, ceiling=4000.0)
    repeats = day.longest(ZoneInfo(ZONE), NOW)
    made = plan(
        Case(market=seen, demand=demand, limits=limits, types=TYPES, gpus=8, on_demand_zones=ZONES, repeats=repeats)
    )
    end = time.perf_counter()
    assert made.money.plan > 0
    assert made.spot_zones
    return read - begin, turned - read, end - turned


def plain(file: Path) -> float:
    """Return the seconds of the plain way to the same levels: every row to local time, a list by hour, its mean."""
    begin = time.perf_counter()
    zone = ZoneInfo(ZONE)
    rows: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for entry in msgspec.json.decode(file.read_bytes())["prices"]:
        for at, usd in entry.get("history", ()):
            rows[entry["type"], entry["where"][0], datetime.fromisoformat(at).astimezone(zone).hour].append(usd)
    levels = {key: statistics.mean(found) for key, found in rows.items()}
    seconds = time.perf_counter() - begin
    assert len(levels) == len(TYPES) * len(ZONES) * 24
    return seconds


def median(measure: Callable[[], float]) -> float:
    """Return the median of several runs."""
    return statistics.median(measure() for _ in range(RUNS))


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "prices.json")
        file.write_bytes(msgspec.json.encode(document()))
        parts = [ours(file) for _ in range(RUNS)]
        peer = median(lambda: plain(file))
        size = file.stat().st_size / 2**20
    read, turned, planned = (statistics.median(column) for column in zip(*parts, strict=True))
    whole = statistics.median(sum(part) for part in parts)
    rows = len(TYPES) * len(ZONES) * DAYS * 24
    print(f"\na day planned from {rows:,} prices ({len(TYPES)} types, {len(ZONES)} zones, {DAYS} days; {size:.1f} MiB)")
    print(f"  dualtrack: file to plan            {whole:8.3f} s   (median of {RUNS})")
    print(f"    reading and checking the file    {read:8.3f} s")
    print(f"    prices by hour of the day        {turned:8.3f} s")
    print(f"    the plan                         {planned:8.3f} s")
    print(f"  prices by hour alone, plainly      {peer:8.3f} s   {peer / (read + turned):6.1f} x our reading and hours")


if __name__ == "__main__":
    main()
