"""On-demand for spot: which pool replaces which, how many nodes, and when they go again. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from dualtrack.cloud.pools import activities
from dualtrack.cloud.pools.model import (
    Decision,
    Group,
    PendingResize,
    Policy,
    PoolState,
    Resize,
    Shortfall,
    State,
    Surplus,
)


def pools_for(spot: Group, groups: Mapping[str, Group]) -> list[Group]:
    """Return the on-demand pools whose nodes can do a spot pool's work: as many GPUs each, and all of its roles."""
    return [
        group
        for _, group in sorted(groups.items())
        if group.lifecycle == "on-demand" and group.gpus == spot.gpus and set(spot.roles) <= set(group.roles)
    ]


def adopt_size(group: Group, memory: State, policy: Policy, now: float) -> tuple[str, State]:
    """Compare an on-demand group's size with what was asked for; return what to say ('' for nothing) and what holds.

    A size that nobody here asked for is the operator's (or a schedule's): from then on nothing of it is the watch's,
    and nothing below it is ever asked for.
    """
    known = memory.pools.get(group.pool)
    if known is None:
        return "", memory  # seen for the first time: all of it is the operator's
    asked, size = known.asked, group.desired
    if size == known.base + memory.fallback_nodes(group.pool):
        return "", memory.with_pool(group.pool, msgspec.structs.replace(known, asked=None))
    if asked is not None and size == asked.was and now - asked.at <= policy.settle_s:
        shares_by_spot = {
            spot: _share(shares, group.pool, asked.before.get(spot, 0)) for spot, shares in memory.fallback.items()
        }
        for spot, count in asked.before.items():
            if count:
                shares_by_spot.setdefault(spot, {group.pool: count})
        back = msgspec.structs.replace(memory, fallback=shares_by_spot)
        said = f"{group.group} still has {size} nodes as its size, not {asked.to} as asked"
        return said, back.with_pool(group.pool, msgspec.structs.replace(known, asked=None))
    expected = known.base + memory.fallback_nodes(group.pool)
    shares_by_spot = {spot: _share(shares, group.pool, 0) for spot, shares in memory.fallback.items()}
    theirs = msgspec.structs.replace(memory, fallback=shares_by_spot)
    return (
        f"somebody set the size of {group.group} to {size} (it was {expected}): that is the operator's now",
        theirs.with_pool(group.pool, msgspec.structs.replace(known, base=size, asked=None)),
    )


def _share(shares: dict[str, int], pool: str, count: int) -> dict[str, int]:
    rest = {name: number for name, number in shares.items() if name != pool}
    return {**rest, pool: count} if count else rest


def with_clocks(group: Group, memory: PoolState, fallback: int, now: float) -> PoolState:
    """Return the memory with its clocks: since when a spot pool lacks nodes, or more replace it than it needs."""
    lack = surplus = None
    if group.short > fallback:
        before = memory.lack or Shortfall(now, group.short - fallback)
        lack = Shortfall(before.since, min(before.least, group.short - fallback))
    elif group.short < fallback:
        past = memory.surplus or Surplus(now, group.short)
        surplus = Surplus(past.since, max(past.most, group.short))
    return msgspec.structs.replace(memory, lack=lack, surplus=surplus)


class Budget:
    """The sizes of the on-demand pools while decisions are made, and the money that they cost a day."""

    def __init__(self, groups: Mapping[str, Group], policy: Policy) -> None:
        self.policy = policy
        self.inconsistent = sorted(group.group for group in groups.values() if group.inconsistency)
        self.sizes = {
            name: max(group.desired, len(group.nodes))
            for name, group in groups.items()
            if group.lifecycle == "on-demand"
        }  # fmt: skip
        #: Nodes that spot pools buy on demand (their on-demand base) cost the same.
        self.bought = {
            name: sum(node.bought for node in group.nodes)
            for name, group in groups.items()
            if group.lifecycle == "spot"
        }  # fmt: skip

    def usd_per_day(self) -> float | None:
        """Return what all on-demand nodes cost a day at these sizes, None where a price is not known."""
        total = 0.0
        for pool, count in (*self.sizes.items(), *self.bought.items()):
            if count:
                cost = self.policy.costs.get(pool)
                if cost is None:
                    return None
                total += count * cost
        return total

    def over(self) -> bool:
        """Tell whether the nodes cost more than the ceiling allows, as far as prices are known."""
        spent = self.usd_per_day()
        return self.policy.ceiling is not None and spent is not None and spent > self.policy.ceiling

    def free(self, pool: str, count: int) -> None:
        """Take nodes that go from the sum; less than one is none (those that come were added when they were found)."""
        if pool in self.sizes:
            self.sizes[pool] -= max(0, count)

    def room(self, pool: str, wanted: int) -> tuple[int, str]:
        """Return how many of ``wanted`` nodes the ceiling still pays for, and why not all ('' when all)."""
        if self.inconsistent:
            return 0, f"what the API says of {', '.join(self.inconsistent)} is not believed, nor then what is spent"
        cost, spent, ceiling = self.policy.costs.get(pool), self.usd_per_day(), self.policy.ceiling
        if cost is None or spent is None:
            return 0, f"what a node of {pool if cost is None else 'another pool'} costs is not known"
        if ceiling is None:
            return wanted, ""
        count = wanted
        while count > 0 and spent + count * cost > ceiling:
            count -= 1
        why = (
            f"{ceiling:,.0f} US$ a day is the ceiling, {spent:,.0f} are in use, and a node of {pool} costs {cost:,.0f}"
        )
        return count, "" if count == wanted else why


