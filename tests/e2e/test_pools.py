"""The cloud track's scheduler and pools: what an operator of GPU jobs lives through, on the lab.

The tests of this file are one story: each begins with the track up and verified.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Cli, api_of, wait
from tests.e2e.conftest import continues

UP_S = 1200
COUNT = "echo $SLURMD_NODENAME; echo $CUDA_VISIBLE_DEVICES; {work}; echo done"
#: Promises to handle a signal, and does not (yet): as a job that has just begun.
UNREADY = "checkpoint: USR1"
#: What a job does until the test has seen what it wants to see, however long that takes on a busy machine.
HELD = "until test -e /srv/shared/jobs/{gate}; do sleep 1; done"


class Site:
    """A cloud track that is up, and its Slurm."""

    def __init__(self, cli: Cli) -> None:
        self.cli = cli
        self.controllers = self.names("control")
        state = json.loads((cli.state / "tofu/emulator/terraform.tfstate").read_text())
        self.stack: dict[str, Any] = state["outputs"]["inventory"]["value"]

    def again(self) -> None:
        """Bring the track up again, with all nodes in service: after a step that failed."""
        self.cli("cloud", "up", timeout=UP_S)
        self.controllers = self.names("control")

    def rows(self) -> list[dict[str, Any]]:
        return list(self.cli.json("status")["hosts"])

    def names(self, pool: str) -> list[str]:
        return sorted(row["name"] for row in self.rows() if row["pool"] == pool and row["state"] == "up")

    def records(self) -> set[str]:
        """Return the instances that users are sent to."""
        zone = self.stack["traffic"]
        api = api_of(self.cli, "route53")
        found = api.list_resource_record_sets(HostedZoneId=zone["zone_id"])["ResourceRecordSets"]
        return {it["SetIdentifier"] for it in found if it["Name"].rstrip(".") == zone["name"]}

    def instance(self, name: str) -> str:
        return next(str(row["instance_id"]) for row in self.rows() if row["name"] == name)

    def run(self, host: str, *command: str, check: bool = True) -> str:
        return self.cli.inside(host, "timeout", "-k", "5", "60", *command, check=check).stdout.strip()

    def slurm(self, *command: str, check: bool = True) -> str:
        """Run a command on the controller that leads, or the one that took over."""
        for host in self.controllers:
            if "UP" in self.run(host, "scontrol", "ping", check=False):
                return self.run(host, *command, check=check)
        return pytest.fail("no controller answers")

    def submit(self, *options: str, seconds: int = 1, gate: str = "") -> str:
        """Put a job into the queue, its output where every host sees it; return its id. A gate holds it."""
        words = ("sbatch", "--parsable", "--chdir=/srv/shared/jobs", "--output=%j.out", *options)
        return self.slurm(*words, "--wrap", COUNT.format(work=HELD.format(gate=gate) if gate else f"sleep {seconds}"))

    def open(self, gate: str) -> None:
        """Let the jobs continue that wait for a gate."""
        self.run(self.controllers[0], "touch", f"/srv/shared/jobs/{gate}")

    def state(self, job: str) -> str:
        return self.slurm("sh", "-c", f"scontrol -o show job {job} | grep -o 'JobState=[A-Z]*' | cut -d= -f2")

    def ends(self, job: str, state: str = "COMPLETED", seconds: float = 150) -> list[str]:
        """Wait until a job has ended as it should, and return its output's lines."""
        wait(lambda: self.state(job) not in ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING"), seconds, f"job {job}")
        assert self.state(job) == state, self.slurm("scontrol", "show", "job", job)
        return self.slurm("cat", f"/srv/shared/jobs/{job}.out").splitlines()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The cloud track alone, on a lab of its own; taken down whatever happens."""
    cli = Cli(tmp_path_factory.mktemp("pools"))
    settings = cli.folder / "traffic.json"
    settings.write_text(json.dumps({"traffic": {"zone": "dualtrack.test"}, "serving": None}))
    cli.env["DUALTRACK_VARIABLES"] = str(settings)
    try:
        cli("setup", timeout=900)  # as `make cloud-up` does
        cli("cloud", "up", timeout=UP_S)
        found = Site(cli)
        found.run(found.controllers[0], "install", "-d", "-m", "1777", "/srv/shared/jobs")
        yield found
    finally:
        cli("lab", "down")


@pytest.fixture(autouse=True)
def track_up(request: pytest.FixtureRequest, site: Site) -> Iterator[None]:
    yield from continues(request, (), site.again)


def test_users_are_sent_to_the_gpu_nodes(site: Site) -> None:
    nodes = {site.instance(name) for pool in ("spot", "ondemand") for name in site.names(pool)}
    wait(lambda: site.records() == nodes, 30, "the records")


def test_money_is_counted(site: Site) -> None:
    site.cli.runbook("read-the-cost-report.md")
    report = site.cli.json("cost", "report")
    nodes = {row["name"]: row["quantity"] for row in report["rows"] if row["unit"] == "nodes"}
    assert nodes == {pool: len(site.names(pool)) for pool in ("spot", "ondemand", "control")}
    assert report["unpriced"] == report["findings"] == []


def test_two_jobs_share_a_node(site: Site) -> None:
    node = site.names("spot")[0]
    jobs = [site.submit(f"--nodelist={node}", "--gres=gpu:4", gate="both-seen") for _ in range(2)]
    wait(lambda: [site.state(job) for job in jobs] == ["RUNNING", "RUNNING"], 60, "both at once")
    site.open("both-seen")
    outputs = [site.ends(job) for job in jobs]
    assert {out[0] for out in outputs} == {node}
    assert sorted(out[1] for out in outputs) == ["0,1,2,3", "4,5,6,7"]


def test_jobs_do_not_reach_the_keys_of_their_node(site: Site) -> None:
    """The metadata service hands out the instance's role: to the services that need it, and to no job."""
    node = site.names("spot")[0]
    ask = "curl --silent --output /dev/null --max-time 5 http://169.254.169.254/latest/api/token"
    words = ("--parsable", f"--nodelist={node}", "--chdir=/srv/shared/jobs", "--output=%j.out")
    somebody = ("runuser", "-u", "admin", "--", "sbatch", *words)
    job = site.slurm(*somebody, "--wrap", f"id -un; {ask}; echo $?")
    assert site.ends(job) == ["admin", "7"], "curl was not refused at once"
    for user in ("root", "models", "slurm"):
        site.run(node, "runuser", "-u", user, "--", *ask.split())


def test_job_over_its_memory_is_refused_with_the_arithmetic(site: Site) -> None:
    job = site.submit("--gres=gpu:1", "--comment=memory: params=70b precision=bf16")
    said = "\n".join(site.ends(job, "FAILED"))
    assert "130.4 GiB" in said
    assert "refused" in said
    assert "done" not in said
    fits = site.submit("--gres=gpu:1", "--comment=memory: params=70b precision=awq")
    assert site.ends(fits)[-1] == "done"


@pytest.mark.parametrize("fault", [("--ecc", "3"), ("--xid", "79")])
def test_sick_gpu_drains_the_node_and_the_job_runs_elsewhere(site: Site, fault: tuple[str, str]) -> None:
    sick, well = site.names("spot")[:2]
    site.cli("lab", "gpu", sick, "--gpu", "2", *fault)
    site.slurm("scontrol", "update", f"nodename={well}", "state=drain", "reason=so that the sick one is chosen")
    job = site.submit("--partition=spot", "--gres=gpu:4")
    reason = wait(lambda: site.slurm("sinfo", "-h", "-n", sick, "-O", "reason:100"), 60, "the drain")
    assert wait(lambda: "gpu_health" in site.slurm("sinfo", "-h", "-n", sick, "-O", "reason:100"), 60), reason
    site.slurm("scontrol", "update", f"nodename={well}", "state=resume")
    wait(lambda: site.instance(sick) not in site.records(), 60, "the sick node out of the records")
    assert site.ends(job)[0] == well
    site.cli("lab", "gpu", sick, "--reset")
    site.run(sick, "python3", "/usr/local/lib/dualtrack/gpu_health.py", "accept")
    site.slurm("scontrol", "update", f"nodename={sick}", "state=resume")
    wait(lambda: site.slurm("sinfo", "-h", "-n", sick, "-O", "statelong:20").strip() == "idle", 90, "the repair")
    wait(lambda: site.instance(sick) in site.records(), 60, "the node back in the records")


def waited(site: Site, node: str) -> int:
    """Return for how many seconds (by its clock) a node's daemon has been waiting before its start; -1 if it is not."""
    ask = (
        'test "$(systemctl show slurmd -P SubState)" = start-pre'
        ' && ps -o etimes= -p "$(systemctl show slurmd -P ControlPID)"'
    )
    return int(site.run(node, "sh", "-c", ask, check=False) or -1)


def test_node_that_starts_before_the_first_controller_waits_for_it(site: Site) -> None:
    """As after a power cut: the second controller, which only stands by, would keep the node for three minutes."""
    first, node = site.controllers[0], site.names("spot")[0]
    site.run(first, "systemctl", "stop", "slurmctld")
    site.run(node, "systemctl", "restart", "--no-block", "slurmd")
    # Long enough to have asked the second controller, which it would do at once if it did not wait.
    wait(lambda: waited(site, node) >= 3, 60, "the node to wait for three seconds")
    assert site.run(node, "systemctl", "is-active", "slurmd", check=False) == "activating"
    site.run(first, "systemctl", "start", "slurmctld")
    assert site.ends(site.submit(f"--nodelist={node}"), seconds=60)[0] == node


def test_killed_controller_loses_nothing(site: Site) -> None:
    first, second = site.controllers
    running = site.submit("--gres=gpu:4", "--requeue", gate="taken-over")
    wait(lambda: site.state(running) == "RUNNING", 60)
    waiting = site.submit("--dependency=afterok:" + running)
    # slurmctld writes its queue down every five seconds: what is younger, a kill may lose.
    submitted = site.run(first, "date", "+%s.%N")
    place = site.run(first, "sh", "-c", "scontrol show config | sed -n 's/^StateSaveLocation *= //p'")
    saved = ("find", f"{place}/job_state", "-newermt", f"@{submitted}")
    wait(lambda: site.run(first, *saved, check=False), 60, "the queue to be written down")
    site.run(first, "systemctl", "kill", "--signal=KILL", "slurmctld")
    wait(lambda: "DOWN" in site.run(second, "scontrol", "ping", check=False), 30, "the loss")
    # The second one takes over and answers; what ran runs on, what waited still waits.
    wait(lambda: site.run(second, "squeue", "-h", "-j", running, "-o", "%T", check=False) == "RUNNING", 120)
    late = site.run(
        second, "sbatch", "--parsable", "--chdir=/srv/shared/jobs", "--output=%j.out", "--wrap", "echo done"
    )
    site.controllers = [second, first]
    site.open("taken-over")
    for job in (running, waiting, late):
        assert site.ends(job, seconds=150)[-1] == "done"
    assert "Restarts=0" in site.slurm("scontrol", "show", "job", running)
    site.run(first, "systemctl", "start", "slurmctld")
    wait(lambda: site.run(first, "scontrol", "ping", check=False).count("is UP") == 2, 60, "the return")
    site.controllers = [first, second]
    # Nothing was kept from the books while the one who keeps them led no more.
    wait(lambda: site.slurm("sacct", "-XnP", f"--jobs={running},{waiting},{late}", "--format=state").split()
         == ["COMPLETED"] * 3, 60, "the books")  # fmt: skip


def test_nodes_get_their_models(site: Site) -> None:
    site.cli.runbook("give-a-node-its-models.md")


def test_drift_is_found_and_mended(site: Site) -> None:
    site.cli.runbook("find-drift.md")


def test_upgrade(site: Site) -> None:
    site.cli.runbook("upgrade-slurm.md")


def test_node_is_taken_back(site: Site) -> None:
    site.cli.runbook("reclaim-a-node.md")


def test_nodes_that_go_at_once_lose_no_job_and_a_pool_comes_and_goes(site: Site) -> None:
    """Five seconds of notice, given twice, and no notice at all. The jobs die of the signal that they ask for.

    Their successors are configured by the run that brings the new pool.
    """
    short, silent = site.names("spot")[:2]
    gone = {site.instance(short), site.instance(silent)}
    options = ("--requeue", "--open-mode=append", "--gres=gpu:4", "--partition=spot,ondemand", f"--comment={UNREADY}")
    jobs = [site.submit(*options, gate="they-go") for _ in range(5)]
    wait(lambda: {short, silent} <= set(site.slurm("squeue", "-h", "-t", "R", "-o", "%N").split()), 60, "both at work")
    for _ in range(2):
        site.cli("lab", "reclaim", short, "--notice", "5")
    site.cli("lab", "reclaim", silent, "--notice", "0")
    wait(lambda: gone.isdisjoint(row["instance_id"] for row in site.rows()), 60, "their end")
    site.open("they-go")
    outputs = [site.ends(job, seconds=240) for job in jobs]
    assert [output.count("done") for output in outputs] == [1] * 5
    assert any(output[0] in (short, silent) for output in outputs), "no job was on the nodes that went"
    # The group has filled up again, and what went has left nothing behind in the account.
    wait(lambda: len([row for row in site.rows() if row["pool"] == "spot"]) == 2, 60, "the replacements")
    site.cli.runbook("add-a-pool.md")
    assert len(site.names("spot")) == 2
    assert {row["name"] for row in site.rows()}.isdisjoint({short, silent})
    wait(lambda: site.records().isdisjoint(gone), 30, "the records to go")
    assert {row["pool"] for row in site.rows()} == {"spot", "ondemand", "control"}


def test_drill(site: Site) -> None:
    """Spot is reclaimed and stays away; twenty jobs end once each, with the right result."""
    report = json.loads(site.cli("drill", "spot", "--short", "--json", timeout=1800).stdout)
    assert (report["verdict"], report["gave_up"]) == ("right", ""), report
    assert report["jobs"]["right"] == report["jobs"]["jobs"] == 20, report
    assert report["jobs"]["twice"] == []
    assert len(report["reclaimed"]) == 2
    assert any(it["kind"] == "raise" for it in report["timeline"]), report["timeline"]
