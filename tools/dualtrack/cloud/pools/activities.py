"""What a scaling activity says of a launch. Pure; the wording is AWS's, as seen in public reports.

Such as: "Could not launch Spot Instances. InsufficientInstanceCapacity - There is no Spot capacity available that
matches your request. Launching EC2 instance failed." The message may be cut after 255 characters, and older groups
leave the code out: "Max spot instance count exceeded. Launching EC2 instance failed."
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from dualtrack.cloud.pools.model import Failure, PoolLifecycle, Why

CODE = re.compile(r"Instances\. ([A-Z][A-Za-z]+(?:\.[A-Za-z]+)?) - ")
#: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
WHY: dict[str, Why] = {
    "InsufficientInstanceCapacity": "capacity",
    "UnfulfillableCapacity": "capacity",
    "InsufficientCapacity": "capacity",
    "InsufficientHostCapacity": "capacity",
    "SpotMaxPriceTooLow": "capacity",
    "MaxSpotInstanceCountExceeded": "quota",
    "VcpuLimitExceeded": "quota",
    "InstanceLimitExceeded": "quota",
    "MaxSpotFleetRequestCountExceeded": "quota",
}
#: What is said where the code is left out.
WORDS: tuple[tuple[str, str], ...] = (
    ("max spot instance count exceeded", "MaxSpotInstanceCountExceeded"),
    ("more vcpu capacity than your current vcpu limit", "VcpuLimitExceeded"),
    ("no spot capacity available", "InsufficientInstanceCapacity"),
    ("do not have sufficient", "InsufficientInstanceCapacity"),
    ("unable to fulfill capacity", "UnfulfillableCapacity"),
)
ZONE = re.compile(r"Availability Zone you requested \(([a-z0-9-]+)\)")


def failure(activity: Mapping[str, Any]) -> Failure | None:
    """Return the failed launch that an activity of DescribeScalingActivities tells, None where it tells none."""
    if activity.get("StatusCode") not in ("Failed", "Cancelled") or "Launching" not in activity.get("Description", ""):
        return None
    message = str(activity.get("StatusMessage") or activity.get("Description", ""))
    code = _code(message)
    return Failure(
        at=activity["StartTime"].timestamp(),
        zone=zone_of(activity, message),
        why=WHY.get(code, "other"),
        code=code,
        message=message,
    )


def success(activity: Mapping[str, Any]) -> tuple[float, str] | None:
    """Return (time, zone) of a launch that succeeded, None where the activity tells none."""
    if activity.get("StatusCode") != "Successful" or "Launching" not in activity.get("Description", ""):
        return None
    return activity["StartTime"].timestamp(), zone_of(activity, "")


def zone_of(activity: Mapping[str, Any], message: str) -> str:
    """Return the zone of a launch, '' where the activity does not say."""
    try:
        details = json.loads(activity.get("Details") or "{}")
    except ValueError:
        details = {}
    named = details.get("Availability Zone") if isinstance(details, dict) else None
    found = ZONE.search(message)
    return str(named or (found[1] if found else ""))


def _code(message: str) -> str:
    if found := CODE.search(message):
        return found[1]
    if known := next((code for code in WHY if code in message), ""):
        return known
    said = message.lower()
    return next((code for words, code in WORDS if words in said), "Unknown")


#: vCPU quotas of EC2 by family of instance types: (its letters, spot, on demand). The first family that fits.
#: https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html
QUOTAS = (
    (r"p[5-9]", "All P5 Spot Instance Requests (L-C4BD4855)", "Running On-Demand P instances (L-417A185B)"),
    (r"p", "All P4, P3 and P2 Spot Instance Requests (L-7212CCBC)", "Running On-Demand P instances (L-417A185B)"),
    (r"g|vt", "All G and VT Spot Instance Requests (L-3819A6DF)", "Running On-Demand G and VT instances (L-DB2E81BA)"),
    (
        r"[acdhimrtz]",
        "All Standard Spot Instance Requests (L-34B43A08)",
        "Running On-Demand Standard instances (L-1216C47A)",
    ),
)  # fmt: skip


def quota(instance_type: str, lifecycle: PoolLifecycle) -> str:
    """Return the name and code of the quota that an instance type counts against."""
    for family, spot, on_demand in QUOTAS:
        if re.match(rf"({family})\d*[a-z-]*\.", instance_type):
            return spot if lifecycle == "spot" else on_demand
    return f"the vCPU quota of {instance_type} ({lifecycle})"
