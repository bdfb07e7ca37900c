"""The decisions of one reconciliation cycle: from an observation and a state to actions with reasons, and a new state.

Pure and level-triggered: nothing depends on having seen an event. Whatever happened since the last cycle, a restart of
the controller or a change at the console included, the next cycle starts from what is there.
"""

from __future__ import annotations

import msgspec

from dualtrack.cloud.pools import fallback, zones
from dualtrack.cloud.pools.fallback import Budget, note
from dualtrack.cloud.pools.model import Decision, Group, Kind, Observation, Policy, PoolState, State

#: A clock that is off by this much is said, in seconds. Nothing depends on ours: all times are AWS's.
SKEW_S = 60.0


def decide(observation: Observation, memory: State, policy: Policy, now: float) -> tuple[tuple[Decision, ...], State]:
    """Return the decisions of this cycle and what to remember.

    ``now`` is AWS's clock. Pools whose answers are not believed (`Group.inconsistency`) are neither acted upon nor
    remembered as they seem. When the clock went back, nothing is decided and waiting starts anew.
    """
    if now < memory.at - 1:
        said = f"AWS's clock went back by {memory.at - now:.0f} s: waiting starts anew"
        return (note("", said),), _restart(memory, now)
    notes: list[Decision] = []
    if abs(observation.skew) > SKEW_S:
        notes.append(note("", f"this machine's clock is {observation.skew:+.0f} s off AWS's, which counts"))
    for name, group in sorted(observation.groups.items()):
        if group.inconsistency:
            notes.append(note(name, f"no action for {group.group}: {group.inconsistency}"))
    groups = {name: group for name, group in observation.groups.items() if not group.inconsistency}
    memory, settled = _observe(groups, memory, policy, now)
    notes += settled
    decisions: list[Decision] = []
    for name, group in sorted(groups.items()):
        if group.lifecycle == "spot":
            found, fresh = zones.decide(group, memory.pools[name], policy, now)
            decisions += found
            memory = memory.with_pool(name, fresh)
    resizes, memory = _resize_fallback(observation.groups, groups, memory, policy, now)
    return (*notes, *decisions, *resizes), msgspec.structs.replace(memory, at=now)


def _restart(memory: State, now: float) -> State:
    """Return the memory with every clock of it set anew."""
    pools = {
        name: msgspec.structs.replace(
            it, at=now, lack=None, surplus=None, asked=it.asked and msgspec.structs.replace(it.asked, at=now)
        )
        for name, it in memory.pools.items()
    }
    return msgspec.structs.replace(memory, at=now, pools=pools)


def _observe(
    groups: dict[str, Group], memory: State, policy: Policy, now: float
) -> tuple[State, list[Decision]]:  # fmt: skip
    """Take what was seen into the memory: sizes that somebody else set, nodes, and the clocks of spot pools."""
    notes: list[Decision] = []
    for name, group in sorted(groups.items()):
        if group.lifecycle == "on-demand":
            said, memory = fallback.adopt_size(group, memory, policy, now)
            notes += [note(name, said)] if said else []
        known = memory.pools.get(name) or PoolState(at=now, base=group.desired)
        if now - known.at > policy.gap_s:
            known = msgspec.structs.replace(known, lack=None, surplus=None)
        known = msgspec.structs.replace(known, at=now, nodes=tuple(node.id for node in group.nodes))
        if group.lifecycle == "spot":
            known = fallback.with_clocks(group, known, sum(memory.fallback.get(name, {}).values()), now)
        memory = memory.with_pool(name, known)
        notes += _operator_notes(group, policy, now)
    return memory, notes


def _operator_notes(group: Group, policy: Policy, now: float) -> list[Decision]:
    """Return what is wrong with a group that only a person can repair."""
    notes = []
    recent = [it for it in group.failures if now - policy.window_s <= it.at <= now] if group.short else []
    quota = next((it for it in recent if it.why == "quota"), None)
    other = next((it for it in recent if it.why == "other"), None)
    if quota is not None:
        notes.append(note(group.pool, f"{group.group} has no quota left ({quota.code}): {fallback.quota_of(group)}"))
    if other is not None:
        why = f"{group.group} cannot launch, and not because of missing capacity: {other.message}"
        notes.append(note(group.pool, why))
    if not group.launches:
        # https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-suspend-resume-processes.html
        why = "AWS does so after a day of failures; aws autoscaling resume-processes ends it"
        notes.append(note(group.pool, f"launches of {group.group} are suspended ({why})"))
    return notes


