"""What a plan's pools cost: counts times the most expensive type, spot and on demand, and what has no price."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from dualtrack.cli import bring_up
from dualtrack.cloud import preflight, variables
from dualtrack.cloud.bill import SERVING, bill
from dualtrack.cloud.plan import TofuPlan
from dualtrack.cloud.preflight import Preflight, Quota
from dualtrack.cloud.prices import MONTH_HOURS, files
from dualtrack.core.errors import Refused

BOOK = files.load()
NOW = 1_790_000_000.0
A100, CPU = 27.45, 0.096


def pools(**found: dict[str, object]) -> dict[str, object]:
    return {
        "region": "us-east-1",
        "image": {"id": "ami-1"},
        "network": {"subnets": {"us-east-1a": "x"}},
        "pools": found,
    }


def pool(lifecycle: str, types: list[str], desired: int, most: int, **more: object) -> dict[str, object]:
    return {"lifecycle": lifecycle, "instance_types": types, "desired": desired, "max": most, **more}


def test_an_on_demand_pool_costs_its_dearest_type() -> None:
    found = bill(pools(gpus=pool("on-demand", ["p4d.24xlarge", "p4de.24xlarge"], 2, 5)), BOOK, NOW)
    [row] = found.pools
    assert (row.desired, row.most, row.image, row.on_demand_usd, row.spot_usd) == (2, 5, "ami-1", A100, None)
    assert (row.usd_per_hour, row.most_usd_per_hour) == (pytest.approx(2 * A100), pytest.approx(5 * A100))
    assert found.usd_per_month == pytest.approx(2 * A100 * MONTH_HOURS)
    assert any("p4de.24xlarge" in line and "2026" in line for line in found.prices)


def test_a_spot_pool_pays_its_base_on_demand_and_the_range_at_its_higher_end() -> None:
    found = bill(pools(gpus=pool("spot", ["p4de.24xlarge"], 3, 4, on_demand_base=1)), BOOK, NOW)
    [row] = found.pools
    assert row.spot_usd == 14.26
    assert row.usd_per_hour == pytest.approx(A100 + 2 * 14.26)
    assert row.most_usd_per_hour == pytest.approx(A100 + 3 * 14.26)


def test_a_pool_may_have_an_image_of_its_own() -> None:
    found = bill(
        pools(a=pool("on-demand", ["m6i.large"], 1, 1, image={"id": "ami-2"}), b=pool("spot", [], 0, 0)), BOOK, NOW
    )
    assert [it.image for it in found.pools] == ["ami-2", "ami-1"]


def test_a_schedule_counts_for_the_most_that_a_pool_may_cost() -> None:
    night = {"night": {"at": "22:00", "desired": 4}}
    found = bill(pools(gpus=pool("on-demand", ["m6i.large"], 0, 2, schedules=night)), BOOK, NOW)
    assert (found.usd_per_hour, found.most_usd_per_hour) == (0, pytest.approx(4 * CPU))


def test_what_has_no_price_is_named_and_the_rest_is_still_summed() -> None:
    found = bill(
        pools(
            new=pool("on-demand", ["x9z.large"], 1, 1), old=pool("on-demand", ["m6i.large"], 2, 2),
            spot=pool("spot", ["m6i.large"], 1, 1), none=pool("spot", ["x9z.large"], 0, 0),
        ),
        BOOK, NOW,
    )  # fmt: skip
    assert found.usd_per_hour == pytest.approx(2 * CPU)
    assert found.unpriced == (
        "pool new: no on-demand price is known for all of x9z.large",
        "pool spot: no spot price is known for all of m6i.large",
    )
    assert [it.usd_per_hour for it in found.pools if it.pool == "none"] == [0]


def test_the_pool_that_serves_is_billed_by_the_defaults_of_the_stack() -> None:
    found = bill({**pools(), "serving": {"instance_types": ["m6i.2xlarge"], "max": None}}, BOOK, NOW)
    [row] = found.pools
    assert (row.pool, row.desired, row.most, row.usd_per_hour) == ("serving", 1, 2, pytest.approx(0.384))
    assert row.most_usd_per_hour is None, "its second instance is bought on spot, whose price is not known"


def test_the_defaults_of_the_stack_for_the_pool_that_serves_are_those_of_its_declaration() -> None:
    text = (variables.folder("aws") / "variables.tf").read_text()
    declared = text[text.index('variable "serving"') :]
    for name, value in SERVING.items():
        assert f"{name} " in declared
        assert f"optional(number, {value})" in next(
            it for it in declared.splitlines() if it.strip().startswith(f"{name} ")
        )


def test_a_budget_of_the_stack_is_shown() -> None:
    found = bill({**pools(), "watch": {"budget_usd": 20000}}, BOOK, NOW)
    assert found.budget_usd_per_month == 20000
    assert bill({**pools(), "watch": None}, BOOK, NOW).budget_usd_per_month is None


@pytest.mark.parametrize("yes", [True, False])
def test_the_price_is_shown_before_the_question(
    yes: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And where nothing is asked, too; a plan that destroys has no price."""
    said: list[str] = []

    def answer(question: str) -> bool:
        said.append(capsys.readouterr().err)
        return "111122223333" in question

    monkeypatch.setattr(bring_up, "answer", answer)
    needs = Quota(family="P", bought="on-demand", code="L-1", needs=192, most=480, has=192)
    ready = Preflight(quotas=(needs,), problems=(), unchecked=("images: no answer",))
    monkeypatch.setattr(preflight, "check", lambda *_: ready)
    plan = TofuPlan((), False, Path("plan"), pools(gpus=pool("on-demand", ["p4de.24xlarge"], 2, 5)))
    assert bring_up.asked(yes)(plan, "account 111122223333")
    shown = capsys.readouterr().err if yes else said[0]
    assert "$54.90 an hour" in shown
    assert "p4de.24xlarge" in shown
    assert "quota    P instances, on-demand: 192 vCPUs, at most 480; the account may run 192" in shown
    assert "unknown  images: no answer" in shown
    assert bring_up.asked(True)(TofuPlan((), False, Path("plan")), "account 111122223333")
    assert capsys.readouterr().err == "No changes\n"
    # Nobody is asked about what cannot start.
    said.clear()
    monkeypatch.setattr(preflight, "check", lambda *_: replace(ready, problems=("no quota: ask for it", "no type")))
    with pytest.raises(Refused, match="no quota: ask for it; and 1 more, listed above"):
        bring_up.asked(yes)(plan, "account 111122223333")
    assert said == []
