"""The spot planner: cheap where it may be, never over the ceiling, and what it cannot do is said."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtrack.cloud.prices.market import Levels, Market
from dualtrack.cloud.spot import demand
from dualtrack.cloud.spot.model import Case, Demand, Limits, SpotPlan
from dualtrack.cloud.spot.planner import plan, spread, under_ceiling
from dualtrack.cloud.spot.selection import choose
from dualtrack.core.errors import BadInput

P4D, P4DE = "p4d.24xlarge", "p4de.24xlarge"
ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
A, B, C = ZONES


def flat(usd: float | None) -> Levels:
    return (usd,) * 24


def at(usd: float, other: float | None, *hours: int) -> Levels:
    """Return ``other`` at these hours and ``usd`` at all the others."""
    return tuple(other if hour in hours else usd for hour in range(24))


def case(
    spot: dict[str, dict[str, Levels]], gpus: int | tuple[int, ...] = 16, *, usual: dict[str, float] | None = None,
    job: int = 4, scores: dict[str, int] | None = None, repeats: tuple[int, ...] = (1,) * 24, **limits: Any,
) -> Case:  # fmt: skip
    zones = tuple(sorted({zone for by_zone in spot.values() for zone in by_zone}))
    prices = usual if usual is not None else {P4D: 22.0, P4DE: 27.0}
    market = Market(
        region="us-east-1",
        zones=zones,
        on_demand={t: p for t, p in prices.items() if t in spot},
        spot=spot,
        dates=("today",),
        notes=(),
    )
    wanted = gpus if isinstance(gpus, tuple) else (gpus,) * 24
    bounds = Limits(**{"spot_max": 8, "on_demand_max": 8, **limits})
    return Case(
        market=market,
        demand=Demand(wanted, job),
        limits=bounds,
        types=tuple(spot),
        gpus=8,
        on_demand_zones=zones,
        scores=scores or {},
        repeats=repeats,
    )


def sizes(made: SpotPlan) -> set[tuple[int, int]]:
    return set(zip(made.spot_sizes, made.on_demand_sizes, strict=True))


def test_spot_takes_all_where_it_is_cheap() -> None:
    made = plan(case({P4DE: {zone: flat(9.0) for zone in ZONES}}))
    assert sizes(made) == {(2, 0)}
    assert made.spot_zones == ZONES
    assert made.money.plan == 2 * 9.0 * 24
    assert made.money.all_on_demand == 2 * 27.0 * 24
    assert (made.money.saving, made.money.saving_percent) == (2 * 18.0 * 24, pytest.approx(66.6667, abs=1e-3))


def test_no_discount_no_spot() -> None:
    """eu-central-1's p4de: the spot price is the on-demand price."""
    made = plan(case({P4DE: {"eu-central-1a": flat(34.29)}}, usual={P4DE: 34.29}))
    assert sizes(made) == {(0, 2)}
    assert (made.spot_types, made.spot_zones, made.money.saving) == ((), (), 0.0)
    assert [it.spot for it in (*made.zones, *made.types)] == [False, False]
    assert "34.29 against 34.29 on demand, 0 % below, and 10 % is asked" in made.zones[0].why
    assert "no zone and type is cheap enough" in made.hours[0].why


def test_the_discount_that_is_asked_is_the_bound() -> None:
    exactly = case({P4DE: {A: flat(27.0 * 0.9)}}, discount=0.1)
    above = case({P4DE: {A: flat(27.0 * 0.9 + 0.01)}}, discount=0.1)
    assert (sizes(plan(exactly)), sizes(plan(above))) == ({(2, 0)}, {(0, 2)})


def test_a_job_of_four_takes_half_a_node_and_the_idle_half_is_shown() -> None:
    made = plan(case({P4DE: {A: flat(10.0)}}, gpus=4))
    assert sizes(made) == {(1, 0)}
    assert {hour.idle_gpus for hour in made.hours} == {4}
    assert made.idle_gpu_hours == 96
    assert plan(case({P4DE: {A: flat(10.0)}}, gpus=12)).spot_sizes == (2,) * 24
    assert plan(case({P4DE: {A: flat(10.0)}}, gpus=16)).idle_gpu_hours == 0


