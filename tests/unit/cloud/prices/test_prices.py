"""Prices: files are checked, dates hold, hours are the operator's, and what is not known is not guessed."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.cloud.prices import day, files
from dualtrack.cloud.prices.book import Book, earliest, region_of
from dualtrack.cloud.prices.market import Market, Wanted, market
from dualtrack.core.errors import BadInput

NOW = datetime(2026, 11, 25, 12, 30, tzinfo=UTC)
P4DE = "p4de.24xlarge"
A, B = "us-east-1a", "us-east-1b"


def document(**entry: Any) -> dict[str, Any]:
    price = {"type": P4DE, "where": ["us-east-1"], "source": "mine", **entry}
    sources = {"mine": {"what": "an invoice", "taken": "2026-11-20"}}
    return {"schema": "dualtrack.prices/1", "sources": sources, "prices": [price]}


def load(folder: Path, data: dict[str, Any] | str) -> Book:
    file = folder / "prices.json"
    file.write_text(data if isinstance(data, str) else json.dumps(data))
    return files.load(file)


def wanted(**more: Any) -> Wanted:
    return Wanted(**{"region": "us-east-1", "zones": (A, B), "types": (P4DE,), "time_zone": "UTC", **more})


def hourly(days: float, usd: float, *, end: datetime = NOW, skip: frozenset[int] = frozenset()) -> list[list[Any]]:
    start = end.replace(minute=0) - timedelta(days=days)
    moments = (start + timedelta(hours=number) for number in range(int(days * 24)))
    return [[at.isoformat(), usd] for at in moments if at.hour not in skip]


def test_every_fact_of_the_repository_has_a_source_a_date_and_a_price() -> None:
    book = files.load()
    facts = [*book.on_demand_facts.values(), *(s.level for s in book.spot_facts.values() if s.level)]
    assert len(facts) >= 10
    for fact in facts:
        assert earliest(fact.taken) <= date(2026, 12, 31)
        assert fact.source
        assert 0.05 < (fact.low or fact.usd) <= fact.usd < 100


def test_the_facts_are_those_that_were_noted() -> None:
    book = files.load()
    usual, spot = book.on_demand(P4DE, "us-east-1b"), book.spot(P4DE, "us-east-1b")
    assert (usual and usual.usd, spot and spot.level and (spot.level.low, spot.level.usd)) == (27.45, (9.73, 14.26))
    german = book.spot(P4DE, "eu-central-1a")
    assert german
    assert german.level
    assert german.level.usd == book.on_demand_facts[P4DE, "eu-central-1"].usd == 34.29
    assert book.on_demand(P4DE, "eu-west-1") is None


def test_a_zone_of_its_own_wins_over_its_region(tmp_path: Path) -> None:
    data = document(on_demand=27.0, spot=12.0)
    data["prices"].append({"type": P4DE, "where": [A], "source": "mine", "spot": 9.0})
    book = load(tmp_path, data)
    assert [found.level.usd for zone in (A, B) if (found := book.spot(P4DE, zone)) and found.level] == [9.0, 12.0]


@pytest.mark.parametrize(
    ("place", "region"),
    [("us-east-1", "us-east-1"), ("us-east-1f", "us-east-1"), ("us-gov-west-1a", "us-gov-west-1"),
     ("us-east-1-atl-2a", "us-east-1")],
)  # fmt: skip
def test_regions_of_places(place: str, region: str) -> None:
    assert region_of(place) == region


@pytest.mark.parametrize(
    ("taken", "first"), [("2026", date(2026, 1, 1)), ("2026-08", date(2026, 8, 1)), ("2026-08-09", date(2026, 8, 9))]
)
def test_a_date_counts_from_the_first_day_that_it_can_mean(taken: str, first: date) -> None:
    assert earliest(taken) == first


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"on_demand": -1.0}, "-1 is not a price"),
        ({"on_demand": 0}, "0 is not a price"),
        ({"spot": 12_000.0}, "12000 is not a price"),
        ({"spot": [9.0, -2.0]}, "-2 is not a price"),
        ({"spot_by_hour": [1.0] * 23}, "has 23 levels"),
        ({"spot_by_hour": [1.0] * 23 + [0.0]}, "0 is not a price"),
        ({"history": []}, "history is empty"),
        ({"history": [["2026-11-20T00:00:00Z", -3.0]]}, "-3 is not a price"),
        ({"history": [["2026-11-20T00:00:00", 3.0]]}, "timezone"),
        ({"history": [["yesterday", 3.0]]}, "Invalid RFC3339"),
        ({"spot": 1.0, "history": [["2026-11-20T00:00:00Z", 3.0]]}, "spot and history exclude each other"),
        ({}, "it gives no price"),
        ({"on_demand": 1.0, "where": []}, "where is empty"),
        ({"on_demand": 1.0, "where": ["mars"]}, "'mars' is not a region or zone"),
        ({"on_demand": 1.0, "source": "nobody"}, "source 'nobody' is not among the sources"),
        ({"on_demand": 1.0, "where": ["us-east-1", "us-east-1"]}, "on_demand is given twice"),
        ({"on_demand": "27"}, "Expected `float"),
        ({"on_demnd": 27.0}, "unknown field `on_demnd`"),
    ],
)
def test_a_wrong_entry_is_named_in_one_line(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=r"prices\.json") as caught:
        load(tmp_path, document(**change))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("taken", ["", "yesterday", "2026-13", "2026-02-30", "26", "0000"])
def test_a_source_needs_a_date(tmp_path: Path, taken: str) -> None:
    data = document(on_demand=27.0)
    data["sources"]["mine"]["taken"] = taken
    with pytest.raises(BadInput, match=r"source mine: .* is not a date"):
        load(tmp_path, data)


@pytest.mark.parametrize("text", ["{", "a: [", "[]", "", "\x00"])
def test_a_file_that_is_none(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput, match=r"prices\.json"):
        load(tmp_path, text)


def test_nan_is_no_price(tmp_path: Path) -> None:
    file = tmp_path / "prices.yml"
    file.write_text("schema: dualtrack.prices/1\nsources: {mine: {what: x, taken: '2026'}}\n"
                    "prices: [{type: a, where: [us-east-1], source: mine, on_demand: .nan}]\n")  # fmt: skip
    with pytest.raises(BadInput, match="nan is not a price"):
        files.load(file)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no price file"):
        files.load(tmp_path / "none.yml")
    with pytest.raises(BadInput, match="is a directory"):
        files.load(tmp_path)


# --- hours ------------------------------------------------------------------------------------------------------------


def test_hours_are_read_with_the_offset_that_they_had() -> None:
    """A price that is low from 02:00 to 03:00 in Berlin stays there, though the clocks changed within the window."""
    berlin = ZoneInfo("Europe/Berlin")
    now = datetime(2026, 11, 10, tzinfo=UTC)
    slots = day.slots(berlin, now, 30)
    rows = [(at, 2.0 if datetime.fromtimestamp(at, berlin).hour == 2 else 9.0) for at, _ in slots]
    levels, missing = day.by_hour(rows, slots, holds=math.inf)
    assert missing == 0
    assert levels[2] == 2.0
    assert set(levels[:2] + levels[3:]) == {9.0}
    assert len(slots) == 30 * 24 + 1 + 1  # the hour that came twice, and midnight in UTC is 01:00 in Berlin


@pytest.mark.parametrize(
    ("zone", "twice"), [("Asia/Shanghai", []), ("Europe/Berlin", [2]), ("America/New_York", [1]), ("UTC", [])]
)
def test_the_longest_day_of_the_year(zone: str, twice: list[int]) -> None:
    repeats = day.longest(ZoneInfo(zone), NOW)
    assert [hour for hour in range(24) if repeats[hour] > 1] == twice


def test_hours_with_minutes_in_their_offset_take_the_dearer_of_two(tmp_path: Path) -> None:
    levels = [5.0] * 24
    levels[6] = 8.0
    found = market(load(tmp_path, document(on_demand=27.0, spot_by_hour=levels)), wanted(time_zone="Asia/Kolkata"), NOW)
    assert [hour for hour, usd in enumerate(found.spot[P4DE][A]) if usd == 8.0] == [11, 12]  # 06:00 UTC is 11:30 there


def test_a_clock_hour_counts_with_the_dearest_price_in_it() -> None:
    slots = day.slots(ZoneInfo("UTC"), NOW, 1)
    start = slots[0][0]
    levels, _ = day.by_hour([(start, 9.0), (start + 6.5 * 3600, 20.0), (start + 7 * 3600, 9.0)], slots, math.inf)
    assert {hour: usd for hour, usd in enumerate(levels) if usd != 9.0} == {6: 14.5}  # 20 yesterday, 9 today


@given(st.lists(st.tuples(st.integers(0, 40 * 24 * 60), st.floats(0.01, 100)), max_size=60), st.integers(1, 72))
def test_levels_lie_within_the_prices_that_were_there(rows: list[tuple[int, float]], holds: int) -> None:
    slots = day.slots(ZoneInfo("America/New_York"), NOW, 30)
    start = slots[0][0]
    history = sorted((start + minute * 60.0, usd) for minute, usd in rows)
    levels, missing = day.by_hour(history, slots, holds * 3600.0)
    known = [usd for usd in levels if usd is not None]
    assert missing == 24 - len(known)
    prices = [usd for _, usd in history]
    assert all(min(prices) - 1e-9 <= usd <= max(prices) + 1e-9 for usd in known)


# --- what the planner sees --------------------------------------------------------------------------------------------


def read(folder: Path, **entry: Any) -> Market:
    return market(load(folder, document(**{"on_demand": 27.0, **entry})), wanted(), NOW)


def test_a_history_with_gaps_leaves_those_hours_without_a_price(tmp_path: Path) -> None:
    data = document(on_demand=27.0, where=["us-east-1"])
    data["holds_hours"] = 2
    data["prices"].append({"type": P4DE, "where": [A], "source": "mine",
                           "history": hourly(10, 9.0, skip=frozenset({3, 4, 5, 6}))})  # fmt: skip
    found = market(load(tmp_path, data), wanted(), NOW)
    # 03:00 and 04:00 still hold the price of 02:00, for two hours; then nothing is known until 07:00.
    assert [hour for hour, usd in enumerate(found.spot[P4DE][A]) if usd is None] == [4, 5, 6]
    assert f"{P4DE} in {A}: 3 of the day's 24 hours have no spot price, and get no spot" in found.notes
    assert found.spot[P4DE][B] == (None,) * 24


def test_a_day_that_was_lucky_is_no_price(tmp_path: Path) -> None:
    """Known on one day of the ten that the history spans: that says nothing about tomorrow."""
    rows = [["2026-11-15T08:00:00Z", 9.0], ["2026-11-24T12:00:00Z", 9.0]]
    data = document(on_demand=27.0, history=rows, where=[A])
    data["holds_hours"] = 1
    data["prices"].append({"type": P4DE, "where": ["us-east-1"], "source": "mine", "on_demand": 27.0})
    data["prices"][0].pop("on_demand")
    assert market(load(tmp_path, data), wanted(), NOW).spot[P4DE][A] == (None,) * 24


def test_old_facts_are_refused_with_their_date(tmp_path: Path) -> None:
    book = load(tmp_path, document(on_demand=27.0, spot=9.0))
    with pytest.raises(BadInput, match=r"of 2026-11-20, which may be 5 days ago: more than 3 .*--max-age"):
        market(book, wanted(max_age=3), NOW)
    with pytest.raises(BadInput, match="more than 400"):
        market(book, wanted(), NOW + timedelta(days=400))
    assert "2026-11-20 (mine)" in market(book, wanted(max_age=5), NOW).dates[0]


def test_an_old_history_is_refused_with_its_date_and_a_part_of_it_gets_no_spot(tmp_path: Path) -> None:
    old = hourly(5, 9.0, end=NOW - timedelta(days=61))
    data = document(on_demand=27.0)
    data["prices"].append({"type": P4DE, "where": [A], "source": "mine", "history": old})
    with pytest.raises(BadInput, match="newest spot price is of 2026-09-25: older than 60 days"):
        market(load(tmp_path, data), wanted(), NOW)
    data["prices"].append({"type": P4DE, "where": [B], "source": "mine", "history": hourly(5, 9.0)})
    found = market(load(tmp_path, data), wanted(), NOW)
    assert found.spot[P4DE][A] == (None,) * 24
    assert None not in found.spot[P4DE][B]
    assert any(f"{P4DE} in {A}: no spot, its newest price is of 2026-09-25" in note for note in found.notes)


def test_prices_from_the_future_are_refused(tmp_path: Path) -> None:
    rows = [["2026-11-25T12:00:00Z", 9.0], ["2026-11-25T13:00:00Z", 9.0]]
    with pytest.raises(BadInput, match=r"from the future .*clock"):
        read(tmp_path, history=rows)
    read(tmp_path, history=[["2026-11-25T12:35:00Z", 9.0]])  # minutes apart are two clocks, not a lie
    with pytest.raises(BadInput, match="from the future"):
        market(load(tmp_path, document(on_demand=27.0)), wanted(), NOW - timedelta(days=30))


def test_a_price_too_low_to_be_true_is_not_believed(tmp_path: Path) -> None:
    found = read(tmp_path, spot=0.00001)
    assert found.spot[P4DE][A] == (None,) * 24
    assert any("too low to be true" in note for note in found.notes)


def test_a_range_is_planned_at_its_dearer_end_and_said(tmp_path: Path) -> None:
    found = read(tmp_path, spot=[9.0, 14.0])
    assert set(found.spot[P4DE][A]) == {14.0}
    assert any("9.00 to 14.00: planned at the higher price" in note for note in found.notes)
    assert any("hours differ by demand only" in note for note in found.notes)
