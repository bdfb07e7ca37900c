"""The stack's variables: read as OpenTofu reads them, and planned pools written so that nobody loses anything."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dualtrack.cloud import variables
from dualtrack.cloud.prices.market import Market
from dualtrack.cloud.spot import actions, demand, stack, tfvars
from dualtrack.cloud.spot.model import Case, Demand, Limits, SpotPlan
from dualtrack.cloud.spot.planner import plan
from dualtrack.core import paths
from dualtrack.core.errors import BadInput, Exit, Refused
from tests.conftest import CLI, Cli

P4D, P4DE = "p4d.24xlarge", "p4de.24xlarge"
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
VARIABLES = """
variable "region" { default = "us-east-1" }
variable "network" { default = { subnets = { "us-east-1a" = "10.0.0.0/20", "us-east-1b" = "10.0.16.0/20" } } }
variable "time_zone" { default = { name = "Asia/Shanghai", utc_offset = "+08:00" } }
variable "image" { type = string }
variable "pools" {
  default = {
    spot = {
      lifecycle = "spot", roles = ["gpu"], instance_types = ["p4de.24xlarge"], desired = 2, max = 8, disk_gb = 500
      schedules = { night = { at = "22:30", desired = 4 }, day = { at = "08:00", desired = 2 } }
    }
    ondemand = { lifecycle = "on-demand", roles = ["gpu"], instance_types = ["p4d.24xlarge"], desired = 1, max = 2 }
    control = { lifecycle = "on-demand", roles = ["controller"], instance_types = ["m6i.large"], desired = 2, max = 2 }
  }
}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    where = tmp_path / "stack"
    where.mkdir()
    (where / "variables.tf").write_text(VARIABLES)
    return where


def made(*, low: int = 1, high: int = 3, spot: bool = True) -> SpotPlan:
    """Return a plan of ``low`` spot nodes by day and ``high`` by night, and one on demand."""
    levels = dict.fromkeys(("us-east-1a", "us-east-1b"), (9.0 if spot else 27.0,) * 24)
    market = Market(
        region="us-east-1",
        zones=tuple(levels),
        on_demand={P4DE: 27.0},
        spot={P4DE: levels},
        dates=("spot: 2026 (x)",),
        notes=(),
    )
    gpus = tuple(8 * (1 + (low if 8 <= hour < 22 else high)) for hour in range(24))
    return plan(
        Case(
            market=market,
            demand=Demand(gpus),
            limits=Limits(spot_max=8, on_demand_max=8, base=1),
            types=(P4DE,),
            gpus=8,
            on_demand_zones=tuple(levels),
        )
    )


def test_defaults_and_files_are_read_in_their_order(folder: Path) -> None:
    assert stack.read(folder).region == "us-east-1"
    (folder / "terraform.tfvars").write_text('region = "us-west-2"\n')
    (folder / "terraform.tfvars.json").write_text('{"region": "us-west-1"}')
    (folder / "b.auto.tfvars.json").write_text('{"region": "eu-west-1"}')
    assert stack.read(folder).region == "eu-west-1"
    (folder / "c.auto.tfvars").write_text('region = "eu-west-2" # the last by name wins\n')
    assert stack.read(folder).region == "eu-west-2"
    assert stack.read(folder).zones == ("us-east-1a", "us-east-1b")


def test_the_two_stacks_of_the_repository_are_understood() -> None:
    for name in ("emulator", "aws"):
        found = stack.read(variables.folder(name))
        assert {"spot", "ondemand"} <= set(found.pools)
        assert len(found.zones) == 3


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("x.auto.tfvars", "region = ", "cannot be read"),
        ("x.auto.tfvars.json", "{", "is not valid JSON"),
        ("x.auto.tfvars.json", "[]", "holds no variables"),
        ("x.auto.tfvars.json", '{"pools": 3}', "not as variables.tf declares them"),
        ("x.auto.tfvars.json", '{"network": {}}', "not as variables.tf declares them"),
    ],
)
def test_a_damaged_variable_file_is_named(folder: Path, file: str, text: str, said: str) -> None:
    (folder / file).write_text(text)
    with pytest.raises(BadInput, match=said) as caught:
        stack.read(folder)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_no_stack(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"there is no .*variables\.tf"):
        stack.read(tmp_path)