@pytest.mark.parametrize(
    ("gpus", "job", "nodes"),
    [
        (0, 4, 0),
        (1, 4, 1),
        (4, 4, 1),
        (8, 4, 1),
        (12, 4, 2),
        (12, 6, 2),
        (8, 3, 2),
        (16, 16, 2),
        (20, 16, 4),
        (9, 1, 2),
    ],
)
def test_nodes_for_jobs_that_are_not_cut(gpus: int, job: int, nodes: int) -> None:
    assert demand.nodes(gpus, 8, job) == nodes
    assert demand.holds(nodes, 8, job) >= gpus


def test_an_hour_without_a_price_gets_no_spot() -> None:
    made = plan(case({P4DE: {A: at(9.0, None, 13, 14)}}))
    assert [hour.hour for hour in made.hours if not hour.spot] == [13, 14]
    assert {made.hours[hour].on_demand for hour in (13, 14)} == {2}
    assert "at this hour" in made.hours[13].why


def test_a_zone_that_is_dear_at_some_hours_is_left_out_where_others_are_not() -> None:
    """A group buys in all its zones: one that is expensive for an hour would be bought in at that hour, too."""
    made = plan(case({P4DE: {A: at(9.0, 27.0, 9), B: flat(10.0), C: flat(11.0)}}))
    assert made.spot_zones == (B, C)
    assert made.spot_sizes == (2,) * 24
    assert "left out" in made.zones[0].why


def test_where_all_zones_are_dear_the_hour_is_left_out() -> None:
    made = plan(case({P4DE: {zone: at(9.0, 26.0, *range(8, 20)) for zone in ZONES}}))
    assert made.spot_zones == ZONES
    assert [hour.hour for hour in made.hours if hour.spot] == [*range(8), *range(20, 24)]


def test_a_type_without_a_discount_is_left_out_and_the_other_stays() -> None:
    made = plan(case({P4D: {A: flat(8.0)}, P4DE: {A: flat(26.0)}}))
    assert made.spot_types == (P4D,)
    assert made.on_demand_types == (P4D, P4DE)
    assert "no spot" in made.types[1].why


def test_spot_dearer_than_another_type_on_demand_is_no_bargain() -> None:
    made = plan(case({P4D: {A: flat(None)}, P4DE: {A: flat(23.0)}}))
    assert sizes(made) == {(0, 2)}
    assert "another type is cheaper on demand" in made.types[1].why


def test_types_are_ordered_by_price_and_the_dearest_is_what_a_node_may_cost() -> None:
    made = plan(case({P4DE: {A: flat(9.0)}, P4D: {A: flat(7.0)}}))
    assert made.spot_types == (P4D, P4DE)
    assert {share.spot_usd for hour in made.hours for share in hour.zones} == {9.0}


def test_a_type_that_is_not_offered_in_a_zone_spoils_it_not() -> None:
    made = plan(case({P4DE: {B: flat(9.0)}, P4D: {A: flat(7.0), B: flat(7.0)}}))
    assert (made.spot_types, set(made.spot_zones)) == ((P4D, P4DE), {A, B})
    spoiled = plan(case({P4DE: {A: flat(None), B: flat(9.0)}, P4D: {A: flat(7.0), B: flat(7.0)}}))
    assert (set(spoiled.spot_types), set(spoiled.spot_zones)) in (({P4D}, {A, B}), ({P4D, P4DE}, {B}))


def test_zones_are_filled_by_score_then_by_price() -> None:
    prices = {P4DE: {A: flat(9.0), B: flat(8.0), C: flat(10.0)}}
    assert plan(case(prices)).spot_zones == (B, A, C)
    assert plan(case(prices, scores={C: 9, A: 3, B: 1})).spot_zones == (C, A, B)
    one = plan(case(prices, gpus=8, scores={C: 9, A: 3, B: 1}))
    assert [(share.zone, share.spot) for share in one.hours[0].zones] == [(C, 1)]


def test_the_base_stands_on_demand_at_every_hour() -> None:
    made = plan(case({P4DE: {A: flat(9.0)}}, base=1))
    assert sizes(made) == {(1, 1)}
    assert plan(case({P4DE: {A: flat(9.0)}}, gpus=0, base=1)).on_demand_sizes == (1,) * 24


