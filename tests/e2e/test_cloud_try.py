"""`dualtrack cloud try` as on a first day with an account: to its end, interrupted, and killed. Nothing is ever left.

A server of the lab's own keeps the lab, and with it the emulated account, after the trial's end.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dualtrack.cloud import leftovers
from dualtrack.tracks import trial
from tests.conftest import CLI, Cli, api_of, wait

REGION = "us-east-1"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    cli = Cli(tmp_path_factory.mktemp("try"))
    try:
        cli("setup", timeout=900)
        cli("lab", "up")
        cli("lab", "host", "add", "keeper")
        yield cli
    finally:
        cli("lab", "down")


def left(site: Cli) -> list[str]:
    """Ask the account without the trial's own code, beside what that finds."""
    ec2 = api_of(site, "ec2")
    states = [it["State"]["Name"] for found in ec2.describe_instances()["Reservations"] for it in found["Instances"]]
    groups = api_of(site, "autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    names = [it["Name"] for it in api_of(site, "s3").list_buckets()["Buckets"]]
    found = [it for it in states if it != "terminated"] + [it["AutoScalingGroupName"] for it in groups]
    endpoint = site.json("lab", "status")["aws_endpoint"]
    return [*found, *(it for it in names if "try" in it), *leftovers.find(f"{trial.PREFIX}-*", REGION, endpoint)]


@contextmanager
def begun(site: Cli) -> Iterator[subprocess.Popen[str]]:
    """A trial whose instances are being made."""
    process = subprocess.Popen(
        [CLI, "cloud", "try", "--yes"], env=site.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        process_group=0,
    )  # fmt: skip
    try:
        scaling = api_of(site, "autoscaling")
        wait(lambda: process.poll() is None and scaling.describe_auto_scaling_groups()["AutoScalingGroups"], 120, "it")
        yield process
    finally:
        process.kill()
        process.communicate()


def test_every_step_is_proven_and_nothing_is_left(site: Cli, tmp_path: Path) -> None:
    said = site.json("cloud", "try", "--yes", "--report", str(tmp_path / "report.md"))
    report = said["report"]
    assert [(it["what"], it["error"]) for it in report["steps"] if not it["ok"]] == []
    assert (said["applied"], len(report["steps"]), report["left"], left(site)) == (True, 7, [], [])
    assert 0 < report["most_usd"] < 1
    assert (tmp_path / "report.md").read_text().count("| yes |") == 7
    assert not (site.state / "try").exists()


def test_interrupted_it_is_taken_down(site: Cli) -> None:
    with begun(site) as process:
        # AWS would end the instances, also if this machine had gone.
        scaling = api_of(site, "autoscaling")
        wait(lambda: scaling.describe_scheduled_actions()["ScheduledUpdateGroupActions"], 60, "the schedule")
        [end] = scaling.describe_scheduled_actions()["ScheduledUpdateGroupActions"]
        now = datetime.now(UTC)
        moments = {f"{it.minute} {it.hour} * * *" for it in (now + timedelta(minutes=n) for n in range(40, 61))}
        assert (end["DesiredCapacity"], end["MinSize"], end["Recurrence"] in moments) == (0, 0, True)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=300)[0]
    assert process.returncode == 130, said
    assert (left(site), (site.state / "try").exists()) == ([], False), said


def test_killed_it_is_refused_until_it_is_ended(site: Cli) -> None:
    with begun(site) as process:
        process.kill()
    assert left(site)
    refused = site("cloud", "try", "--yes", check=False)
    assert (refused.returncode, "cloud try --end takes it down" in refused.stderr) == (5, True)

    def ended() -> Any:  # what the killed one had started ends first
        done = site("cloud", "try", "--end", "--yes", check=False)
        return "another run is at work" not in done.stderr and done

    done = wait(ended, 60, "the end of OpenTofu")
    assert (done.returncode, left(site), (site.state / "try").exists()) == (0, [], False), done.stderr
    assert "no trial was started on this machine" in site("cloud", "try", "--end", "--yes").stderr


def test_what_is_not_the_trials_stays_and_what_another_machine_left_is_told(site: Cli) -> None:
    """A bucket of somebody who has chosen such a name, and a network that a trial of another machine has left."""
    s3, ec2 = api_of(site, "s3"), api_of(site, "ec2")
    s3.create_bucket(Bucket="dualtrack-try-archive")
    s3.put_object(Bucket="dualtrack-try-archive", Key="kept", Body=b"kept")
    tags = [{"Key": "dualtrack:deployment", "Value": "dualtrack-try-0a0a0a"}]
    network = ec2.create_vpc(
        CidrBlock="10.99.0.0/16", TagSpecifications=[{"ResourceType": "vpc", "Tags": tags}]
    )["Vpc"]["VpcId"]  # fmt: skip
    shown = site("cloud", "try", "--dry-run").stdout
    assert f"there already, of a trial that nobody ended: vpc {network}" in shown
    done = site("cloud", "try", "--end", "--yes", check=False)
    assert (done.returncode, f"vpc {network}" in done.stderr) == (1, True)
    with begun(site) as process:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=300)
    assert not (site.state / "try").exists()
    assert s3.get_object(Bucket="dualtrack-try-archive", Key="kept")["Body"].read() == b"kept"
    assert ec2.describe_vpcs(VpcIds=[network])["Vpcs"]
