"""The watch's decisions: on-demand for spot within the ceiling, zones avoided, and nothing on a doubtful answer."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtrack.cloud.pools.model import Observation, Policy, Resize, State
from dualtrack.cloud.pools.reconcile import decide
from dualtrack.core import paths
from tests.support.simulated_pools import COST, POLICY, ZONES, World, failure, group, kinds, node, reasons, sizes

POOLS = paths.ROOT / "tools/dualtrack/cloud/pools"


def test_nothing_is_done_while_all_is_well() -> None:
    world = World()
    assert world.run(60) == []


def test_on_demand_steps_in_after_the_grace_and_leaves_after_the_hold() -> None:
    world = World()
    world.run(5)
    world.capacity = set()
    world.reclaim()
    assert kinds(world.run(5)) == []
    assert kinds(world.run(2)) == ["raise"]
    assert (world.size, world.memory.fallback) == (2, {"spot": {"ondemand": 1}})
    assert "InsufficientInstanceCapacity" in reasons(world)
    assert kinds(world.run(60)) == []
    world.capacity = set(ZONES)
    assert sizes(world.run(14)) == []
    assert sizes(world.run(4)) == [1]
    assert world.memory.fallback == {}
    assert sizes(world.run(60)) == []


def test_one_reclaimed_node_that_is_replaced_changes_nothing() -> None:
    world = World()
    world.run(5)
    for _ in range(20):
        world.reclaim()
        assert kinds(world.run(1)) == []
    assert world.size == 1


def test_a_quota_of_spot_raises_on_demand_and_no_zone_is_blamed() -> None:
    world = World()
    world.run(2)
    world.groups["spot"] = msgspec.structs.replace(world.groups["spot"], nodes=world.groups["spot"].nodes[:1])
    decisions = []
    for _ in range(10):
        world.now += 60
        seen = {
            **world.groups,
            "spot": msgspec.structs.replace(world.groups["spot"], failures=(failure(world.now, "a", "quota"),) * 3),
        }
        found, world.memory = decide(Observation(world.now, seen), world.memory, world.policy, world.now)
        decisions += found
        for it in found:
            if isinstance(it.action, Resize):
                world.set_size(it.pool, it.action.to)
    assert kinds(decisions) == ["raise"]
    assert any("All P4, P3 and P2 Spot Instance Requests" in it.reason for it in decisions)
    assert world.memory.pools["spot"].avoided == {}


def test_a_quota_of_on_demand_stops_raising_and_is_named() -> None:
    world = World(spot=3)
    world.run(2)
    world.quota, world.capacity = False, set()
    world.reclaim(1)
    world.run(10)
    assert world.size == 2  # asked for one, which is not there
    world.reclaim(1)
    world.run(30)
    assert world.size == 2, "asked for more although what was asked for is not there"
    assert "no quota left (VcpuLimitExceeded): raise Running On-Demand P instances (L-417A185B)" in reasons(world)


@pytest.mark.parametrize(("ceiling", "size"), [(0, 1), (1 * COST, 1), (2 * COST - 0.01, 1), (2 * COST, 2), (1e9, 3)])
def test_the_ceiling_holds_and_what_is_missing_is_said(ceiling: float, size: int) -> None:
    world = World(policy=msgspec.structs.replace(POLICY, ceiling=ceiling))
    world.run(2)
    world.capacity = set()
    world.reclaim(2)
    world.run(30)
    assert world.size == size
    assert (f"{3 - size} nodes stay missing" in reasons(world)) == (size < 3)
    assert ("is the ceiling" in reasons(world)) == (size < 3)


def test_a_ceiling_that_is_lowered_takes_back_what_was_raised_and_no_more() -> None:
    world = World()
    world.capacity = set()
    world.reclaim(2)
    world.run(10)
    assert world.size == 3
    world.policy = msgspec.structs.replace(world.policy, ceiling=2 * COST)
    world.run(1)
    assert world.size == 2
    world.policy = msgspec.structs.replace(world.policy, ceiling=0)
    world.run(5)
    assert world.size == 1, "the operator's own node went"


def test_an_unknown_price_raises_nothing() -> None:
    world = World(policy=msgspec.structs.replace(POLICY, costs={"spot": COST, "ondemand": None}))
    world.capacity = set()
    world.reclaim(2)
    world.run(30)
    assert world.size == 1
    assert "what a node of ondemand costs is not known" in reasons(world)


def test_the_maximum_of_the_group_holds() -> None:
    world = World(on_demand_max=2)
    world.capacity = set()
    world.reclaim(2)
    world.run(30)
    assert world.size == 2
    assert "dualtrack-ondemand may have 2 nodes at most" in reasons(world)


def test_what_the_operator_sets_is_never_lowered() -> None:
    world = World()
    world.capacity = set()
    world.reclaim(1)
    world.run(10)
    assert world.size == 2
    world.set_size("ondemand", 3)
    world.run(2)
    assert "somebody set the size of dualtrack-ondemand to 3 (it was 2)" in reasons(world)
    world.capacity = set(ZONES)
    world.run(60)
    assert world.size == 3


def test_fallback_is_counted_from_the_size_that_the_operator_set() -> None:
    world = World(on_demand_max=6)
    world.run(2)
    world.set_size("ondemand", 3)
    world.capacity = set()
    world.reclaim(1)
    world.run(10)
    assert world.size == 4
    world.capacity = set(ZONES)
    world.run(60)
    assert world.size == 3


def test_a_pool_that_lacks_nodes_without_a_failed_launch_is_only_said() -> None:
    world = World()
    world.run(2)
    world.groups["spot"] = msgspec.structs.replace(world.groups["spot"], nodes=(), failures=())
    for _ in range(20):
        world.now += 60
        decisions, world.memory = decide(Observation(world.now, world.groups), world.memory, POLICY, world.now)
        assert kinds(list(decisions)) == []
    assert "no failed launch says why" in decisions[-1].reason


def test_a_failure_that_capacity_does_not_mend_raises_nothing() -> None:
    world = World()
    world.run(2)
    broken = msgspec.structs.replace(world.groups["spot"], nodes=())
    for _ in range(20):
        world.now += 60
        seen = {**world.groups, "spot": msgspec.structs.replace(broken, failures=(failure(world.now, "a", "other"),))}
        decisions, world.memory = decide(Observation(world.now, seen), world.memory, POLICY, world.now)
        assert kinds(list(decisions)) == []
    assert any("not because of missing capacity" in it.reason for it in decisions)


def test_a_doubtful_answer_changes_nothing_and_is_not_remembered() -> None:
    world = World()
    world.run(5)
    before = world.memory
    world.inconsistency, world.capacity = "the group lists no instance", set()
    world.groups["spot"] = msgspec.structs.replace(world.groups["spot"], nodes=())
    decisions = world.run(120)
    assert kinds(decisions) == []
    assert all("no action for" in it.reason for it in decisions)
    assert (world.memory.pools, world.memory.fallback) == (before.pools, before.fallback)


def test_one_doubtful_group_blocks_every_raise_because_the_money_is_not_known() -> None:
    world = World()
    world.run(2)
    world.capacity = set()
    world.reclaim(2)
    world.run(3)
    for _ in range(20):
        world.now += 60
        world.launch()
        seen = {**world.groups, "other": group("other", inconsistency="no such group")}
        decisions, world.memory = decide(Observation(world.now, seen), world.memory, POLICY, world.now)
        assert kinds(list(decisions)) in ([], ["avoid"])
    assert any("nor then what is spent" in it.reason for it in decisions)


def test_a_clock_that_goes_back_starts_waiting_anew() -> None:
    world = World()
    world.run(2)
    world.capacity = set()
    world.reclaim()
    world.run(4)
    world.now -= 7200
    decisions = world.run(1)
    assert "clock went back" in decisions[0].reason
    assert kinds(world.run(5)) == []
    assert "raise" in kinds(world.run(3))


def test_a_long_time_without_a_look_is_not_counted_as_waiting() -> None:
    world = World()
    world.run(2)
    world.capacity = set()
    world.reclaim()
    world.run(2)
    assert kinds(world.step(3600)) == []
    assert kinds(world.run(4)) == []


def test_the_skew_of_clocks_is_said_and_counts_for_nothing() -> None:
    decisions, _ = decide(Observation(1e9, {"spot": group()}, skew=-300), State(), POLICY, 1e9)
    assert "-300 s off" in decisions[0].reason
    future = group(nodes=(), failures=tuple(failure(1e9 + 7200) for _ in range(9)))
    memory = State()
    for minute in range(20):
        at = 1e9 + 60 * minute
        found, memory = decide(Observation(at, {"spot": future, "ondemand": group("ondemand")}), memory, POLICY, at)
        assert kinds(list(found)) == [], "an activity of the future was taken for one of now"


def test_an_action_that_aws_does_not_follow_is_asked_for_again() -> None:
    world = World()
    world.capacity = set()
    world.reclaim()
    world.run(5)
    world.obeys = False
    assert "raise" in kinds(world.run(3))
    world.run(1)
    assert (world.memory.fallback, world.size) == ({}, 1)
    assert "still has 1 nodes as its size, not 2 as asked" in reasons(world)
    world.obeys = True
    world.run(8)
    assert world.size == 2
    world.capacity = set(ZONES)
    world.run(10)
    world.obeys = False
    world.run(8)
    world.obeys = True
    world.run(20)
    assert world.size == 1, "a lowering that AWS refused was forgotten, and the money with it"


def test_a_pool_that_left_the_stack_no_longer_has_a_fallback() -> None:
    world = World()
    world.capacity = set()
    world.reclaim()
    world.run(10)
    assert world.size == 2
    del world.groups["spot"]
    world.run(2)
    assert world.size == 1


def test_only_pools_with_the_same_gpus_and_roles_replace_spot() -> None:
    for more in ({"gpus": 4}, {"roles": ("controller",)}):
        world = World()
        world.groups["ondemand"] = msgspec.structs.replace(world.groups["ondemand"], **more)
        world.capacity = set()
        world.reclaim()
        world.run(20)
        assert world.size == 1
        assert "no on-demand pool has 8 GPUs a node and the roles gpu" in reasons(world)


STEPS = st.lists(
    st.tuples(
        st.sets(st.sampled_from(sorted(ZONES))),  # zones with capacity
        st.integers(0, 2),  # nodes reclaimed
        st.sampled_from(["", "", "", "", "inconsistency"]),
        st.sampled_from([True, True, True, False]),  # AWS does what it is asked
        st.sampled_from([30.0, 60.0, 60.0, 600.0]),  # seconds to the next look
        st.sampled_from([None] * 12 + [1, 2, 3]),  # a size set by the operator
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(steps=STEPS, nodes=st.integers(0, 5), base=st.integers(0, 2))
def test_whatever_happens(
    steps: list[tuple[set[str], int, str, bool, float, int | None]], nodes: int, base: int
) -> None:
    """The ceiling, the operator's size and the groups' zones hold, and on-demand does not flap."""
    ceiling = nodes * COST
    world = World(policy=msgspec.structs.replace(POLICY, ceiling=ceiling), base=base, spot=3)
    set_by_operator = base
    for capacity, gone, inconsistency, obeys, seconds, wish in steps:
        if wish is not None:
            world.set_size("ondemand", wish)
            set_by_operator = wish
        world.capacity, world.inconsistency, world.obeys = capacity, inconsistency, obeys
        world.reclaim(gone)
        before = world.size
        decisions = world.step(seconds)
        if inconsistency:
            assert kinds(decisions) == []
        asked = [it.action.to for it in decisions if isinstance(it.action, Resize)]
        for size in asked:
            assert set_by_operator <= size <= world.on_demand_max
            assert size * COST <= max(ceiling, before * COST) + 1e-6
            assert size <= before or size * COST <= ceiling + 1e-6
        assert world.size >= min(set_by_operator, before)
        assert world.groups["spot"].inside, "a group without zones"
    changes = [(at, it.kind) for at, it in world.log if isinstance(it.action, Resize)]
    for (at, kind), (later, other) in itertools.pairwise(changes):
        if (kind, other) == ("raise", "lower"):
            assert later - at >= POLICY.hold_s
        if (kind, other) == ("lower", "raise"):
            assert later - at >= POLICY.grace_s


def test_nodes_on_their_way_are_not_lacking() -> None:
    coming = msgspec.structs.replace(node("i-1"), serves=False)
    assert group(nodes=(coming, node("i-2"))).short == 0


def test_a_policy_without_ceiling_is_bound_by_the_maximum_only() -> None:
    world = World(policy=Policy(costs=POLICY.costs))
    world.capacity = set()
    world.reclaim(2)
    world.run(30)
    assert world.size == 3
