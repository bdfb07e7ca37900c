"""What the keeper makes of what hosts ask for: each its own, so many days, those around today always."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.security.audit import index_documents, index_requests

TODAY = date(2026, 11, 25)
NEAR = [f"{TODAY + timedelta(days=it):%Y.%m.%d}" for it in (-1, 0, 1)]


def day(back: int) -> str:
    return f"{TODAY - timedelta(days=back):%Y.%m.%d}"


@pytest.mark.parametrize(
    "wrong", ["", "*", "2026.13.01", "2026.1.1", "b-2026.11.25", "2026.11.25 ", "2026-11-25", "../.."]
)
def test_a_day_that_is_none_gets_no_index(wrong: str) -> None:
    made, why = index_requests.decide(
        [index_requests.Ask("gpu", wrong), index_requests.Ask("web", day(0))], {}, TODAY, 5
    )
    assert made == [f"audit-web-{day(0)}"]
    assert set(why) == {"gpu"}


@given(
    st.lists(st.tuples(st.sampled_from(["a", "a-b", "c"]), st.integers(-400, 400)), max_size=60),
    st.lists(st.tuples(st.sampled_from(["a", "a-b", "c"]), st.integers(-400, 400)), max_size=60),
    st.integers(1, 10),
)
def test_nobody_has_more_than_its_days_but_for_those_around_today(
    asks: list[tuple[str, int]], before: list[tuple[str, int]], days: int
) -> None:
    there = {f"audit-{host}-{day(back)}": 1 for host, back in before}
    made, why = index_requests.decide([index_requests.Ask(host, day(back)) for host, back in asks], there, TODAY, days)
    assert len(set(made)) == len(made)
    assert not set(made) & set(there)
    wanted = {f"audit-{host}-{day(back)}" for host, back in asks}
    assert set(made) <= wanted
    assert {it for it in wanted - set(there) if it[-10:] in NEAR} <= set(made)
    for host in ("a", "a-b", "c"):
        far = [it for it in made if index_documents.host_of(it) == host and it[-10:] not in NEAR]
        held = [it for it in there if index_documents.host_of(it) == host]
        assert not far or len(held) + len(far) <= days
        assert (host in why) == bool(
            {it for it in wanted - set(there) - set(made) if index_documents.host_of(it) == host}
        )


def test_what_is_asked_is_whose_index_it_was_asked_in() -> None:
    answer = {"aggregations": {"asked": {"buckets": [
        {"key": ".asked-a-b", "days": {"buckets": [{"key": "2026.11.25", "doc_count": 1}]}},
    ]}}}  # fmt: skip
    assert index_requests.parse(answer) == [index_requests.Ask("a-b", "2026.11.25")]
    assert index_requests.parse({}) == []


@pytest.mark.parametrize(
    ("there", "made"),
    [
        ({"logs-a-2026-11-25": 5}, ["logs-a-2026-11-26"]),
        ({"logs-a-2026-11-24": 5, "logs-a-2026-11-25": 0}, ["logs-a-2026-11-26"]),
        ({"logs-a-2026-11-23": 5}, ["logs-a-2026-11-24", "logs-a-2026-11-25", "logs-a-2026-11-26"]),
        ({"logs-a-2026-11-25": 0}, []),  # nothing was ever sent
        ({"logs-a-2026-11-17": 5}, []),  # gone
        ({"logs-a-2026-11-26": 5}, []),  # a clock that is ahead
        ({"logs-a-2099-01-01": 5, "logs-a-2026-11-25": 1}, ["logs-a-2026-11-26"]),
        ({"logs-2026": 5, "audit-a-2026.11.25": 5, "logs-a-2026-13-01": 5}, []),
    ],
)
def test_logs_have_their_days_ahead(there: dict[str, int], made: list[str]) -> None:
    assert list(index_requests.ahead(there, TODAY)) == made
