"""Money: the guide's figure from its assumptions, honest limits of it, and what runs counted without silent gaps."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.cloud.applied import checked_budget
from dualtrack.cloud.cost import assumptions, breakeven, chart, gather, running
from dualtrack.cloud.cost.assumptions import with_figure
from dualtrack.cloud.prices import files
from dualtrack.core.errors import BadInput
from dualtrack.inventory import contract, ec2
from dualtrack.inventory.facts import Server

GUIDE = assumptions.load()
P4DE = "p4de.24xlarge"


def changed(**figures: float) -> assumptions.Assumptions:
    of = GUIDE
    for name, value in figures.items():
        of = with_figure(of, name.replace("__", "."), value)
    return of


def test_the_guides_case_gives_the_guides_figure() -> None:
    found = breakeven.report(GUIDE)
    assert found.break_even_calls_per_month is not None
    assert abs(found.break_even_calls_per_month - 500_000) < 0.02 * 500_000
    assert found.agrees_with_guide


def test_the_arithmetic_by_hand() -> None:
    """600 tokens at 3,200 a second and 60 % take 0.3125 s of a node at 27.45 US$ and ¥7.10."""
    it = breakeven.reckon(GUIDE)
    assert it.cloud_cny_per_call == pytest.approx(0.3125 * 27.45 * 7.1 / 3600)
    assert it.server_cny_per_month == pytest.approx(280 * 365.25 / 12)
    assert it.break_even_calls_per_month == math.ceil(it.server_cny_per_month / it.cloud_cny_per_call)
    assert it.server_calls_per_month == pytest.approx(800 * 0.3 * 365.25 / 12 * 86400 / 600)


def test_cheap_cloud_is_never_beaten_and_says_so() -> None:
    """A spot price at the bottom of its range, a server twice as expensive: a full server costs more by the call."""
    found = breakeven.report(changed(cloud__node_usd_per_hour=9.73, local__day_cny=560))
    assert found.break_even_calls_per_month is None
    assert not found.agrees_with_guide
    assert "full" in found.reckoning.why


def test_nodes_that_stay_up_make_local_pay_from_the_first_call() -> None:
    assert breakeven.reckon(changed(cloud__minimum_nodes=1)).break_even_calls_per_month == 0


def test_people_of_ones_own_may_need_more_than_one_server() -> None:
    it = breakeven.reckon(changed(local__staff_cny_per_month=30_000))
    assert it.servers > 1
    assert it.break_even_calls_per_month is not None
    assert it.holds_to_calls_per_month is not None
    assert it.break_even_calls_per_month <= it.holds_to_calls_per_month


positive = st.floats(0.01, 100)


@given(day=st.floats(1, 5000), usd=positive, rate=st.floats(0.5, 20), tokens=st.floats(1, 1e5), local=st.floats(1, 1e4),
       cloud=st.floats(1, 1e4), staff=st.floats(0, 1e6), nodes=st.integers(0, 3))  # fmt: skip
def test_at_the_break_even_local_is_no_dearer_and_below_it_is(
    day: float, usd: float, rate: float, tokens: float, local: float, cloud: float, staff: float, nodes: int
) -> None:
    of = changed(
        local__day_cny=day, cloud__node_usd_per_hour=usd, exchange__cny_per_usd=rate, call__tokens=tokens,
        local__tokens_per_s=local, cloud__tokens_per_s=cloud, local__staff_cny_per_month=staff,
        cloud__minimum_nodes=nodes,
    )  # fmt: skip
    report = breakeven.BreakEvenReport(
        break_even_calls_per_month=None,
        guide_calls_per_month=0,
        agrees_with_guide=False,
        reckoning=breakeven.reckon(of),
        swing_percent=50,
        sensitivity=(),
        assumptions=of,
    )
    calls = report.reckoning.break_even_calls_per_month
    if calls is None:
        # More servers, each full, do not help: local stays the more expensive one.
        many = math.floor(1000 * report.reckoning.server_calls_per_month)
        at_home, away = chart.costs(report, many)
        assert at_home >= away * (1 - 1e-9)
        return
    at_home, away = chart.costs(report, calls)
    assert at_home <= away + 1e-6 * max(1.0, away)
    if calls > 1:
        before_home, before_away = chart.costs(report, calls - 1)
        assert before_home >= before_away - 1e-6 * max(1.0, away) or report.reckoning.servers > 1


def test_what_moves_it_most_stands_first_and_the_swing_is_as_asked() -> None:
    found = breakeven.report(GUIDE, 10)
    by_name = {row.figure: row for row in found.sensitivity}
    assert by_name["local.day_cny"].low == pytest.approx(252)
    assert by_name["local.power_cny_per_kwh"].at_low == by_name["local.power_cny_per_kwh"].at_high
    spreads = [abs((row.at_low or 0) - (row.at_high or 0)) for row in found.sensitivity]
    assert spreads == sorted(spreads, reverse=True)
    assert max(row.high for row in found.sensitivity if row.figure.endswith("utilisation")) <= 1


def edited(folder: Path, *path: str, value: object) -> Path:
    data: dict[str, Any] = msgspec.yaml.decode(assumptions.GUIDE.read_bytes())
    inner = data
    for word in path[:-1]:
        inner = inner[word]
    inner[path[-1]] = value
    file = folder / "mine.json"
    file.write_text(json.dumps(data))
    return file


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("exchange", "cny_per_usd"), 0, "exchange.cny_per_usd is 0: more than 0"),
        (("exchange", "cny_per_usd"), -7, "exchange.cny_per_usd is -7"),
        (("exchange", "taken"), "yesterday", "'yesterday' is not a date"),
        (("cloud", "utilisation", "value"), 1.2, "cloud.utilisation is 1.2: a part of the time"),
        (("cloud", "minimum_nodes", "value"), 0.5, "nodes are whole"),
        (("local", "tokens_per_s", "value"), 0, "local.tokens_per_s is 0"),
        (("local", "years"), 0, "local.years is 0"),
        (("local", "day_cny", "source"), "nobody", "source 'nobody' is not among the sources"),
        (("local", "day_cny", "value"), "much", "local.day_cny.value"),
        (("local", "typo"), 1, "typo"),
    ],
)
def test_bad_numbers_are_one_clear_line(tmp_path: Path, path: tuple[str, ...], value: object, said: str) -> None:
    with pytest.raises(BadInput, match=r"mine\.json") as caught:
        assumptions.load(edited(tmp_path, *path, value=value))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_chart_is_a_picture_that_appears_whole(tmp_path: Path) -> None:
    for name, of in {
        "even": GUIDE,
        "never": changed(local__day_cny=2000),
        "at once": changed(cloud__minimum_nodes=2),
    }.items():
        file = tmp_path / f"{name}.png"
        chart.write(breakeven.report(of), file)
        data = file.read_bytes()
        assert data.startswith(b"\x89PNG")
        assert data.endswith(b"IEND\xaeB`\x82")
    assert len(list(tmp_path.iterdir())) == 3


# --- what runs now

OUTPUT = contract.Output(
    schema=1,
    stack="emulator",
    region="us-east-1",
    network=contract.Network("vpc-1", "10.20.0.0/16", {}),
    pools={
        name: contract.Pool(
            lifecycle=lifecycle,
            autoscaling_group=f"dualtrack-{name}",
            instance_types=(P4DE,),
            gpus=8,
            roles=("gpu",),
            ssh_user="admin",
            zones=("us-east-1a",),
            min=0,
            desired=2,
            max=4,
        )  # type: ignore[arg-type]
        for name, lifecycle in (("spot", "spot"), ("ondemand", "on-demand"))
    },
    storage={},
)
COSTS = running.Facts(book=files.load(), storage=files.storage(), exchange=7.1, exchange_taken="2026-11-25", now=1.8e9)


def node(id_: str, pool: str, type_: str = P4DE, zone: str = "us-east-1a", **more: str) -> ec2.Instance:
    return ec2.Instance(
        id=id_,
        type=type_,
        address="10.20.0.4",
        zone=zone,
        lifecycle="",
        tag_pool=pool,
        **{"tag_deployment": "dualtrack", **more},
    )


def reported(
    *instances: ec2.Instance, stored: dict[tuple[str, str], int] | None = None, servers: tuple[Server, ...] = (),
    budget: float | None = None,
) -> running.CostReport:  # fmt: skip
    return running.report(OUTPUT, "dualtrack", running.Seen(instances, stored or {}, servers), COSTS, budget)


def test_everything_that_runs_is_counted_once() -> None:
    found = reported(
        node("i-1", "spot"), node("i-2", "spot", zone="us-east-1b"), node("i-3", "ondemand"),
        stored={("weights", "STANDARD"): 140 * 10**9, ("checkpoints", "DEEP_ARCHIVE"): 10**12},
        servers=(Server(name="sovereign-1", address="10.30.0.11", roles=("gpu",), gpus=8, cny_per_day=280),),
    )  # fmt: skip
    by_name = {(row.name, row.kind): row for row in found.rows}
    assert by_name["spot", P4DE].usd_per_hour == pytest.approx(2 * 14.26)  # the higher price of the range
    assert by_name["ondemand", P4DE].usd_per_hour == pytest.approx(27.45)
    assert by_name["weights", "STANDARD"].usd_per_month == pytest.approx(140 * 0.023)
    assert by_name["checkpoints", "DEEP_ARCHIVE"].usd_per_month == pytest.approx(0.99)
    assert by_name["sovereign-1", "gpu"].usd_per_month == pytest.approx(280 * 365.25 / 12 / 7.1)
    assert found.usd_per_month == pytest.approx(sum(row.usd_per_month or 0 for row in found.rows))
    assert found.findings == ()
    assert any(line.startswith(f"{P4DE}: 2026") for line in found.prices)


def test_half_without_tags_are_counted_apart_and_found() -> None:
    bare = [
        ec2.Instance(id=f"i-{n}", type=P4DE, address="10.20.0.9", zone="us-east-1a", lifecycle="") for n in range(5)
    ]
    found = reported(*[node(f"i-t{n}", "ondemand") for n in range(5)], *bare)
    rows = {row.name: row for row in found.rows}
    assert rows[running.UNTAGGED].quantity == rows["ondemand"].quantity == 5
    assert rows[running.UNTAGGED].usd_per_hour == pytest.approx(5 * 27.45)
    assert "i-0, i-1, i-2 and 2 more" in found.findings[0]


def test_what_aws_says_of_an_instance_wins_over_its_pools_plan() -> None:
    found = reported(
        ec2.Instance(
            id="i-1",
            type=P4DE,
            address="",
            zone="us-east-1a",
            lifecycle="spot",
            tag_pool="ondemand",
            tag_deployment="dualtrack",
        )
    )
    assert [(row.name, row.lifecycle) for row in found.rows] == [("ondemand", "spot")]


def test_another_deployments_instances_are_said_and_not_counted() -> None:
    found = reported(node("i-1", "spot", tag_deployment="other"))
    assert found.rows == ()
    assert any("1 instances of other deployments" in note for note in found.notes)


def test_without_a_price_the_sum_is_a_lower_bound_and_the_budget_unknown() -> None:
    found = reported(node("i-1", "ondemand", type_="x9.large"), node("i-2", "ondemand"), budget=100_000)
    assert found.unpriced == ("1 nodes ondemand (x9.large)",)
    assert found.usd_per_hour == pytest.approx(27.45)
    assert "not known" in found.findings[0]


def test_a_broken_budget_is_a_finding() -> None:
    assert "over the budget" in reported(node("i-1", "ondemand"), budget=100).findings[0]
    assert reported(node("i-1", "ondemand"), budget=30_000).findings == ()


@pytest.mark.parametrize("value", [0, -5, math.inf, math.nan, "many", True])
def test_a_budget_that_cannot_be_is_refused(value: object) -> None:
    with pytest.raises(BadInput, match="budget"):
        checked_budget(value)


def test_storage_prices_have_sources_and_dates(tmp_path: Path) -> None:
    found = files.storage()
    assert found.of("DEEP_ARCHIVE", "us-east-1") is not None
    assert found.of("DEEP_ARCHIVE", "mars-1") is None
    assert {name: (way.hours) for name, way in found.classes["DEEP_ARCHIVE"].restores.items()} == {
        "Standard": 12,
        "Bulk": 48,
    }
    bad = tmp_path / "s3.yml"
    bad.write_text(files.STORAGE_FACTS.read_text().replace("0.023", "-1"))
    with pytest.raises(BadInput, match=r"s3\.yml: STANDARD"):
        files.storage(bad)


def test_every_version_of_an_object_is_billed() -> None:
    class S3:
        def get_paginator(self, name: str) -> S3:
            assert name == "list_object_versions"
            return self

        def paginate(self, **_: str) -> list[dict[str, Any]]:
            return [{"Versions": [{"Size": 5, "StorageClass": "STANDARD"}, {"Size": 7}]},
                    {"Versions": [{"Size": 1, "StorageClass": "DEEP_ARCHIVE"}], "DeleteMarkers": [{}]}, {}]  # fmt: skip

    assert gather.stored_bytes(S3(), "b") == {"STANDARD": 12, "DEEP_ARCHIVE": 1}
