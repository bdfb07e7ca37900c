"""The live API's spot price history and placement scores: the one module of the prices that talks to AWS."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from dualtrack.cloud.prices.book import Book, Spot, implausible
from dualtrack.core import aws
from dualtrack.core.errors import External

#: Both names that AWS has given to Linux in a VPC.
PRODUCTS = ("Linux/UNIX", "Linux/UNIX (Amazon VPC)")
#: AWS keeps 90 days: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSpotPriceHistory.html
MOST_DAYS = 90


def with_history(
    book: Book, api: Any, types: Sequence[str], zones: Sequence[str], now: datetime, days: int
) -> tuple[Book, int]:
    """Return ``book`` with the live spot prices of the last ``days`` days in place of its own, and the rows read.

    ``api`` is an EC2 client. AWS returns changes, the one in force at the beginning among them, so each price holds
    until the next. External with one line when AWS refuses, is silent, or names a price that can be none.
    """
    rows: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in _history(api, types, zones, now - timedelta(days=min(days, MOST_DAYS))):
        try:
            usd, at, key = float(row["SpotPrice"]), row["Timestamp"], (row["InstanceType"], row["AvailabilityZone"])
            problem = implausible(usd)
        except (KeyError, ValueError) as error:
            problem = f"{type(error).__name__} {error}"
        if problem:
            where = f"{row.get('InstanceType')} in {row.get('AvailabilityZone')}"
            raise External(
                f"AWS names {row.get('SpotPrice')} as the spot price of {where}: {problem}",
                hint="ask again, or plan with --prices FILE",
            )
        rows.setdefault(key, []).append((at.timestamp(), usd))
    if not rows:
        raise External(
            f"AWS knows no spot price of {', '.join(types)} in {', '.join(zones)}",
            hint="are these types offered there? aws ec2 describe-instance-type-offerings",
        )
    taken = now.astimezone(UTC).date().isoformat()
    spot = {
        (kind, zone): Spot(
            type=kind, place=zone, taken=taken, source="AWS", regional=False, history=tuple(sorted(found))
        )
        for (kind, zone), found in rows.items()
    }
    return Book(book.on_demand_facts, spot), sum(len(found) for found in rows.values())


def _history(api: Any, types: Sequence[str], zones: Sequence[str], start: datetime) -> list[dict[str, Any]]:
    with aws.errors():
        pages = api.get_paginator("describe_spot_price_history").paginate(
            InstanceTypes=list(types), ProductDescriptions=list(PRODUCTS), StartTime=start,
            Filters=[{"Name": "availability-zone", "Values": list(zones)}],
        )  # fmt: skip
        return [row for page in pages for row in page["SpotPriceHistory"]]


def scores(api: Any, types: Sequence[str], region: str, nodes: int) -> tuple[dict[str, int], str]:
    """Return AWS's placement score (1 to 10) by zone for ``nodes`` spot instances; with none, why in one line.

    Scores are an opinion, not a promise: a plan continues without them.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        zones = api.describe_availability_zones()["AvailabilityZones"]
        names = {zone["ZoneId"]: zone["ZoneName"] for zone in zones}
        request: dict[str, Any] = {
            "InstanceTypes": list(types), "TargetCapacity": max(nodes, 1), "TargetCapacityUnitType": "units",
            "SingleAvailabilityZone": True, "RegionNames": [region],
        }  # fmt: skip
        found: dict[str, int] = {}
        while True:
            page = api.get_spot_placement_scores(**request)
            for entry in page.get("SpotPlacementScores", ()):
                if entry.get("AvailabilityZoneId") in names:
                    found[names[entry["AvailabilityZoneId"]]] = int(entry["Score"])
            if not page.get("NextToken"):
                break
            request["NextToken"] = page["NextToken"]
    except (ClientError, BotoCoreError) as error:
        code = error.response.get("Error", {}).get("Code", "") if isinstance(error, ClientError) else str(error)
        return {}, f"AWS gave no placement scores ({code}): zones are ordered by price alone"
    return found, "" if found else "AWS gave no placement scores: zones are ordered by price alone"