def test_demand_is_what_the_pools_ask_for(folder: Path) -> None:
    found = stack.read(folder)
    asked = tfvars.demand_of(found.pools, ("spot", "ondemand"), 8, 4)
    # In the hour in which the size changes (22:30) the larger one counts.
    assert asked.gpus == tuple(8 * (1 + (2 if 8 <= hour < 22 else 4)) for hour in range(24))


def test_everything_that_is_not_planned_stays(folder: Path) -> None:
    before = stack.read(folder).pools
    before["ondemand"]["min"] = 1
    before["spot"]["on_demand_base"] = 1
    after = tfvars.apply(before, made(), Limits(spot_max=6, on_demand_max=4), ("spot", "ondemand"), hour=23)
    assert after["control"] == before["control"]
    assert after["spot"] == {
        "lifecycle": "spot", "roles": ["gpu"], "instance_types": [P4DE], "desired": 3, "max": 6, "disk_gb": 500,
        "zones": ["us-east-1a", "us-east-1b"], "min": 0,
        "schedules": {"spot_0800": {"at": "08:00", "desired": 1}, "spot_2200": {"at": "22:00", "desired": 3}},
    }  # fmt: skip
    on_demand = after["ondemand"]
    assert (on_demand["min"], on_demand["desired"], on_demand["max"], on_demand["schedules"]) == (1, 1, 4, {})
    assert before["spot"]["schedules"]["night"]["desired"] == 4  # and nothing was changed in place


def test_a_plan_without_spot_keeps_the_pool_and_empties_it(folder: Path) -> None:
    after = tfvars.apply(
        stack.read(folder).pools, made(spot=False), Limits(spot_max=8, on_demand_max=8), ("spot", "ondemand"), hour=0
    )
    assert after["spot"]["instance_types"] == [P4DE]
    assert (after["spot"]["desired"], after["spot"]["schedules"]) == (0, {})
    assert after["ondemand"]["desired"] == 4


@pytest.mark.parametrize("hour", [0, 7, 8, 21, 22, 23])
def test_sizes_always_fit_the_modules_bounds(folder: Path, hour: int) -> None:
    for pool in tfvars.apply(
        stack.read(folder).pools, made(), Limits(spot_max=8, on_demand_max=8), ("spot", "ondemand"), hour
    ).values():
        for size in (pool["desired"], *(s["desired"] for s in pool.get("schedules", {}).values())):
            assert pool.get("min", 0) <= size <= pool["max"]


def test_a_minimum_that_the_plan_goes_below_is_lowered(folder: Path) -> None:
    before = stack.read(folder).pools
    before["spot"]["min"] = 2
    after = tfvars.apply(before, made(low=0), Limits(spot_max=8, on_demand_max=8), ("spot", "ondemand"), hour=0)
    assert after["spot"]["min"] == 0


def test_no_two_pools_have_a_schedule_of_one_name(folder: Path) -> None:
    """AWS would not mind; the emulator keeps only the last of them."""
    found = stack.read(folder).pools
    gpus = ",".join(f"{hour}-{hour + 1}={8 * (hour % 5)}" for hour in range(24))
    request = actions.Request(folder=folder, demand=gpus, spot_max=1, on_demand_max=8, max_age=10_000)
    after = actions.build_plan(request, NOW).pools
    names = [name for pool in found for name in after[pool].get("schedules", {})]
    assert len(names) > 10
    assert len(set(names)) == len(names)


def test_schedules_say_the_sizes_of_the_plan() -> None:
    sizes = [5, 5, 1, 1, 1, 0, *[2] * 17, 5]
    changes = demand.spans(sizes)
    assert changes == [(2, 1), (5, 0), (6, 2), (23, 5)]
    assert demand.spans([3] * 24) == [(0, 3)]


def test_a_pool_that_is_not_there_or_of_the_other_kind(folder: Path) -> None:
    found = stack.read(folder).pools
    with pytest.raises(BadInput, match=r"no pool 'nix'.*control, ondemand, spot"):
        tfvars.pair(found, "nix", "ondemand")
    with pytest.raises(BadInput, match="pool control has lifecycle 'on-demand', not 'spot'"):
        tfvars.pair(found, "control", "ondemand")


