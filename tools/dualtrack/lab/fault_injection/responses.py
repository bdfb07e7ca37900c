"""What the emulated API answers beyond moto: activities, prices, scores; calls throttled, late, or lied to."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from moto.autoscaling.exceptions import AutoscalingClientError
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, BaseResponse
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses import EC2Response

from dualtrack.lab.fault_injection import capacity
from dualtrack.lab.fault_injection.rules import Rules
from dualtrack.lab.fault_injection.scenario import LIES, Price

#: What services call it when one asks too often; EC2 has a name of its own.
THROTTLED = ("Throttling", "Rate exceeded")
EC2_THROTTLED = ("RequestLimitExceeded", "Request limit exceeded.")
PAGE = 1000


def install(rules: Rules) -> None:
    """Replace moto's empty answers, and put the scenario's conditions in front of every action."""
    every: Any = BaseResponse
    scaling: Any = AutoScalingResponse
    ec2: Any = EC2Response
    plain_call = every.call_action
    plain_prices = ec2.describe_spot_price_history
    plain_groups = scaling.describe_auto_scaling_groups

    def call_action(self: Any) -> Any:
        action, scenario = self._get_action() or "", rules.now()
        if late := rules.take(scenario.delays, action):
            time.sleep(late.seconds)
        if rules.take(scenario.throttles, action):
            status, headers, body = self.serialized(ActionResult(throttled(self.service_name)))
            return status, {**headers, "status": str(status)}, body
        if action in LIES and rules.take(scenario.lies, action):
            return self.serialized(ActionResult({LIES[action]: []}))
        return plain_call(self)

    def describe_auto_scaling_groups(self: Any) -> ActionResult:
        result: ActionResult = plain_groups(self)
        if not rules.take(rules.now().lies, "DescribeAutoScalingGroups/Instances"):
            return result
        assert isinstance(result.result, dict)  # noqa: S101 - for the type checker
        groups = [Stripped(group) for group in result.result["AutoScalingGroups"]]
        return ActionResult({**result.result, "AutoScalingGroups": groups})

    def describe_scaling_activities(self: Any) -> ActionResult:
        with capacity.LOCK:
            groups = self.autoscaling_backend.describe_auto_scaling_groups(
                _one(self._get_param("AutoScalingGroupName"))
            )
            found = [it for group in groups for it in capacity.activities(group)]
        wanted = self._get_param("ActivityIds", [])
        found = [it for it in found if not wanted or it["ActivityId"] in wanted]
        found.sort(key=lambda it: it["StartTime"], reverse=True)
        page, token = paged(found, self._get_param("NextToken"), self._get_int_param("MaxRecords", 100))
        return ActionResult({"Activities": page, "NextToken": token})

    def describe_spot_price_history(self: Any) -> ActionResult:
        prices = rules.prices()
        if not prices:
            plain: ActionResult = plain_prices(self)
            return plain
        filters = self._filters_from_querystring()
        zones = {*_one(self._get_param("AvailabilityZone")), *filters.get("availability-zone", ())}
        types = {*self._get_param("InstanceTypes", []), *filters.get("instance-type", ())}
        found = history(
            [p for p in prices if (not zones or p.zone in zones) and (not types or p.instance_type in types)],
            _time(self._get_param("StartTime")), _time(self._get_param("EndTime")) or datetime.now(UTC),
        )  # fmt: skip
        page, token = paged(found, self._get_param("NextToken"), self._get_int_param("MaxResults", PAGE))
        return ActionResult({"SpotPriceHistory": [_shown(p) for p in page], "NextToken": token})

    def get_spot_placement_scores(self: Any) -> ActionResult:
        scores = rules.now().scores
        if not scores:
            raise EC2ClientError("UnsupportedOperation", "The lab's scenario has no placement scores.")
        ids = {zone.name: zone.zone_id for zone in self.ec2_backend.describe_availability_zones()}
        found = [
            {"Region": self.region, "AvailabilityZoneId": ids[it.zone], "Score": it.score}
            for it in scores
            if it.zone in ids
        ]
        if not self._get_bool_param("SingleAvailabilityZone", False):
            best = max((it["Score"] for it in found), default=0)
            found = [{"Region": self.region, "Score": best}] if found else []
        return ActionResult({"SpotPlacementScores": found})

    every.call_action = call_action
    scaling.describe_auto_scaling_groups = describe_auto_scaling_groups
    scaling.describe_scaling_activities = describe_scaling_activities
    ec2.describe_spot_price_history = describe_spot_price_history
    ec2.get_spot_placement_scores = get_spot_placement_scores


class Stripped:
    """A group that looks as it is, but seems to have no instances."""

    def __init__(self, group: Any) -> None:
        self._group = group
        self.instances: list[Any] = []
        self.instance_states: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._group, name)


def throttled(service: str) -> ServiceException:
    """Return the error of a service that was asked too often."""
    # moto finds how to write an error by the module that its class is from.
    return EC2ClientError(*EC2_THROTTLED) if service == "ec2" else AutoscalingClientError(*THROTTLED)


def history(prices: Iterable[Price], start: datetime | None, end: datetime) -> list[Price]:
    """Return the prices of a time window, newest first: changes in it, and of each curve the one in force at its start.

    Without ``start``: those in force at ``end``, as AWS answers.
    """
    begin = start or end
    curves: dict[tuple[str, str], list[Price]] = {}
    for price in prices:
        if price.at <= end:
            curves.setdefault((price.instance_type, price.zone), []).append(price)
    found = []
    for curve in curves.values():
        curve.sort(key=lambda it: it.at)
        before = [it for it in curve if it.at <= begin]
        found += [*before[-1:], *(it for it in curve if it.at > begin)]
    return sorted(found, key=lambda it: it.at, reverse=True)


def paged(found: list[Any], token: str | None, size: int | None) -> tuple[list[Any], str | None]:
    """Return one page of ``found`` and the token of the next, None on the last. A token is where the page begins."""
    begin = int(token) if token and token.isdecimal() else 0
    end = begin + max(1, size or PAGE)
    return found[begin:end], str(end) if end < len(found) else None


def _shown(price: Price) -> dict[str, Any]:
    return {
        "InstanceType": price.instance_type, "ProductDescription": "Linux/UNIX", "SpotPrice": f"{price.usd:.6f}",
        "AvailabilityZone": price.zone, "Timestamp": price.at,
    }  # fmt: skip


def _one(name: str | None) -> list[str]:
    return [name] if name else []


def _time(value: Any) -> datetime | None:
    if not value:
        return None
    when = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    return when if when.tzinfo else when.replace(tzinfo=UTC)
