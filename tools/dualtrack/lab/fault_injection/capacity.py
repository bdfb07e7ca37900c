"""How a scaling group of the emulated AWS launches: over its zones, in its order of types, and not always.

moto's own groups get every instance at once, in their first subnet. These spread over the group's zones, fail where
the scenario says so, stay short then and try again, and tell each launch and each end as an activity.
https://docs.aws.amazon.com/autoscaling/ec2/userguide/auto-scaling-benefits.html describes what is imitated.
"""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterable
from typing import Any

from moto.autoscaling import models
from moto.core.utils import utcnow

from dualtrack.lab.fault_injection.rules import Rules
from dualtrack.lab.fault_injection.scenario import Denial, Lifecycle, status_message

log = logging.getLogger("emulator")
Group: Any = models.FakeAutoScalingGroup
Backend: Any = models.AutoScalingBackend
#: Activities kept of a group. AWS keeps six weeks of them.
KEPT = 500
#: moto has no lock of its own; groups are changed by requests and by the timer that lets them try again.
LOCK = threading.RLock()


def install(rules: Rules) -> None:
    """Replace the launching part of moto's scaling groups, and start the timer."""
    plain_set, plain_update = Group.set_desired_capacity, Group.update
    plain_notify = Backend.notify_terminate_instances

    def launch(self: Any, count_needed: int, propagated_tags: dict[str, str]) -> None:
        with LOCK:
            if not suspended(self, "Launch"):
                Launcher(rules, self, propagated_tags).launch(count_needed)

    def set_desired_capacity(self: Any, new_capacity: int | None) -> None:
        with LOCK:
            before, wanted = members(self), self.__dict__.get("desired_capacity")
            plain_set(self, new_capacity)
            for gone in sorted(before - members(self)):
                ended(self, gone, f"a user request changed the desired capacity from {wanted} to {new_capacity}")

    def update(self: Any, **wanted: Any) -> None:
        with LOCK:
            # moto would forget the policy where an update does not name it, and take a short group's size for its wish.
            if not any(wanted.get(it) for it in ("mixed_instances_policy", "launch_config_name", "launch_template")):
                wanted["mixed_instances_policy"] = named_once(self.mixed_instances_policy)
            if wanted.get("desired_capacity") is None:
                low = wanted["min_size"] if wanted.get("min_size") is not None else self.min_size
                high = wanted["max_size"] if wanted.get("max_size") is not None else self.max_size
                wanted["desired_capacity"] = min(max(self.desired_capacity, low), high)
            plain_update(self, **wanted)
            rebalance(self)

    def notify_terminate_instances(self: Any, instance_ids: list[str]) -> None:
        with LOCK:
            for group in self.autoscaling_groups.values():
                for gone in sorted(members(group) & set(instance_ids)):
                    ended(group, gone, "an instance was taken out of service in response to an EC2 health check"
                          " indicating it has been terminated or stopped")  # fmt: skip
            plain_notify(self, instance_ids)

    Group.replace_autoscaling_group_instances = launch
    Group.set_desired_capacity = set_desired_capacity
    Group.update = update
    Backend.notify_terminate_instances = notify_terminate_instances
    threading.Thread(target=keep_trying, args=(rules,), daemon=True, name="groups").start()


def keep_trying(rules: Rules, poll_s: float = 0.2) -> None:
    """Let every short group launch again, ``retry_s`` after its last try, and a large one end nodes. Does not return.

    A group that is too large has nodes that were protected from its scale-in, and ends them when they are not any more.
    """
    tried: dict[str, float] = {}
    while True:
        time.sleep(poll_s)
        now = time.monotonic()
        for _, regions in list(models.autoscaling_backends.items()):
            for _, backend in list(regions.items()):
                for group in list(backend.autoscaling_groups.values()):
                    with LOCK:
                        if len(group.active_instances()) == (group.desired_capacity or 0):
                            tried[group.arn] = now
                        elif now - tried.setdefault(group.arn, now) >= rules.now().retry_s:
                            tried[group.arn] = now
                            try:
                                group.set_desired_capacity(group.desired_capacity)
                            except Exception:  # the timer must outlive a group that moto cannot serve
                                log.exception("group %s", group.name)