@pytest.mark.parametrize(
    ("types", "said"),
    [(("x1.nope",), "x1.nope is not known"), (("m6i.large",), "no GPUs"), ((P4D, "g5.xlarge"), "different numbers")],
)
def test_types_that_make_no_pool(types: tuple[str, ...], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        stack.node(types)


# --- writing ----------------------------------------------------------------------------------------------------------


def test_a_file_of_ours_is_replaced_and_nobody_elses_is(tmp_path: Path) -> None:
    target = tmp_path / stack.FILE
    first, second = tfvars.render({"a": {"max": 1}}, ["x"]), tfvars.render({"a": {"max": 2}}, ["x"])
    assert stack.write(target, first, force=False)
    assert not stack.write(target, first, force=False)
    assert stack.write(target, second, force=False)
    target.write_text(second.replace('"max": 2', '"max": 3'))
    with pytest.raises(Refused, match="was edited since"):
        stack.write(target, first, force=False)
    target.write_text('{"pools": {}}')
    with pytest.raises(Refused, match="was not written by"):
        stack.write(target, first, force=False)
    assert target.read_text() == '{"pools": {}}'
    assert stack.write(target, first, force=True)
    assert target.read_text() == first


def test_a_file_that_would_win_over_the_plan_is_said(tmp_path: Path) -> None:
    (tmp_path / "zz.auto.tfvars").write_text("pools = {}\n")
    with pytest.raises(Refused, match=r"zz\.auto\.tfvars sets pools, too"):
        stack.write(tmp_path / stack.FILE, tfvars.render({}, ["x"]), force=False)
    (tmp_path / "zz.auto.tfvars").write_text('region = "us-east-1"\n')
    assert stack.write(tmp_path / stack.FILE, tfvars.render({}, ["x"]), force=False)


def test_a_plan_does_not_feed_on_an_earlier_one(folder: Path) -> None:
    """What a plan wrote is not read back: a pool added to the stack later is in the next plan, and nothing creeps."""
    request = actions.Request(folder=folder, max_age=10_000, ceiling=100.0)
    first = actions.build_plan(request, NOW).variables
    stack.write(folder / stack.FILE, first, force=False)
    assert actions.build_plan(request, NOW).variables == first
    text = VARIABLES.replace("control =", 'later = { lifecycle = "spot" }\n    control =')
    (folder / "variables.tf").write_text(text)
    assert set(json.loads(actions.build_plan(request, NOW).variables)["pools"]) == {
        "spot",
        "ondemand",
        "control",
        "later",
    }


def test_a_plan_for_elsewhere_is_not_written(folder: Path) -> None:
    with pytest.raises(BadInput, match="the stack stands in us-east-1"):
        actions.fits(actions.Request(folder=folder, region="eu-central-1"))
    with pytest.raises(BadInput, match="no subnet in us-east-1f"):
        actions.fits(actions.Request(folder=folder, zones=("us-east-1f",)))


# --- the command ------------------------------------------------------------------------------------------------------


def prices(folder: Path, *, days_old: float = 1, night: float = 8.0, noon: float = 26.0) -> Path:
    """Write a price file of three days: expensive from 08:00 to 20:00 (Shanghai), cheap at night; no price is older."""
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=days_old)
    moments = [end - timedelta(hours=number) for number in range(72)]
    rows = [[at.isoformat(), noon if 8 <= (at.hour + 8) % 24 < 20 else night] for at in moments]
    taken = datetime.now(UTC).date().isoformat()
    document: dict[str, Any] = {
        "schema": "dualtrack.prices/1", "holds_hours": 1,
        "sources": {"mine": {"what": "a test", "taken": taken}},
        "prices": [
            {"type": P4DE, "where": ["us-east-1"], "source": "mine", "on_demand": 27.0},
            {"type": P4DE, "where": ["us-east-1a", "us-east-1b", "us-east-1c"], "source": "mine", "history": rows},
        ],
    }  # fmt: skip
    file = folder / "prices.json"
    file.write_text(json.dumps(document))
    return file


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "DUALTRACK_LAB_DIR": str(folder)}
    command = [CLI, "spot", "plan", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60, cwd=folder)