def test_limits_of_the_fleet_are_said() -> None:
    made = plan(case({P4DE: {A: flat(9.0)}}, gpus=64, spot_max=3, on_demand_max=2))
    assert sizes(made) == {(3, 2)}
    assert {hour.short_gpus for hour in made.hours} == {24}
    assert "spot ends at its 3 nodes" in made.hours[0].why
    assert "on-demand ends at its 2 nodes" in made.hours[0].why


def test_the_ceiling_leaves_out_what_does_not_fit_and_says_so() -> None:
    made = plan(case({P4DE: {A: flat(None)}}, ceiling=27.0 * 30))
    assert sum(made.on_demand_sizes) == 30
    assert made.money.on_demand_at_most <= 27.0 * 30
    assert made.short_gpu_hours == (48 - 30) * 8
    assert "the ceiling leaves out 1 on demand" in made.hours[23].why
    assert made.money.saving == 0.0  # what is not bought saves nothing


def test_the_ceiling_holds_for_the_dearest_type_of_the_list() -> None:
    made = plan(case({P4D: {A: flat(None)}, P4DE: {A: flat(None)}}, ceiling=27.0 * 24))
    assert made.on_demand_types[0] == P4D
    assert sum(made.on_demand_sizes) == 24


def test_spot_carries_what_the_ceiling_takes_off_the_base() -> None:
    made = plan(case({P4DE: {A: flat(9.0)}}, base=2, ceiling=0.0))
    assert sizes(made) == {(2, 0)}
    assert made.short_gpu_hours == 0


def test_the_ceiling_holds_on_the_day_of_25_hours() -> None:
    twice = tuple(2 if hour == 2 else 1 for hour in range(24))
    made = plan(case({P4DE: {A: flat(None)}}, gpus=8, repeats=twice, ceiling=27.0 * 24))
    assert sum(made.on_demand_sizes) == 23
    assert made.money.on_demand_at_most <= 27.0 * 24


