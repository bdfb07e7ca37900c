"""Zones without capacity: out of a spot pool's group temporarily, and back. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from dualtrack.cloud.pools.model import CapacityBackoff, Decision, ExcludedZone, Group, Policy, PoolState, Rezone

#: A zone that is starved again soon after it came back stays out twice as long, and so on, up to 2 to this power.
DOUBLINGS = 3


def starved(group: Group, policy: Policy, now: float, before: Mapping[str, CapacityBackoff]) -> dict[str, int]:
    """Return the zones whose last launches all failed because of missing capacity: zone to how often, within the
    window.

    ``before``: when each zone was last left out. What failed until then has had its consequence: a zone that gets
    another chance is assessed by that chance.
    """
    last: dict[str, float] = {}
    for at, zone in group.successes:
        if at <= now:
            last[zone] = max(at, last.get(zone, 0.0))
    counts: dict[str, int] = {}
    for failure in group.failures:
        settled = before[failure.zone].at if failure.zone in before else 0.0
        recent = max(now - policy.window_s, settled) < failure.at <= now
        if recent and failure.why == "capacity" and failure.zone and failure.at > last.get(failure.zone, 0.0):
            counts[failure.zone] = counts.get(failure.zone, 0) + 1
    return {zone: count for zone, count in counts.items() if count >= policy.failure_threshold}


def decide(group: Group, memory: PoolState, policy: Policy, now: float) -> tuple[list[Decision], PoolState]:
    """Return which zones a spot pool's group leaves or gets back, and what to remember of it."""
    failing = starved(group, policy, now, memory.starved)
    avoided = {zone: it for zone, it in memory.avoided.items() if zone in group.zones}
    for zone in group.zones:
        if zone not in group.inside and zone not in avoided:
            avoided[zone] = ExcludedZone(now + policy.cooldown_s, "it was out of the group when the watch looked")
    history = {zone: it for zone, it in memory.starved.items() if not _works(group, zone, it, now)}
    back = [zone for zone, it in avoided.items() if it.until <= now]
    out = [zone for zone in group.inside if zone in failing or (zone in avoided and zone not in back)]
    notes: list[Decision] = []
    if out and not [zone for zone in group.inside if zone not in out]:
        # AWS tries every zone of a group in turn; a group without zones could not launch at all.
        names = ", ".join(out)
        notes.append(
            Decision(
                kind="note", pool=group.pool, reason=f"launches fail in every zone that is left ({names}): all stay"
            )
        )
        out = []
    reasons = []
    for zone in out:
        if zone not in avoided:
            times = history[zone].times if zone in history else 0
            history[zone] = CapacityBackoff(times + 1, now)
            seconds = policy.cooldown_s * 2 ** min(times, DOUBLINGS)
            avoided[zone] = ExcludedZone(
                now + seconds, f"{failing[zone]} launches failed there because of missing capacity"
            )
        reasons.append(f"{zone} is left out for {_minutes(avoided[zone].until - now)}: {avoided[zone].why}")
    for zone in back:
        del avoided[zone]
        reasons.append(f"{zone} gets another chance: its time is over")
    fresh = msgspec.structs.replace(memory, avoided=avoided, starved=history)
    inside = tuple(zone for zone in group.zones if zone not in avoided)
    wanted = (*(group.zones[zone] for zone in inside), *_others(group))
    if not reasons or set(wanted) == set(group.subnets):
        return notes, fresh
    action = Rezone(pool=group.pool, group=group.group, subnets=wanted, hold=group.balances, zones=inside)
    decision = Decision(kind="avoid" if out else "return", pool=group.pool, reason="; ".join(reasons), action=action)
    return [*notes, decision], fresh


def _works(group: Group, zone: str, before: CapacityBackoff, now: float) -> bool:
    """Tell whether a zone has had capacity since it was starved."""
    return any(where == zone and before.at < at <= now for at, where in group.successes)


def _others(group: Group) -> tuple[str, ...]:
    """Return the group's subnets that are not the stack's: somebody else's, and left alone."""
    return tuple(subnet for subnet in group.subnets if subnet not in group.zones.values())


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