def test_cheap_hours_become_the_schedule(tmp_path: Path) -> None:
    words = ("--prices", str(prices(tmp_path)), "--type", P4DE, "--demand", "16", "--ceiling", "2000")
    done = run(tmp_path, *words, "--ondemand-max", "4", "--json", "--output", "pools.auto.tfvars.json")
    assert done.returncode == 0, done.stderr
    plan_ = json.loads(done.stdout)["plan"]
    assert [hour["hour"] for hour in plan_["hours"] if hour["spot"]] == [*range(8), *range(20, 24)]
    assert plan_["money"]["plan"] == 2 * 12 * 8.0 + 2 * 12 * 27.0
    written = json.loads((tmp_path / "pools.auto.tfvars.json").read_text())["pools"]
    assert written["spot"]["schedules"] == {
        "spot_0800": {"at": "08:00", "desired": 0}, "spot_2000": {"at": "20:00", "desired": 2},
    }  # fmt: skip
    assert written["ondemand"]["schedules"] == {
        "ondemand_0800": {"at": "08:00", "desired": 2}, "ondemand_2000": {"at": "20:00", "desired": 0},
    }  # fmt: skip


def test_a_shortage_is_a_finding_and_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    words = ("--prices", str(prices(tmp_path, night=26.0)), "--type", P4DE, "--demand", "8", "--ceiling", "100")
    done = run(tmp_path, *words, "--dry-run", "--output", "pools.auto.tfvars.json")
    assert done.returncode == Exit.FINDINGS
    assert "SHORT            by 8 GPUs at worst, 168 GPU hours in all" in done.stdout
    assert "+++ pools.auto.tfvars.json (planned)" in done.stderr
    assert not (tmp_path / "pools.auto.tfvars.json").exists()


def test_the_plain_plan_names_its_prices_date(tmp_path: Path) -> None:
    done = run(tmp_path, "--max-age", "100000")
    assert done.returncode == 0, done.stderr
    assert "2026 (catalogue)" in done.stdout
    assert "█" in done.stdout
    assert "different GPUs (A100-40G, A100-80G): jobs must fit each" in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--ceiling", "-5", "--max-age", "10000"), 2, "--ceiling -5"),
        (("--max-age", "1"), 2, "is of 2026"),
        (("--prices", "/nonexistent"), 2, "no price file"),
        (("--time-zone", "Mars/Base"), 2, "not a time zone"),
        (("--zone", "us-west-2a"), 2, "not in region us-east-1"),
        (("--demand", "lots"), 2, "'lots' is not understood"),
        (("--live",), 4, "dualtrack lab up"),
        (("--region", "eu-central-1"), 2, "zone us-east-1a is not in region eu-central-1"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, words: tuple[str, ...], code: int, said: str) -> None:
    done = run(tmp_path, *words)
    assert (done.returncode, done.stdout) == (code, "")
    header, error = done.stderr.splitlines()
    assert header == "stack: emulator (default)"
    assert said in error


def test_germany_gets_no_spot(tmp_path: Path) -> None:
    words = ("--region", "eu-central-1", "--zone", "eu-central-1a", "--zone", "eu-central-1b", "--type", P4DE)
    done = run(tmp_path, *words, "--demand", "4", "--max-age", "100000", "--json")
    found = json.loads(done.stdout)["plan"]
    assert {(hour["spot"], hour["on_demand"]) for hour in found["hours"]} == {(0, 1)}
    assert found["money"]["saving"] == 0
    assert all("34.29 against 34.29" in zone["why"] for zone in found["zones"])


def test_the_runbook(tmp_path: Path) -> None:
    said = Cli(tmp_path).runbook("plan-spot.md")
    assert "34.29 against 34.29 on demand" in said
    assert "+++ pools.auto.tfvars.json (planned)" in said


def test_the_repository_has_no_plan_of_its_own() -> None:
    """The stacks come without a planned file: what runs in the tests is what variables.tf says."""
    assert not list((paths.ROOT / "terraform/stacks").glob(f"*/{stack.FILE}"))