def named_once(policy: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a group's policy as a request may hold it: its launch template by id alone."""
    if not policy:
        return None
    template = policy["LaunchTemplate"]
    by_id = {
        key: value for key, value in template["LaunchTemplateSpecification"].items() if key != "LaunchTemplateName"
    }
    return {**policy, "LaunchTemplate": {**template, "LaunchTemplateSpecification": by_id}}


def members(group: Any) -> set[str]:
    """Return the ids of a group's instances (none while the group is being made)."""
    return {state.instance.id for state in group.__dict__.get("instance_states", ())}


def suspended(group: Any, process: str) -> bool:
    """Tell whether one of a group's processes is suspended."""
    return process in group._suspended_processes


def activities(group: Any) -> deque[dict[str, Any]]:
    """Return a group's activities, newest first."""
    found: deque[dict[str, Any]] = group.__dict__.setdefault("dualtrack_activities", deque(maxlen=KEPT))
    return found


def record(
    group: Any, description: str, cause: str, *, zone: str = "", subnet: str = "", failed: str = ""
) -> None:  # fmt: skip
    """Add an activity as AWS tells it. ``failed`` is the StatusMessage of a failure."""
    when = utcnow()
    details = {"Subnet ID": subnet, "Availability Zone": zone} if subnet else {"Availability Zone": zone}
    activities(group).appendleft({
        "ActivityId": str(uuid.uuid4()), "AutoScalingGroupName": group.name, "Description": description,
        "Cause": f"At {when:%Y-%m-%dT%H:%M:%SZ} {cause}", "StartTime": when, "EndTime": when,
        "StatusCode": "Failed" if failed else "Successful", "StatusMessage": failed or None, "Progress": 100,
        "Details": json.dumps(details), "AutoScalingGroupARN": group.arn,
    })  # fmt: skip


def ended(group: Any, instance: str, cause: str) -> None:
    """Add the activity of an instance's end."""
    record(group, f"Terminating EC2 instance: {instance}", f"{cause}.")


def rebalance(group: Any) -> None:
    """End what runs outside the group's zones, replacements first: AWS does so unless AZRebalance is suspended.

    https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-availability-zone-balanced.html
    """
    outside = [state for state in group.active_instances() if state.availability_zone not in group.availability_zones]
    if not outside or suspended(group, "AZRebalance"):
        return
    group.replace_autoscaling_group_instances(len(outside), group.get_propagated_tags())
    ids = {state.instance.id for state in outside}
    group.instance_states = [state for state in group.instance_states if state.instance.id not in ids]
    group.autoscaling_backend.ec2_backend.terminate_instances(sorted(ids))
    for gone in sorted(ids):
        ended(group, gone, "an instance was taken out of service in response to a difference between the group's zones")


class Launcher:
    """One group's launches."""

    def __init__(self, rules: Rules, group: Any, tags: dict[str, str]) -> None:
        self.rules, self.group = rules, group
        self.tags = {**tags, models.ASG_NAME_TAG: group.name, **group.instance_tags}
        self.backend = group.autoscaling_backend.ec2_backend

    def launch(self, count: int) -> None:
        """Launch ``count`` instances, as many as can be had: a failed one ends this try, as on AWS."""
        for _ in range(count):
            if not self.launch_one(self.next_lifecycle()):
                return

    def launch_one(self, lifecycle: Lifecycle) -> bool:
        """Launch one instance in the first zone that has one, the zone with the fewest first."""
        for zone, subnet in self.zones():
            denied: Denial | None = None
            for instance_type in self.types():
                found = self.rules.denial(lifecycle, instance_type, zone)
                if found is None:
                    self.start(lifecycle, instance_type, zone, subnet)
                    return True
                denied = denied or found
            if denied is not None:
                self.rules.count(denied)
                message = status_message(lifecycle, denied.error, self.types()[0], zone)
                record(self.group, "Launching a new EC2 instance.  Status Reason: " + message, self.why(), zone=zone,
                       subnet=subnet, failed=message)  # fmt: skip
                if denied.error == "quota":  # the account's: no other zone has more of it
                    return False
        return False

    def why(self) -> str:
        """Return the cause of a launch."""
        group, now = self.group, len(self.group.active_instances())
        return (
            "an instance was started in response to a difference between desired and actual capacity, increasing the"
            f" capacity from {now} to {group.desired_capacity}."
        )

    def zones(self) -> list[tuple[str, str]]:
        """Return (zone, subnet) of the group, those with the fewest of its instances first; subnet '' without a VPC."""
        group = self.group
        if group.vpc_zone_identifier:
            subnets = self.backend.describe_subnets(subnet_ids=group.vpc_zone_identifier.split(","))
            found = [(subnet.availability_zone, subnet.id) for subnet in subnets]
        else:
            found = [(zone, "") for zone in group.availability_zones]
        here = [state.availability_zone for state in group.active_instances()]
        return sorted(found, key=lambda pair: (here.count(pair[0]), pair))

    def types(self) -> list[str]:
        """Return the instance types of the group in its order of preference."""
        policy = self.group.mixed_instances_policy or {}
        overrides: Iterable[dict[str, Any]] = policy.get("LaunchTemplate", {}).get("Overrides") or ()
        return [it["InstanceType"] for it in overrides if it.get("InstanceType")] or [self.group.instance_type]

    def next_lifecycle(self) -> Lifecycle:
        """Return what the group buys next: on demand up to its base and share; its tag decides without a policy."""
        distribution = (self.group.mixed_instances_policy or {}).get("InstancesDistribution")
        if not distribution:
            return "spot" if self.tags.get("dualtrack:lifecycle") == "spot" else "on-demand"
        states = self.group.active_instances()
        bought = sum(state.instance.lifecycle != "spot" for state in states)
        base = int(distribution.get("OnDemandBaseCapacity", 0))
        share = int(distribution.get("OnDemandPercentageAboveBaseCapacity", 100)) / 100
        above = max(0, len(states) + 1 - base)
        return "on-demand" if bought < min(base, len(states) + 1) + int(above * share) else "spot"

    def start(self, lifecycle: Lifecycle, instance_type: str, zone: str, subnet: str) -> None:
        """Start one instance, marked as spot where it is one (moto does not mark a group's)."""
        group = self.group
        cause = self.why()
        template = group.ec2_launch_template
        config = group.launch_config
        reservation = self.backend.run_instances(
            group.image_id, 1, group.user_data, group.security_groups, instance_type=instance_type,
            tags={"instance": dict(self.tags)}, placement=zone, launch_config=config,
            launch_template={"LaunchTemplateId": template.id} if template else None,
            is_instance_type_default=False, subnet_id=subnet or None,
            associate_public_ip=config.associate_public_ip_address if config else None,
        )  # fmt: skip
        for instance in reservation.instances:
            instance.lifecycle = "spot" if lifecycle == "spot" else None
            instance.autoscaling_group = group
            group.instance_states.append(
                models.InstanceState(
                    instance, protected_from_scale_in=group.new_instances_protected_from_scale_in
                )
            )  # fmt: skip
            record(group, f"Launching a new EC2 instance: {instance.id}", cause, zone=zone, subnet=subnet)
