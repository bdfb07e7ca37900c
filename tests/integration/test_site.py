"""The site playbook and its verification on a live host: green, red when something breaks, repaired by the next run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dualtrack.core.paths import ROOT
from tests.conftest import Cli

HOST = "site-1"
RUN = """
import sys
from pathlib import Path
import msgspec
from dualtrack.tracks.ansible_runner import ConfigureFailed, configure
playbook, *inventories = map(Path, sys.argv[1:])
try:
    result = configure(inventories, playbook=playbook)
except ConfigureFailed as error:
    print(error, file=sys.stderr)
    sys.exit(error.code)
print(msgspec.json.encode(result).decode())
"""


class Site:
    """One lab host in an inventory of its own."""

    def __init__(self, lab: Cli, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        self.facts: dict[str, Any] = {}

    @property
    def sources(self) -> list[Path]:
        """The inventories, as the command line gives them to Ansible."""
        return [ROOT / "inventories/common", ROOT / "inventories/lab", self.folder]

    def write(self, **more: Any) -> None:
        """Write the host, with ``more`` variables."""
        groups = ("track_local", "role_gpu", "lab")
        document = {
            "all": {"hosts": {HOST: {**self.facts, **more}}, "children": {g: {"hosts": {HOST: {}}} for g in groups}}
        }
        (self.folder / "hosts.json").write_text(json.dumps(document))

    def configure(self, playbook: str = "site", *, fails: bool = False) -> Any:
        """Run a playbook; return the changes of the host, or the line that it failed with."""
        path = ROOT / "ansible" / f"{playbook}.yml"
        words = [sys.executable, "-c", RUN, str(path), *map(str, self.sources)]
        done = subprocess.run(words, env=self.lab.env, capture_output=True, text=True, check=False)
        assert (done.returncode != 0) is fails, done.stdout + done.stderr + self.lab.logs()
        return done.stderr.strip() if fails else json.loads(done.stdout)["changed"][HOST]

    def verify(self, *roles: str) -> tuple[int, dict[str, Any]]:
        """Verify (``roles`` only, when given), and return the exit code and the document."""
        words = [word for path in self.sources for word in ("-i", str(path))]
        words += [f"--role={role}" for role in roles]
        done = self.lab("verify", *words, "--json", check=False)
        assert done.returncode in (0, 1), done.stderr
        return done.returncode, json.loads(done.stdout)

    def broken(self, *roles: str) -> str:
        """Verify, expect it to be red, and return what it found, as one text."""
        code, report = self.verify(*roles)
        assert code == 1
        assert not report["ok"]
        host = report["hosts"][0]
        return "; ".join([host["reason"], *(f"{f['check']}: {f['assertion']}" for f in host["failures"])])

    def inside(self, *words: str) -> str:
        """Run a command as root inside the host."""
        return self.lab("lab", "exec", HOST, "--", *words).stdout


@pytest.fixture(scope="module")
def site(lab: Cli, tmp_path_factory: pytest.TempPathFactory) -> Site:
    host = lab.json("lab", "host", "add", HOST, "--gpus", "8")["host"]
    made = Site(lab, tmp_path_factory.mktemp("inventory"))
    made.facts = {
        "ansible_host": host["address"], "ansible_user": host["user"], "dualtrack_track": "local",
        "ansible_ssh_common_args": f"-F {host['ssh_config']}", "dualtrack_pool": "sovereign",
        "dualtrack_lifecycle": "owned", "dualtrack_roles": ["gpu"], "dualtrack_gpus": 8, "dualtrack_zone": "",
        "dualtrack_instance_id": "",
    }  # fmt: skip
    made.write()
    return made


def test_first_run_changes_second_does_not_and_all_is_green(site: Site) -> None:
    assert site.configure() > 0
    assert site.configure() == 0
    code, report = site.verify()
    assert code == 0, report
    assert report["hosts"][0]["roles"] == ["base", "access", "tcp_bbr", "gpu_driver", "gpu_runtime", "model_store"]
    assert report["passed"] > 15
    recorded = json.loads((site.lab.state / "verified.json").read_text())
    assert recorded[HOST]["ok"] is True


def test_what_has_drifted_is_red_and_mended_by_the_next_run(site: Site) -> None:
    site.inside("sysctl", "-w", "net.ipv4.tcp_congestion_control=reno")
    site.inside("systemctl", "stop", "chrony")
    site.inside("sh", "-c", "echo '{}' > /etc/docker/daemon.json")
    found = site.broken()
    assert "the kernel uses reno" in found
    assert "a new connection use reno and reno" in found
    assert "chronyd runs" in found
    assert "docker's configuration" in found
    assert json.loads((site.lab.state / "verified.json").read_text())[HOST]["ok"] is False
    assert site.configure() > 0
    assert site.verify()[0] == 0


def test_bbr_switched_off_on_purpose_is_green(site: Site) -> None:
    site.write(tcp_bbr_enabled=False)
    assert site.configure("playbooks/network") > 0
    assert site.verify("tcp_bbr")[0] == 0
    site.write()
    assert "the kernel uses reno" in site.broken("tcp_bbr")
    assert site.configure("playbooks/network") > 0


def test_a_password_login_that_crept_in_is_red(site: Site) -> None:
    site.inside(
        "sh", "-c", "echo PasswordAuthentication yes > /etc/ssh/sshd_config.d/01-crept-in.conf; systemctl reload ssh"
    )
    assert "offers a password login" in site.broken("base")
    site.inside("sh", "-c", "rm /etc/ssh/sshd_config.d/01-crept-in.conf; systemctl reload ssh")


def test_a_lost_gpu_is_red_and_the_role_says_what_to_do(site: Site) -> None:
    site.lab("lab", "gpu", HOST, "--gpu", "3", "--xid", "79")
    assert "GPU is lost" in site.broken("gpu_runtime")
    assert "fell off the bus" in site.configure("playbooks/gpu", fails=True)
    site.lab("lab", "gpu", HOST, "--reset")
    assert site.verify("gpu_runtime")[0] == 0


def test_an_nvml_mismatch_asks_for_a_reboot(site: Site) -> None:
    path = "/etc/dualtrack-lab/gpu.json"
    site.inside("sed", "-i", 's/"failure": ""/"failure": "nvml-mismatch"/', path)
    line = site.configure("playbooks/gpu", fails=True)
    assert "reboot this host" in line
    assert "\n" not in line
    site.lab("lab", "gpu", HOST, "--reset")


def test_the_old_name_of_the_toolkit_is_understood_with_a_warning(site: Site) -> None:
    site.write(gpu_runtime_packages=["nvidia-docker2"])
    try:
        assert site.configure("playbooks/gpu") == 0
        assert "nvidia-docker2 is an old name" in (site.lab.state / "logs/configure.log").read_text()
    finally:
        site.write()


@pytest.mark.parametrize(
    ("playbook", "settings", "words"),
    [
        ("base", {"base_ssh_allow_users": ["somebody"]}, "would lock out 'ops'"),
        ("base", {"base_users": [{"name": "ops"}]}, "without a key or without sudo"),
        ("base", {"base_ssh_max_auth_tries": "many"}, "many"),
        ("gpu", {"gpu_runtime_repository_url": ""}, "give the http(s) address"),
        ("gpu", {"gpu_runtime_driver_minimum": "999"}, "upgrade the driver and reboot"),
        ("gpu", {"dualtrack_gpus": 4}, "8 GPUs answer, and gpu_runtime_gpus says 4"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(
    site: Site, playbook: str, settings: dict[str, Any], words: str
) -> None:
    site.write(**settings)
    try:
        line = site.configure(f"playbooks/{playbook}", fails=True)
        assert words in line
        assert HOST in line
        assert "\n" not in line
    finally:
        site.write()


def test_accounts_come_with_keys_and_go(site: Site) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFakeKeyForATestOnlyNotUsedAnywhere0000000 lin"
    site.write(base_users=[{"name": "lin", "ssh_keys": [key], "sudo": True}])
    assert site.configure("playbooks/base") > 0
    assert site.configure("playbooks/base") == 0
    assert site.verify("base")[0] == 0
    site.write(base_users=[{"name": "lin", "state": "absent"}])
    assert "was to be removed" in site.broken("base")
    assert site.configure("playbooks/base") > 0
    assert site.verify("base")[0] == 0
    site.write()


def test_a_host_that_is_gone_is_red(site: Site) -> None:
    site.lab("lab", "host", "remove", HOST)
    code, report = site.verify()
    assert code == 1
    assert report["hosts"][0]["state"] == "unreachable"
    assert "cannot be reached" in site.configure("playbooks/base", fails=True)
