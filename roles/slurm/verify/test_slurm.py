"""The controllers answer, the books are kept, and the node takes jobs with its GPUs."""

from __future__ import annotations

import re
from typing import Any

import pytest

from dualtrack.verify.eventually import settled


def controls(hostvars: dict[str, Any]) -> bool:
    """Tell whether this host is one of the controllers."""
    return hostvars["inventory_hostname"] in [it["name"] for it in hostvars["slurm_controllers"]]


def only(right: Any, why: str) -> None:
    """Skip a check of something that this host does not promise."""
    if not right:
        pytest.skip(why)


def node(host: Any, name: str) -> dict[str, str]:
    """Return what Slurm says of a node."""
    done = settled(lambda: host.run("scontrol --oneliner show node %s", name), lambda it: it.rc == 0)
    assert done.rc == 0, f"Slurm does not know {name}: {(done.stdout + done.stderr).strip()}"
    return dict(word.partition("=")[::2] for word in done.stdout.split() if "=" in word)


def test_controllers(host: Any, hostvars: dict[str, Any]) -> None:
    """Every controller is up, the first one leads, and the second stands by."""
    only(controls(hostvars), "no controller")
    places = zip(("primary", "backup"), hostvars["slurm_controllers"], strict=False)
    wanted = [f"Slurmctld({place}) at {it['hostname']} is UP" for place, it in places]
    said = settled(lambda: host.run("scontrol ping").stdout, lambda text: all(line in text for line in wanted))
    for line in wanted:
        assert line in said, said


def test_accounting(host: Any, hostvars: dict[str, Any]) -> None:
    """The cluster is in the books, with the accounts and their shares."""
    only(hostvars["slurm_accounting"] and controls(hostvars), "no accounting here")
    ask, cluster = "sacctmgr -nP show associations cluster=%s format=account,user,share", hostvars["slurm_cluster"]
    done = settled(lambda: host.run(ask, cluster), lambda it: it.rc == 0)
    assert done.rc == 0, done.stderr
    rows = done.stdout.split("\n")
    assert "root|root|1" in rows, rows
    for account in hostvars["slurm_accounts"]:
        assert f"{account['name']}||{account.get('share', 1)}" in rows, rows
        users = {row.split("|")[1] for row in rows if row.startswith(f"{account['name']}|")} - {""}
        assert users == set(account.get("users", ())), f"in the account {account['name']} are {users}"
    levels = host.check_output("sacctmgr -nP show user format=user,adminlevel").split("\n")
    admins = {row.split("|")[0] for row in levels if row.endswith("|Administrator")}
    assert admins == {"root", *hostvars["slurm_administrators"]}, levels


def test_who_may_submit(host: Any, hostvars: dict[str, Any]) -> None:
    """Somebody who is in no account gets no job, where only members do."""
    only(hostvars["slurm_members_only"] and hostvars["slurm_accounting"] and controls(hostvars), "everybody may submit")
    done = host.run("runuser -u nobody -- sbatch --test-only --chdir=/tmp --wrap=true")
    assert done.rc != 0, "nobody submits jobs"
    assert "nvalid account" in done.stderr, done.stderr


def idle(host: Any, name: str) -> bool:
    """Tell whether a node is in service and runs nothing."""
    return node(host, name)["State"].split("+")[0] == "IDLE"


def test_partitions(host: Any, hostvars: dict[str, Any]) -> None:
    """There are the partitions that were asked for, and they take jobs."""
    only(controls(hostvars), "no controller")
    ask = "sinfo --noheader --Format=partitionname:40,available:10"
    said = settled(lambda: host.run(ask), lambda it: it.rc == 0)
    assert said.rc == 0, said.stderr
    states = {line.split()[0].rstrip("*"): line.split()[1] for line in said.stdout.split("\n") if line.split()}
    assert states == {it["name"]: "up" for it in hostvars["slurm_partitions"]}


def test_node(host: Any, hostvars: dict[str, Any]) -> None:
    """The node has registered itself, with its GPUs and features, and is in service (or drained, with a reason)."""
    only(hostvars["slurm_node"], "runs no jobs")
    name, out = hostvars["inventory_hostname"], "DOWN|NOT_RESPONDING|INVALID|UNKNOWN"
    found = settled(lambda: node(host, name), lambda it: not re.search(out, it["State"]))
    assert not re.search(out, found["State"]), f"{found['State']}: {found.get('Reason', 'no reason')}"
    assert "DRAIN" not in found["State"] or found.get("Reason"), "drained, and nobody says why"
    assert found["NodeAddr"] == hostvars["slurm_address"]
    if hostvars["slurm_gpus"]:
        assert found["Gres"].startswith(f"gpu:{hostvars['slurm_gpus']}"), found["Gres"]
    assert set(hostvars["slurm_features"]) <= set(found["ActiveFeatures"].split(","))


def test_a_job_gets_half_the_gpus(host: Any, hostvars: dict[str, Any]) -> None:
    """A job of half the node's GPUs runs here and sees that many."""
    only(hostvars["slurm_node"] and hostvars["slurm_gpus"] > 1, "no GPUs to share out")
    name, half = hostvars["inventory_hostname"], hostvars["slurm_gpus"] // 2
    only(idle(host, name), "the node has work, or is out of service")
    partitions = ",".join(
        it["name"] for it in hostvars["slurm_partitions"] if it["feature"] in hostvars["slurm_features"]
    )
    options = f"--immediate=60 --partition={partitions} --nodelist={name} --gres=gpu:{half}"
    line = f"cd / && timeout -k 5 120 srun {options} printenv CUDA_VISIBLE_DEVICES"
    done = host.run(f"sh -c '{line}'")
    # A queue that waits for nodes fills a new one at once.
    only(done.rc == 0 or idle(host, name), "the node got work meanwhile")
    assert done.rc == 0, done.stderr
    assert len(done.stdout.strip().split(",")) == half, done.stdout


def test_memory_budget(host: Any, hostvars: dict[str, Any]) -> None:
    """What cannot fit is refused with the sum: 70b in bf16 is 130 GiB, and one GPU here has 80."""
    only(hostvars["slurm_node"] and hostvars["slurm_memory_budget"] and hostvars["slurm_gpus"], "no budget here")
    ask = "python3 /usr/local/lib/dualtrack/memory_budget.py 'params=70b precision=%s' --memory 80"
    too_much, fits = host.run(ask.replace("%s", "bf16")), host.run(ask.replace("%s", "awq"))
    assert too_much.rc == 3, too_much.stdout
    assert "refused" in too_much.stdout
    assert "130.4 GiB" in too_much.stdout, too_much.stdout
    assert fits.rc == 0, fits.stdout
