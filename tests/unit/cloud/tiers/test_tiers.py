"""Cost and hours of tiers, by hand; a plan that breaks a recovery budget is refused, by us and by OpenTofu alike."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.cloud import variables
from dualtrack.cloud.prices import files
from dualtrack.cloud.tiers import amounts, plan, restore
from dualtrack.cloud.tiers.plan import Amount, Class
from dualtrack.cloud.tiers.restore import Object
from dualtrack.core.errors import BadInput, Refused

PRICES = files.storage()
REGION = "us-east-1"
MONTH = 365.25 / 12


TB = Amount(10**12, 1000)


def one(of: Class, amount: Amount = TB) -> plan.TierRow:
    [row] = plan.plan(REGION, {"weights": of}, {"weights": amount}, PRICES).rows
    return row


def test_the_months_and_the_restore_by_hand() -> None:
    """1 TB in 1,000 objects: 23 $, 12.50 $ and 0.99 $ a month; Standard 20 $ + 0.10 $, Bulk 2.50 $ + 0.025 $."""
    row = one(Class(ia_days=30, deep_archive_days=90, recovery_hours=24))
    assert [(it.storage_class, it.from_day) for it in row.tiers] == [
        ("STANDARD", 0),
        ("STANDARD_IA", 30),
        ("DEEP_ARCHIVE", 90),
    ]
    assert [it.usd_per_month for it in row.tiers] == pytest.approx([23, 12.5, 0.99])
    ways = {way.name: (way.hours, way.usd, way.fits) for way in row.tiers[2].ways}
    assert ways == {"Standard": (12, pytest.approx(20.1), True), "Bulk": (48, pytest.approx(2.525), False)}
    best = plan.cheapest(row.tiers[2])
    assert best is not None
    assert best.name == "Standard"
    assert row.year_usd == pytest.approx((23 * 30 + 12.5 * 60 + 0.99 * 275) / MONTH)
    assert row.problem == ""


def test_a_tier_bills_its_least_days() -> None:
    """Thirty days are billed of a GB that stays in Infrequent Access for ten."""
    row = one(Class(ia_days=30, deep_archive_days=40))
    assert row.year_usd == pytest.approx((23 * 30 + 12.5 * 30 + 0.99 * 325) / MONTH)


def test_a_broken_recovery_budget_is_named() -> None:
    assert (
        "weights goes to DEEP_ARCHIVE after 90 days, where reading takes 12 hours: its recovery budget is 4"
        in one(Class(ia_days=30, deep_archive_days=90, recovery_hours=4)).problem
    )
    assert one(Class(ia_days=30, deep_archive_days=None, recovery_hours=0.01)).problem == ""
    assert one(Class(ia_days=30, deep_archive_days=90)).problem == ""


def test_the_stacks_own_classes_keep_their_budgets() -> None:
    for stack in ("aws", "emulator"):
        of = plan.classes(variables.read(variables.folder(stack)))
        found = plan.plan(REGION, of, dict.fromkeys(of, Amount(10**9, 1)), PRICES)
        assert [row.problem for row in found.rows] == [""] * len(of)
        assert all(it.recovery_hours for it in of.values())


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(BadInput, match="there is no class of data wieghts"):
        plan.plan(REGION, {"weights": Class()}, {"wieghts": Amount(1, 1)}, PRICES)
    with pytest.raises(BadInput, match="what STANDARD costs in mars-1 is not known"):
        plan.plan("mars-1", {"weights": Class()}, {"weights": Amount(1, 1)}, PRICES)
    with pytest.raises(BadInput, match="storage"):
        plan.classes({"storage": {"weights": {"ia_days": "soon"}}})
    with pytest.raises(BadInput, match="storage"):
        plan.classes({})


@given(st.integers(0, 10**15), st.integers(0, 10**6))
def test_money_grows_with_the_bytes_and_never_falls_below_zero(size: int, objects: int) -> None:
    row = one(Class(ia_days=30, deep_archive_days=90, recovery_hours=48), Amount(size, objects))
    assert 0 <= row.year_usd <= row.year_standard_usd + 1e-6
    assert all(way.usd >= 0 for tier in row.tiers for way in tier.ways)


@pytest.mark.parametrize("word", ["weights", "=1GB", "weights=", "weights=1GB:many", "weights=-1GB"])
def test_an_amount_that_is_none_is_refused(word: str) -> None:
    with pytest.raises(BadInput):
        amounts.given([word])
    with pytest.raises(BadInput, match="given twice"):
        amounts.given(["a=1GB", "a=2GB"])


def test_amounts_are_as_given() -> None:
    assert amounts.given(["weights=140GB:60", "audit=12GB"]) == {
        "weights": Amount(140 * 10**9, 60),
        "audit": Amount(12 * 10**9, 3),
    }


@pytest.mark.parametrize(
    ("header", "state"),
    [(None, "archived"), ('ongoing-request="true"', "restoring"),
     ('ongoing-request="false", expiry-date="Fri, 21 Dec 2026 00:00:00 GMT"', "readable")],
)  # fmt: skip
def test_what_s3_says_of_a_restore(header: str | None, state: str) -> None:
    assert restore.state_of(header) == state


def objects(*states: str, size: int = 10**12) -> list[Object]:
    return [Object(key=f"k{n}", size=size, storage_class="DEEP_ARCHIVE", state=state) for n, state in enumerate(states)]


def test_the_cheapest_way_in_time_is_taken() -> None:
    found = objects("archived", "restoring", "readable")
    assert restore.quote(found, PRICES, REGION, "", None).way == "Bulk"
    quick = restore.quote(found, PRICES, REGION, "", 24)
    assert (quick.way, quick.promised_hours, quick.archived, quick.restoring) == ("Standard", 12, 1, 1)
    assert quick.usd == pytest.approx(20 + 0.1 / 1000)
    with pytest.raises(Refused, match="it takes up to 12 hours, and 4 are allowed"):
        restore.quote(found, PRICES, REGION, "", 4)
    with pytest.raises(Refused, match="48 hours"):
        restore.quote(found, PRICES, REGION, "Bulk", 24)
    with pytest.raises(BadInput, match="no way Expedited"):
        restore.quote(found, PRICES, REGION, "Expedited", None)


def test_what_is_on_its_way_is_not_paid_twice() -> None:
    found = restore.quote(objects("restoring", "restoring"), PRICES, REGION, "", None)
    assert (found.usd, found.restoring) == (0, 2)
    assert restore.quote(objects("readable"), PRICES, REGION, "", 0).way == ""


def test_a_plan_is_a_document() -> None:
    found = plan.plan(REGION, {"weights": Class(ia_days=30, deep_archive_days=90)}, {"weights": Amount(1, 1)}, PRICES)
    assert msgspec.json.decode(msgspec.json.encode(found))["rows"][0]["name"] == "weights"
