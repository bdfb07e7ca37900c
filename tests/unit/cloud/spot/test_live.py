"""A plan from the lab's own AWS API: prices by the hour and placement scores as its scenario says, over the wire."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from dualtrack.cloud import opentofu, variables
from dualtrack.cloud.spot import actions, stack
from dualtrack.core import aws
from dualtrack.core.errors import BadInput
from dualtrack.lab.fault_injection.scenario import FILE
from tests.support.child import read_until

P4DE = "p4de.24xlarge"
ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")

#: The emulator's process in small: moto's server with the lab's conditions laid over it.
SERVER = """
import sys
from pathlib import Path
from moto.server import ThreadedMotoServer
from dualtrack.lab import fault_injection

fault_injection.install(Path(sys.argv[1]))
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


class Lab:
    """The API of a lab whose scenario the test writes."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.url = folder, f"http://127.0.0.1:{port}"

    def scenario(self, prices: list[dict[str, Any]], **more: Any) -> None:
        (self.folder / FILE).write_text(json.dumps({"source": "made for a test", "prices": prices, **more}))

    def plan(self, now: datetime, **more: Any) -> actions.Planned:
        request = {
            "folder": variables.folder("emulator"),
            "types": (P4DE,),
            "max_age": 10_000.0,
            "demand": "16",
            **more,
        }
        return actions.build_plan(
            actions.Request(**request), now, lambda service, region: aws.client(service, region, self.url, attempts=1)
        )


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield Lab(folder, int(read_until(process, process.stdout)))
    finally:
        process.communicate(timeout=60)


def curve(now: datetime, zone: str, days: int, night: float, noon: float) -> list[dict[str, Any]]:
    """Return changes at 20:00 and 08:00 in Shanghai (12:00 and 00:00 UTC), which is all that AWS returns of a price."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    moments = [midnight - timedelta(days=days) + timedelta(hours=12 * number) for number in range(2 * days)]
    return [
        {"instance_type": P4DE, "zone": zone, "at": at.isoformat(), "usd": night if at.hour == 12 else noon}
        for at in moments
    ]


def test_hours_and_zones_follow_the_live_prices(lab: Lab) -> None:
    now = datetime.now(UTC)
    prices = [
        *curve(now, ZONES[0], 35, night=9.0, noon=26.9),
        *curve(now, ZONES[1], 35, night=8.0, noon=26.9),
        *curve(now, ZONES[2], 35, night=26.9, noon=26.9),
    ]
    lab.scenario(prices, scores=[{"zone": ZONES[0], "score": 9}, {"zone": ZONES[1], "score": 2}])
    made = lab.plan(now).plan
    assert [hour.hour for hour in made.hours if hour.spot] == [*range(8), *range(20, 24)]
    assert made.spot_zones == (ZONES[0], ZONES[1])  # the score before the price; the third is never cheap
    assert "placement score 9 of 10" in made.zones[0].why
    assert {share.spot_usd for hour in made.hours for share in hour.zones if share.spot} == {9.0, 8.0}
    assert made.money.spot == pytest.approx(12 * (9.0 + 8.0))
    assert any("spot, 3 histories" in line for line in made.prices)


def test_without_scores_the_plan_goes_on_and_says_so(lab: Lab) -> None:
    now = datetime.now(UTC)
    lab.scenario(curve(now, ZONES[0], 3, night=9.0, noon=9.0))
    made = lab.plan(now).plan
    assert made.spot_sizes == (2,) * 24
    assert any("no placement scores (UnsupportedOperation)" in note for note in made.notes)
    assert "none of the types is offered there" in made.zones[1].why


def test_the_clocks_change_within_the_window(lab: Lab) -> None:
    """Low from 02:00 to 05:00 in Berlin, before and after the clocks went back: the plan has those hours, no others."""
    berlin, now = ZoneInfo("Europe/Berlin"), datetime(2026, 11, 5, tzinfo=UTC)
    first = date(2026, 10, 6)  # the clocks go back on the 25th
    changes = [
        {"instance_type": P4DE, "zone": ZONES[0], "usd": usd, "at": at.astimezone(UTC).isoformat()}
        for number in range(29)
        for hour, usd in ((2, 9.0), (5, 26.9))
        for at in [datetime.combine(first + timedelta(days=number), time(hour), berlin)]
    ]
    lab.scenario(changes)
    made = lab.plan(now, time_zone="Europe/Berlin", days=29).plan
    assert [hour.hour for hour in made.hours if hour.spot] == [2, 3, 4]


def test_prices_of_2006_are_no_basis(lab: Lab) -> None:
    """Without a scenario the emulated AWS answers 0.00001 of 2006 for all."""
    (lab.folder / FILE).unlink(missing_ok=True)
    with pytest.raises(BadInput, match="newest spot price is of 2006-01-02: older than 60 days"):
        # A day on which what the price file says on demand is still new.
        lab.plan(datetime(2026, 11, 1, tzinfo=UTC), max_age=None, types=("p4d.24xlarge",))


def test_the_program_takes_the_file_that_is_written(tmp_path: Path) -> None:
    """The stack's own types accept the planned pools, and the comment in the file is one to OpenTofu."""
    program = opentofu.find()
    if program is None:
        pytest.skip("no tofu or terraform here: make setup builds one")
    folder = variables.folder("emulator")
    made = actions.build_plan(actions.Request(folder=folder, max_age=10_000), datetime.now(UTC))
    for name in ("variables.tf", "lab.auto.tfvars"):
        shutil.copyfile(folder / name, tmp_path / name)
    (tmp_path / "outputs.tf").write_text('output "pools" {\n  value = var.pools\n}\n')
    (tmp_path / stack.FILE).write_text(made.variables)
    env = {"TF_CLI_CONFIG_FILE": "/dev/null", "CHECKPOINT_DISABLE": "1", "PATH": "/usr/bin:/bin"}
    words = ("apply", "-auto-approve", "-json", "-input=false", "-var=ssh_public_key=ssh-ed25519 AAAA x")
    done = subprocess.run(
        [program.path, *words], cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=60
    )
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["@message"] for event in events if event["@level"] != "info"] == []
    outputs = [event["outputs"]["pools"] for event in events if event["type"] == "outputs"]
    taken = next(output["value"] for output in outputs if "value" in output)
    for name in ("spot", "ondemand"):
        for field in ("instance_types", "min", "desired", "max"):
            assert taken[name][field] == made.pools[name][field]
        sizes = {at: entry["desired"] for at, entry in taken[name]["schedules"].items()}
        assert sizes == {at: entry["desired"] for at, entry in made.pools[name]["schedules"].items()}
    assert taken["spot"]["zones"] == list(made.plan.spot_zones)