def _resize_fallback(
    seen: dict[str, Group], groups: dict[str, Group], memory: State, policy: Policy, now: float
) -> tuple[list[Decision], State]:
    """Return the new sizes of the on-demand pools, each with its reasons, and what to remember."""
    budget = Budget(seen, policy)
    shares_by_spot = {spot: dict(shares) for spot, shares in memory.fallback.items()}
    why: dict[str, list[str]] = {}
    notes: list[Decision] = []
    pools = dict(memory.pools)
    for name in sorted({*groups, *shares_by_spot}):
        mine = shares_by_spot.get(name, {})
        fresh, reason, said = _fallback_for(name, mine, seen, pools, budget, now)
        notes += [note(name, said)] if said else []
        for pool in {*mine, *fresh}:
            if mine.get(pool, 0) != fresh.get(pool, 0):
                why.setdefault(pool, []).append(reason)
                budget.free(pool, mine.get(pool, 0) - fresh.get(pool, 0))
        if mine != fresh and name in pools:
            pools[name] = msgspec.structs.replace(pools[name], lack=None, surplus=None)
        shares_by_spot[name] = fresh
    for pool in fallback.trim(shares_by_spot, groups, budget):
        why.setdefault(pool, []).append(f"the ceiling is {policy.ceiling:,.0f} US$ a day")
    after = State(memory.at, pools, {spot: shares for spot, shares in shares_by_spot.items() if shares})
    decisions = []
    for pool, reasons in sorted(why.items()):
        group, size = groups[pool], pools[pool].base + after.fallback_nodes(pool)
        if size == group.desired:
            continue
        action, asked = fallback.resize(group, memory, size, now)
        after = after.with_pool(pool, msgspec.structs.replace(pools[pool], asked=asked))
        kind: Kind = "raise" if size > group.desired else "lower"
        reason = "; ".join(dict.fromkeys(reasons))
        decisions.append(
            Decision(kind=kind, pool=pool, reason=f"{group.desired} → {size} nodes: {reason}", action=action)
        )
    return [*notes, *decisions], after


def _fallback_for(
    name: str, mine: dict[str, int], seen: dict[str, Group], pools: dict[str, PoolState], budget: Budget, now: float
) -> tuple[dict[str, int], str, str]:
    """Return what replaces one spot pool from now on, why, and what to say."""
    group = seen.get(name)
    if group is None:  # the stack has no such pool any more
        fresh, problems = fallback.lower_to(0, mine, seen)
        return fresh, f"there is no pool {name} any more", "; ".join(problems)
    if group.lifecycle == "spot" and not group.inconsistency:
        if pools[name].lack is not None:
            return _raise_fallback(group, pools[name], mine, seen, budget, now)
        if pools[name].surplus is not None:
            return _lower_fallback(group, pools[name], mine, seen, budget.policy, now)
    return mine, "", ""


def _raise_fallback(
    group: Group, known: PoolState, mine: dict[str, int], seen: dict[str, Group], budget: Budget, now: float
) -> tuple[dict[str, int], str, str]:
    """Return (shares, why, something to say) of a spot pool that lacks nodes."""
    assert known.lack is not None  # noqa: S101 - for the type checker
    policy, waited, lacking = budget.policy, now - known.lack.since, known.lack.least
    recent = [it for it in group.failures if now - policy.window_s <= it.at <= now and it.why in ("capacity", "quota")]
    if not recent:
        return mine, "", f"{group.group} lacks {group.short} nodes, and no failed launch says why: nothing is raised"
    code = recent[0].code
    if waited < policy.grace_s:
        said = f"{group.group} lacks {group.short} nodes ({code}): on-demand steps in after {policy.grace_s:.0f} s"
        return mine, "", said
    fresh, problems = fallback.raise_for(group, lacking, seen, mine, budget, now)
    got = sum(fresh.values()) - sum(mine.values())
    why = f"{group.group} lacked {lacking} nodes for {waited:.0f} s ({code}){fallback.in_parentheses(problems)}"
    said = f"{lacking - got} nodes stay missing in {group.group}{fallback.in_parentheses(problems)}" if problems else ""
    return fresh, why, said


def _lower_fallback(
    group: Group, known: PoolState, mine: dict[str, int], seen: dict[str, Group], policy: Policy, now: float
) -> tuple[dict[str, int], str, str]:
    """Return (shares, why, something to say) of a spot pool that more nodes replace than it needs."""
    assert known.surplus is not None  # noqa: S101 - for the type checker
    held = now - known.surplus.since
    if held < policy.hold_s:
        said = f"{group.group} has its nodes again: on-demand goes back when that has held for {policy.hold_s:.0f} s"
        return mine, "", said
    fresh, problems = fallback.lower_to(known.surplus.most, mine, seen)
    return fresh, f"{group.group} has had its nodes for {held:.0f} s", "; ".join(problems)