@pytest.mark.parametrize(
    ("limits", "said"),
    [({"ceiling": -1.0}, "--ceiling -1"), ({"ceiling": math.nan}, "--ceiling nan"),
     ({"ceiling": math.inf}, "--ceiling inf"), ({"discount": 1.0}, "--min-discount 100"),
     ({"discount": -0.1}, "--min-discount -10"), ({"discount": math.nan}, "--min-discount nan"),
     ({"spot_max": -1}, "below 0 nodes")],
)  # fmt: skip
def test_limits_that_are_none(limits: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        plan(case({P4DE: {A: flat(9.0)}}, **limits))


def test_without_a_price_on_demand_nothing_can_be_planned() -> None:
    with pytest.raises(BadInput, match=r"no on-demand price of p4de\.24xlarge in us-east-1"):
        plan(case({P4DE: {A: flat(9.0)}}, usual={}))


def test_a_type_without_a_price_on_demand_is_not_bought_at_all() -> None:
    made = plan(case({P4DE: {A: flat(9.0)}, P4D: {A: flat(9.0)}}, usual={P4D: 22.0}))
    assert (made.spot_types, made.on_demand_types) == ((P4D,), (P4D,))
    assert any("no known price on demand: p4de.24xlarge" in note for note in made.notes)


def test_too_many_types_are_refused() -> None:
    spot = {f"t{number}.x": {A: flat(9.0)} for number in range(11)}
    with pytest.raises(BadInput, match="11 instance types"):
        choose(case(spot, usual=dict.fromkeys(spot, 27.0)), [1] * 24)


@pytest.mark.parametrize(
    ("text", "gpus"),
    [("16", dict.fromkeys(range(24), 16)), ("08-20=16", dict.fromkeys(range(8, 20), 16)),
     ("8-20=16, 20-8=32", {hour: 16 if 8 <= hour < 20 else 32 for hour in range(24)}),
     ("22-06=4", dict.fromkeys((22, 23, *range(6)), 4)), ("00-24=8", dict.fromkeys(range(24), 8))],
)  # fmt: skip
def test_demand_by_the_hour(text: str, gpus: dict[int, int]) -> None:
    assert demand.parse(text, 4).gpus == tuple(gpus.get(hour, 0) for hour in range(24))


@pytest.mark.parametrize("text", ["", "x", "-4", "8-20", "8-20=", "8-25=4", "24-3=4", "8-20=1,19-21=4", "6,6", "1.5"])
def test_demand_that_is_not_understood(text: str) -> None:
    with pytest.raises(BadInput, match="--demand"):
        demand.parse(text, 4)


def test_nodes_are_spread_as_a_group_balances_them() -> None:
    assert spread(7, ZONES) == {A: 3, B: 2, C: 2}
    assert spread(1, ZONES) == {A: 1, B: 0, C: 0}


# --- what holds for every plan ----------------------------------------------------------------------------------------

PRICE = st.one_of(st.none(), st.floats(0.5, 40))
LEVELS = st.lists(PRICE, min_size=24, max_size=24).map(tuple)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    spot = {}
    for type_ in draw(st.sampled_from([(P4D,), (P4DE,), (P4D, P4DE)])):
        chosen = draw(st.lists(st.sampled_from(ZONES), unique=True, min_size=1))
        spot[type_] = {zone: draw(st.one_of(LEVELS, PRICE.map(flat))) for zone in chosen}
    gpus = draw(st.lists(st.integers(0, 120), min_size=24, max_size=24).map(tuple))
    return case(
        spot, gpus, job=draw(st.integers(1, 20)), spot_max=draw(st.integers(0, 12)),
        on_demand_max=draw(st.integers(0, 12)), base=draw(st.integers(0, 4)), discount=draw(st.floats(0, 0.9)),
        ceiling=draw(st.one_of(st.none(), st.floats(0, 5000))),
        repeats=draw(st.lists(st.sampled_from([1, 1, 1, 2]), min_size=24, max_size=24).map(tuple)),
    )  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(cases())
def test_a_plan_keeps_its_promises(given_case: Case) -> None:
    made, limits, prices = plan(given_case), given_case.limits, given_case.market
    per_day = sum(hour.on_demand * times for hour, times in zip(made.hours, given_case.repeats, strict=True))
    dear = max(made.on_demand_usd.values())
    if limits.ceiling is not None:
        assert per_day * dear <= limits.ceiling + 1e-6
    total = baseline = 0.0
    for hour in made.hours:
        assert hour.spot <= limits.spot_max
        assert hour.on_demand <= limits.on_demand_max
        assert sum(share.spot for share in hour.zones) == hour.spot
        assert sum(share.on_demand for share in hour.zones) == hour.on_demand
        held = demand.holds(hour.spot + hour.on_demand, given_case.gpus, given_case.demand.job)
        assert held + hour.short_gpus >= hour.gpus  # met, or said
        assert not hour.short_gpus or held < hour.gpus
        # Spot only where every type that the group may buy there is cheap enough at this hour: any may be bought.
        for share in hour.zones:
            total += share.spot * (share.spot_usd or 0) + share.on_demand * min(made.on_demand_usd.values())
        for zone in made.spot_zones if hour.spot else ():
            for type_ in made.spot_types:
                levels = prices.spot[type_].get(zone)
                if levels is not None:
                    usd = levels[hour.hour]
                    assert usd is not None
                    assert usd <= (1 - limits.discount) * prices.on_demand[type_] + 1e-6
                    assert usd <= min(prices.on_demand.values())
        baseline += (hour.spot + hour.on_demand) * min(made.on_demand_usd.values())
        assert hour.why or (hour.gpus and not hour.spot + hour.on_demand and hour.short_gpus)
    assert made.money.plan == pytest.approx(total, abs=0.01)
    assert made.money.all_on_demand == pytest.approx(baseline, abs=0.01)
    assert made.money.saving == pytest.approx(baseline - total, abs=0.01)
    assert made.money.saving >= -0.01
    assert made.money.at_most >= made.money.plan - 0.01


@given(st.lists(st.integers(0, 9), min_size=24, max_size=24), st.floats(0.5, 60), st.floats(0, 4000))
def test_the_ceiling_takes_no_more_than_it_must(asked: list[int], usd: float, ceiling: float) -> None:
    kept = under_ceiling(asked, usd, ceiling, (1,) * 24)
    assert all(0 <= after <= before for after, before in zip(kept, asked, strict=True))
    assert sum(kept) * usd <= ceiling + 1e-6
    assert sum(kept) == sum(asked) or (sum(kept) + 1) * usd > ceiling
