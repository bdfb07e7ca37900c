"""Which zones are left out, for how long, and which come back."""

from __future__ import annotations

import msgspec

from dualtrack.cloud.pools.model import Rezone, State
from tests.support.simulated_pools import POLICY, ZONES, World, kinds, reasons


def test_a_starved_zone_is_left_out_and_comes_back_and_stays_out_longer_the_next_time() -> None:
    world = World()
    world.run(2)
    world.capacity = {"b", "c"}
    world.reclaim(1)
    assert kinds(world.run(1)) == [], "one failure is none"
    world.reclaim(1)
    found = [it for it in world.run(1) if it.action]
    assert kinds(found) == ["avoid"]
    action = found[0].action
    assert isinstance(action, Rezone)
    assert (action.zones, action.subnets, action.hold) == (("b", "c"), ("subnet-b", "subnet-c"), True)
    first = world.memory.pools["spot"].avoided["a"].until - world.now
    assert kinds(world.run(27)) == []
    assert kinds(world.run(4)) == ["return"]
    assert world.groups["spot"].inside == ("a", "b", "c")
    for _ in range(3):
        world.reclaim(1)
        world.run(1)
    again = world.memory.pools["spot"].avoided["a"].until - world.now
    assert again > 1.5 * first


def test_a_zone_that_gets_another_chance_is_judged_by_that_chance() -> None:
    """With a cool-down shorter than the window, what failed before it was left out is still in the activities."""
    world = World(policy=msgspec.structs.replace(POLICY, cooldown_s=120, window_s=3600))
    world.capacity = {"b", "c"}
    for _ in range(2):
        world.reclaim(1)
        world.run(1)
    assert "a" in world.memory.pools["spot"].avoided
    world.capacity = set(ZONES)
    assert kinds(world.run(30)) == ["return"]
    world.reclaim(1)
    world.run(1)
    assert "a" not in world.memory.pools["spot"].avoided


def test_a_zone_that_works_again_is_forgiven() -> None:
    world = World()
    world.capacity = {"b", "c"}
    for _ in range(2):
        world.reclaim(1)
        world.run(1)
    assert world.memory.pools["spot"].starved["a"].times == 1
    world.capacity = set(ZONES)
    world.run(40)
    assert world.memory.pools["spot"].starved["a"].times == 1, "it has not proved itself yet"
    world.reclaim(1)
    world.run(1)
    assert "a" not in world.memory.pools["spot"].starved


def test_the_last_zone_stays() -> None:
    world = World()
    world.capacity = set()
    world.reclaim(2)
    world.run(60)
    assert world.groups["spot"].inside
    assert "all stay" in reasons(world)


def test_a_zone_put_back_by_hand_is_left_out_again_until_its_time_is_over() -> None:
    world = World()
    world.capacity = {"b", "c"}
    for _ in range(3):
        world.reclaim(1)
        world.run(1)
    assert "a" not in world.groups["spot"].inside
    world.groups["spot"] = msgspec.structs.replace(world.groups["spot"], subnets=tuple(ZONES.values()))
    assert kinds(world.run(1)) == ["avoid"]


def test_without_a_memory_zones_left_out_come_back_after_a_cooldown_and_sizes_are_the_operators() -> None:
    world = World()
    world.capacity = {"b", "c"}
    for _ in range(3):
        world.reclaim(1)
        world.run(1)
    world.set_size("ondemand", 3)
    world.memory = State()
    world.capacity = set(ZONES)
    decisions = world.run(120)
    assert kinds(decisions) == ["return"]
    assert world.size == 3


def test_subnets_of_somebody_else_stay_in_the_group() -> None:
    world = World()
    world.groups["spot"] = msgspec.structs.replace(world.groups["spot"], subnets=("subnet-x", *ZONES.values()))
    world.capacity = {"b", "c"}
    for _ in range(3):
        world.reclaim(1)
        world.run(1)
    assert set(world.groups["spot"].subnets) == {"subnet-x", "subnet-b", "subnet-c"}
