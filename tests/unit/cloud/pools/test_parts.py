"""The watch's parts: what activities say, what is believed, what is kept on disk, what it cost, and its unit."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.cloud.pools import activities, consistency, context, costs, unit
from dualtrack.cloud.pools.model import State
from dualtrack.cloud.pools.report import report
from dualtrack.cloud.pools.state import Count, Entry
from dualtrack.cloud.prices import files
from dualtrack.core.errors import BadInput, DualtrackError
from dualtrack.lab.fault_injection.scenario import CODES, status_message
from tests.conftest import CLI
from tests.support.simulated_pools import OUTPUT

AT = datetime(2026, 11, 25, 12, tzinfo=UTC)
ON_DEMAND_SHORT = (
    "Could not launch On-Demand Instances. InsufficientInstanceCapacity - We currently do not have sufficient"
    " p4de.24xlarge capacity in the Availability Zone you requested (us-east-1b). Our system will be working on"
    " provisioning additional capacity. Launching EC2 instance failed."
)


def activity(message: str, **more: Any) -> dict[str, Any]:
    plain = {"StatusCode": "Failed", "StartTime": AT, "StatusMessage": message}
    return {**plain, "Description": f"Launching a new EC2 instance.  Status Reason: {message}", **more}


# As reported in public: aws-parallelcluster #1115, cortex #1258, hashicorp/terraform-provider-aws #17543 and others.
@pytest.mark.parametrize(
    ("message", "why", "code"),
    [
        (
            "Could not launch Spot Instances. InsufficientInstanceCapacity - There is no Spot capacity available that"
            " matches your request. Launching EC2 instance failed.",
            "capacity",
            "InsufficientInstanceCapacity",
        ),
        (
            "Could not launch Spot Instances. UnfulfillableCapacity - Unable to fulfill capacity due to your request"
            " configuration. Please adjust your request and try again. Launching EC2 instance failed.",
            "capacity",
            "UnfulfillableCapacity",
        ),
        (
            "Could not launch Spot Instances. MaxSpotInstanceCountExceeded - Max spot instance count exceeded."
            " Launching EC2 instance failed.",
            "quota",
            "MaxSpotInstanceCountExceeded",
        ),
        ("Max spot instance count exceeded. Launching EC2 instance failed.", "quota", "MaxSpotInstanceCountExceeded"),
        (
            "You have requested more vCPU capacity than your current vCPU limit of 32 allows for the instance bucket",
            "quota",
            "VcpuLimitExceeded",
        ),
        (ON_DEMAND_SHORT, "capacity", "InsufficientInstanceCapacity"),
        (
            "Could not launch On-Demand Instances. InvalidParameterCombination - The specified instance type is not"
            " eligible for Free Tier. Launching EC2 instance failed.",
            "other",
            "InvalidParameterCombination",
        ),
        ("Authentication Failure. Launching EC2 instance failed.", "other", "Unknown"),
    ],
)
def test_a_failed_launch_is_understood(message: str, why: str, code: str) -> None:
    found = activities.failure(activity(message))
    assert found is not None
    assert (found.why, found.code, found.at) == (why, code, AT.timestamp())


@pytest.mark.parametrize("key", CODES, ids="-".join)
def test_what_the_lab_says_is_what_the_watch_understands(key: Any) -> None:
    lifecycle, kind = key
    found = activities.failure(activity(status_message(lifecycle, kind, "p4de.24xlarge", "us-east-1a")))
    assert found is not None
    assert (found.why, found.code) == ("quota" if kind == "quota" else "capacity", CODES[key][0])


@pytest.mark.parametrize(
    ("details", "zone"),
    [
        ('{"Subnet ID":"subnet-1","Availability Zone":"us-east-1a"}', "us-east-1a"),
        ("{}", "us-east-1b"),
        ("not JSON", "us-east-1b"),
        ("[1]", "us-east-1b"),
        (None, "us-east-1b"),
    ],
)
def test_the_zone_is_in_the_details_or_in_the_message(details: str | None, zone: str) -> None:
    found = activities.failure(activity(ON_DEMAND_SHORT, Details=details))
    assert found is not None
    assert found.zone == zone


def test_what_is_no_launch_or_did_not_fail_is_no_failure() -> None:
    assert activities.failure(activity("x", StatusCode="Successful")) is None
    assert activities.failure(activity("x", Description="Terminating EC2 instance: i-1")) is None
    ended = activity("", StatusCode="Successful", Details='{"Availability Zone":"z"}')
    assert activities.success(ended) == (AT.timestamp(), "z")
    assert activities.success(activity("x")) is None


@pytest.mark.parametrize(
    ("type_", "spot", "on_demand"),
    [
        ("p4de.24xlarge", "L-7212CCBC", "L-417A185B"),
        ("p5en.48xlarge", "L-C4BD4855", "L-417A185B"),
        ("g6e.12xlarge", "L-3819A6DF", "L-DB2E81BA"),
        ("m6i.large", "L-34B43A08", "L-1216C47A"),
        ("trn1.32xlarge", "the vCPU quota of trn1.32xlarge (spot)", "the vCPU quota of trn1.32xlarge (on-demand)"),
    ],
)
def test_quotas_have_names(type_: str, spot: str, on_demand: str) -> None:
    assert spot in activities.quota(type_, "spot")
    assert on_demand in activities.quota(type_, "on-demand")


@pytest.mark.parametrize(
    ("remembered", "listed", "states", "said"),
    [
        ("12", "12", {"1": "running", "2": "running"}, ""),
        ("12", "2", {"1": "terminated", "2": "running"}, ""),
        ("12", "", {"1": "terminated", "2": "shutting-down"}, ""),
        ("12", "", {}, "1 and 1 more disappeared"),
        ("12", "", {"1": "running", "2": "running"}, "does not list 1 and 1 more any more"),
        ("12", "2", {"1": "running", "2": "running"}, "does not list 1 any more"),
        ("12", "2", {"1": "detached", "2": "running"}, ""),
        ("12", "12", {"1": "running"}, "lists 2, of which EC2 knows nothing"),
        ("12", "12", {"1": "terminated", "2": "running"}, ""),
        ("12", "12", {"1": "terminated", "2": "terminated"}, "which EC2 says ended"),
        ("", "", {}, ""),
    ],
)
def test_a_node_is_gone_only_when_ec2_says_so(remembered: str, listed: str, states: dict[str, str], said: str) -> None:
    found = consistency.inconsistency(tuple(remembered), 1000, frozenset(listed), states, 1060)
    assert (said in found) if said else found == ""


def test_what_was_remembered_long_ago_is_no_evidence() -> None:
    assert consistency.inconsistency(("1",), 0, frozenset(), {}, consistency.REMEMBERED_S + 1) == ""


@given(
    st.sets(st.integers(0, 5)),
    st.sets(st.integers(0, 5)),
    st.dictionaries(st.integers(0, 5), st.sampled_from(["running", "terminated"])),
)
def test_no_node_vanishes_on_silence(remembered: set[int], listed: set[int], states: dict[int, str]) -> None:
    told = {str(key): value for key, value in states.items()}
    found = consistency.inconsistency(tuple(map(str, sorted(remembered))), 0, frozenset(map(str, listed)), told, 60)
    if not found:
        assert all(told.get(str(gone)) == "terminated" for gone in remembered - listed)
        assert {str(it) for it in listed} <= told.keys()


def test_costs_are_those_of_the_dearest_type_and_unknown_is_unknown() -> None:
    assert costs.by_pool(OUTPUT, files.load()) == {
        "spot": pytest.approx(27.45 * 24), "ondemand": pytest.approx(21.96 * 24), "unpriced": None
    }  # fmt: skip
    assert any(
        "p4d.24xlarge" in line and "2026" in line for line in costs.dates(["p4d.24xlarge"], OUTPUT.region, files.load())
    )


@pytest.mark.parametrize("ceiling", [-1, float("nan"), float("inf")])
def test_a_ceiling_that_is_none_is_refused(ceiling: float) -> None:
    with pytest.raises(BadInput, match="--ceiling"):
        context.policy(OUTPUT, files.load(), ceiling=ceiling, grace=1, hold=1, cooldown=1, interval=1)


def counts(spot: int, on_demand: int) -> tuple[Count, ...]:
    return (
        Count(pool="ondemand", type="p4d.24xlarge", lifecycle="on-demand", zone="us-east-1a", nodes=on_demand),
        Count(pool="spot", type="p4de.24xlarge", lifecycle="spot", zone="us-east-1a", nodes=spot),
    )


def test_the_report_reckons_hours_times_price() -> None:
    hour = 1200.0  # a third of one: counts further apart than half an hour are not believed to have lasted
    entries = [
        Entry(at=0.0, kind="start", region="us-east-1"),
        Entry(at=0.0, kind="nodes", counts=counts(2, 1)),
        Entry(at=hour, kind="nodes", counts=counts(1, 2), fallback={"ondemand": 1}),
        Entry(at=hour, kind="raise", pool="ondemand", reason="spot was short"),
        Entry(at=2 * hour, kind="nodes", counts=counts(2, 1)),
        Entry(at=3 * hour, kind="note", reason="the end"),
    ]
    found = report(entries, files.load())
    rows = {it.lifecycle: it for it in found.rows}
    assert (rows["spot"].node_hours, rows["on-demand"].node_hours) == (pytest.approx(5 / 3), pytest.approx(4 / 3))
    # the higher price of the range that the facts give for p4de in us-east-1: 9.73 to 14.26.
    assert rows["spot"].usd == pytest.approx(14.26 * 5 / 3)
    assert rows["spot"].usd_on_demand == pytest.approx(27.45 * 5 / 3)
    assert found.saved == pytest.approx((27.45 - 14.26) * 5 / 3)
    assert found.fallback_hours == pytest.approx(1 / 3)
    assert found.fallback_extra == pytest.approx((21.96 - 14.11) / 3)
    assert [it.kind for it in found.events] == ["start", "raise", "note"]
    assert (found.seen_hours, found.unseen_hours) == (pytest.approx(1), 0)


def test_time_that_nobody_saw_costs_nothing_and_is_said() -> None:
    entries = [
        Entry(at=0.0, kind="start", region="us-east-1"),
        Entry(at=0.0, kind="nodes", counts=counts(2, 1)),
        Entry(at=36000.0, kind="nodes", counts=counts(2, 1)),
        Entry(at=36900.0, kind="note", reason="the end"),
    ]
    found = report(entries, files.load())
    assert (found.seen_hours, found.unseen_hours) == (pytest.approx(0.25), pytest.approx(10))
    assert report(entries, files.load(), since=36000.0).unseen_hours == 0
    assert sum(row.node_hours for row in found.rows) == pytest.approx(0.75)


def test_an_unknown_price_is_said_and_no_sum_is_made_up() -> None:
    entries = [
        Entry(at=0.0, kind="start", region="us-east-1"),
        Entry(
            at=0.0,
            kind="nodes",
            counts=(Count(pool="spot", type="g6e.48xlarge", lifecycle="spot", zone="us-east-1a", nodes=1),),
        ),
        Entry(at=900.0, kind="note"),
    ]
    found = report(entries, files.load())
    assert (found.usd, found.saved, found.rows[0].usd) == (None, None, None)
    assert report([], files.load()).rows == ()


def test_a_fallback_that_never_came_cost_nothing() -> None:
    entries = [
        Entry(at=0.0, kind="start", region="us-east-1"),
        Entry(at=0.0, kind="nodes", counts=counts(1, 0), fallback={"ondemand": 1}),
        Entry(at=900.0, kind="note"),
    ]
    found = report(entries, files.load())
    assert (found.fallback_hours, found.fallback_extra) == (0, 0)


def test_the_unit_holds_for_systemd(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    folder = tmp_path / "a directory, 50%"
    text = unit.unit(
        CLI, ["pools", "watch", "--prices", str(folder / "my $prices.yml")], user="root", root=tmp_path,
        state=folder, folder=folder / "pools",
    )  # fmt: skip
    file = tmp_path / "dualtrack-pools.service"
    file.write_text(text)
    done = subprocess.run([program, "verify", file], capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if str(file) in line]) == (0, [])
    rated = subprocess.run([program, "security", "--offline=yes", file], capture_output=True, text=True, check=False)
    found = re.search(r"exposure level for .*: ([0-9.]+)", rated.stdout)
    assert found is not None, rated.stdout + rated.stderr
    assert float(found[1]) <= 2.5, rated.stdout


def test_words_reach_the_program_whole() -> None:
    assert unit.quoted("/srv/a b") == '"/srv/a b"'
    assert unit.quoted("50%$HOME") == "50%%$$HOME"
    assert unit.quoted("50%$HOME", command=False) == "50%%$HOME", "an environment and paths take $ as it is"
    assert unit.quoted('say "x"') == '"say \\"x\\""'
    with pytest.raises(BadInput, match="user"):
        unit.unit(CLI, [], user="a b", root=Path("/"), state=Path("/s"), folder=Path("/s/p"))


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    import os

    env = {**os.environ, "DUALTRACK_LAB_DIR": str(folder)}
    return subprocess.run([CLI, "pools", *words], env=env, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("watch", "--once", "--inventory", "/nonexistent.json"), 2, "cannot read /nonexistent.json"),
        (("watch", "--once"), 3, "is not up"),
        (("watch", "--once", "--ceiling", "much"), 2, "--ceiling"),
        (("unit", "--ceiling", "-1"), 2, "--ceiling"),
        (("unit", "--ceiling", "9", "--stack", "aws"), 2, "--inventory FILE"),
        (("unit", "--ceiling", "9", "--user", "a b"), 2, "user"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_line(tmp_path: Path, words: tuple[str, ...], code: int, said: str) -> None:
    done = run(tmp_path, *words)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_report_without_a_journal_says_so(tmp_path: Path) -> None:
    assert "no journal yet" in run(tmp_path, "report").stdout
    assert json.loads(run(tmp_path, "report", "--json").stdout)["events"] == []


def test_an_inventory_without_gpus_is_refused(tmp_path: Path) -> None:
    data = msgspec.to_builtins(OUTPUT)
    data["pools"] = {"control": data["pools"]["control"]}
    file = tmp_path / "inventory.json"
    for content in (json.dumps(data), "{", "[]"):
        file.write_text(content)
        with pytest.raises(DualtrackError):
            context.place("aws", inventory=file)


def test_what_is_on_disk_keeps_its_names() -> None:
    entry = Entry(at=1.0, kind="nodes", fallback={"ondemand": 1})
    state = State(at=1.0, pools={}, fallback={"spot": {"ondemand": 1}})
    assert json.loads(msgspec.json.encode(entry))["stand_in"] == {"ondemand": 1}
    assert json.loads(msgspec.json.encode(state))["raised"] == {"spot": {"ondemand": 1}}