def raise_for(
    spot: Group, count: int, groups: Mapping[str, Group], shares: dict[str, int], budget: Budget, now: float
) -> tuple[dict[str, int], list[str]]:
    """Let up to ``count`` more nodes replace a spot pool; return the new shares, and why some could not be had."""
    fresh, problems = dict(shares), []
    candidates = pools_for(spot, groups)
    if not candidates:
        problems.append(f"no on-demand pool has {spot.gpus} GPUs a node and the roles {', '.join(spot.roles)}")
    for group in candidates:
        if count <= 0:
            break
        if why := _stuck(group, budget, now):
            problems.append(why)
            continue
        room = max(0, group.max - budget.sizes[group.pool])
        if room < count:
            problems.append(f"{group.group} may have {group.max} nodes at most")
        allowed, why = budget.room(group.pool, min(room, count))
        if why:
            problems.append(why)
        if allowed:
            fresh[group.pool] = fresh.get(group.pool, 0) + allowed
            budget.sizes[group.pool] += allowed
            count -= allowed
    return fresh, problems if count > 0 else []


def _stuck(group: Group, budget: Budget, now: float) -> str:
    """Return why more nodes of an on-demand pool are not asked for, '' when they may be."""
    if group.inconsistency:
        return f"what the API says of {group.group} is not believed"
    if not group.launches:
        return f"launches of {group.group} are suspended"
    # What was asked for and is not there yet must come first; asking for more would only run into the same wall.
    if group.short:
        recent = [it for it in group.failures if now - budget.policy.window_s <= it.at <= now]
        quota = next((it for it in recent if it.why == "quota"), None)
        if quota is not None:
            return f"{group.group} has no quota left ({quota.code}): {quota_of(group)}"
        why = f" ({recent[0].code})" if recent else ""
        return f"{group.group} itself lacks {group.short} of its nodes{why}"
    return ""


def quota_of(group: Group) -> str:
    """Return which quota a group's types count against."""
    types = sorted({node.type for node in group.nodes} | set(group.types))
    names = dict.fromkeys(activities.quota(it, group.lifecycle) for it in types)
    return "raise " + " and ".join(names) if names else "raise its vCPU quota"


def lower_to(keep: int, shares: dict[str, int], groups: Mapping[str, Group]) -> tuple[dict[str, int], list[str]]:
    """Let no more than ``keep`` nodes replace spot; return the new shares, and what kept some from going."""
    fresh, problems = dict(shares), []
    excess = sum(shares.values()) - keep
    for pool in sorted(shares, reverse=True):
        group = groups.get(pool)
        if excess <= 0:
            break
        if group is None or group.inconsistency:
            problems.append(f"what the API says of pool {pool} is not believed: it is not lowered")
            continue
        gone = min(excess, shares[pool])
        fresh = _share(fresh, pool, shares[pool] - gone)
        excess -= gone
    return fresh, problems


def trim(fallback: dict[str, dict[str, int]], groups: Mapping[str, Group], budget: Budget) -> list[str]:
    """Remove fallback nodes until the rest costs no more than the ceiling; return the pools of those that went."""
    touched = []
    for spot in sorted(fallback, reverse=True):
        for pool in sorted(fallback[spot], reverse=True):
            while pool in groups and fallback[spot].get(pool, 0) and budget.over():
                fallback[spot] = _share(fallback[spot], pool, fallback[spot][pool] - 1)
                budget.sizes[pool] -= 1
                touched.append(pool)
    return touched


def resize(group: Group, before: State, size: int, now: float) -> tuple[Resize, PendingResize]:
    """Return the action that gives an on-demand group ``size`` nodes, and what to remember until that is seen."""
    shares = {spot: its[group.pool] for spot, its in before.fallback.items() if its.get(group.pool)}
    return Resize(pool=group.pool, group=group.group, was=group.desired, to=size), PendingResize(
        was=group.desired, to=size, at=now, before=shares
    )


def in_parentheses(problems: list[str]) -> str:
    """Return problems as the end of a sentence, each once."""
    return f" ({'; '.join(dict.fromkeys(problems))})" if problems else ""


def note(pool: str, text: str) -> Decision:
    """Return something worth saying."""
    return Decision(kind="note", pool=pool, reason=text)
