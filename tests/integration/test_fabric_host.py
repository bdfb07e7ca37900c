"""`dualtrack fabric --host` over ssh, and what the role infiniband refuses before it touches a host."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dualtrack.core.errors import Exit
from dualtrack.hosts.fabric import collect
from dualtrack.lab.state import Store
from dualtrack.tracks.ansible_runner import ConfigureFailed, configure
from tests.conftest import CLI, ROOT, Cli
from tests.support.fabric_testbed import FIXTURES

#: Stands for a host on a fabric: the tools print what was recorded. `smpquery` says that LIDs 4 and 8 have managers.
TOOL = """#!/bin/sh
case "${0##*/} $*" in
ibnetdiscover*) cat /root/fabric/ibnetdiscover.txt ;;
iblinkinfo*) cat /root/fabric/iblinkinfo.txt ;;
ibqueryerrors*) cat /root/fabric/ibqueryerrors.txt; exit 1 ;;
"sminfo ") head -n 1 /root/fabric/sminfo.txt ;;
sminfo*) grep "sm lid $1 " /root/fabric/sminfo.txt ;;
"smpquery -t 300 portinfo "[48]" "*) echo "CapMask:.........................0x2651e84a" ;;
smpquery*) echo "CapMask:.........................0x2651e848" ;;
esac
"""
TOOLS = ("ibnetdiscover", "iblinkinfo", "ibqueryerrors", "sminfo", "smpquery")


@pytest.fixture(scope="module")
def inventory(lab: Cli) -> Path:
    """An inventory with one lab host, called node1."""
    host = lab.json("lab", "host", "add", "node1")["host"]
    store = Store(lab.folder)
    proxy = f"-o ProxyCommand='{store.proxy_command()}' -o UserKnownHostsFile={store.known_hosts.file}"
    facts = {
        "ansible_host": host["address"],
        "ansible_user": host["user"],
        "ansible_ssh_private_key_file": str(store.key),
        "ansible_ssh_common_args": f"{proxy} -o HostKeyAlias=node1",
    }
    path = lab.folder / "hosts.json"
    path.write_text(json.dumps({"all": {"hosts": {"node1": facts}}}))
    return path


def check(lab: Cli, inventory: Path, host: str = "node1") -> subprocess.CompletedProcess[str]:
    words = ("fabric", "check", str(FIXTURES / "hdr/fabric.yml"), "--json", "--host", host, "-i", str(inventory))
    return lab(*words, check=False)


def test_host_without_the_tools_and_host_that_nobody_knows(lab: Cli, inventory: Path) -> None:
    done = check(lab, inventory)
    assert (done.returncode, done.stdout) == (Exit.MISSING, "")
    assert "ibnetdiscover is not installed on node1 (apt-get install infiniband-diags)" in done.stderr
    done = check(lab, inventory, "node9")
    assert (done.returncode, len(done.stderr.splitlines())) == (Exit.BAD_INPUT, 1)


def test_host_is_asked_over_ssh(lab: Cli, inventory: Path) -> None:
    for name, _ in collect.FILES.values():
        put(lab, f"/root/fabric/{name}", (FIXTURES / "hdr" / name).read_text(), "0644")
    for name in TOOLS:
        put(lab, f"/usr/local/bin/{name}", TOOL, "0755")
    document = json.loads(check(lab, inventory).stdout)
    assert [finding["code"] for finding in document["findings"]] == ["width", "speed", "missing", "errors"]


def put(lab: Cli, path: str, text: str, mode: str) -> None:
    """Write a file on the host."""
    words = [CLI, "lab", "exec", "node1", "--", "install", "-D", "-m", mode, "/dev/stdin", path]
    subprocess.run(words, input=text, text=True, env=lab.env, check=True)


PREFLIGHT = """
- hosts: all
  gather_facts: false # the same for all of them, and expensive twenty times
  tasks:
    - ansible.builtin.set_fact:
        {distribution: Debian, distribution_version: "12", distribution_major_version: "12", pkg_mgr: apt,
         cacheable: true}
    - ansible.builtin.include_role: {name: infiniband, tasks_from: preflight}
"""
ACTIVE, STANDBY, SWITCH = ({"infiniband_subnet_manager": name} for name in ("active", "standby", "switch"))


def partitions(*keys: str, full: str = "ALL") -> dict[str, Any]:
    return {"infiniband_partitions": [{"name": f"p{n}", "pkey": key, "full": [full]} for n, key in enumerate(keys)]}


#: Hosts of one fabric each, and what the role says against the first of them; '' for nothing.
FABRICS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "fine": ([ACTIVE, STANDBY, {}], ""),
    "switched": ([SWITCH, SWITCH], ""),
    "keys": ([partitions("0x0001", "0x7ffe")], ""),
    "two": ([ACTIVE, ACTIVE], "two-0 and two-1 both claim infiniband_subnet_manager: active on two: leave one"),
    "orphan": ([STANDBY, {}], "orphan-0 is a standby manager and no host of this play is active on orphan"),
    "beside": ([SWITCH, ACTIVE], "beside-0 says that a switch manages beside, and beside-1 would run opensm beside it"),
    "unlike": (
        [{**ACTIVE, **partitions("0x0011")}, STANDBY],
        "the managers of unlike have different infiniband_partit",
    ),
    "twice": ([partitions("0x0011", "0x11")], "one key stands there twice"),
    "default": ([partitions("0x7fff")], "0x7fff is the default partition"),
    "member": ([partitions("0x8011")], "the bit 0x8000 the membership"),
    "name": ([partitions("0x0011", full="node1")], "node1 is not a port GUID"),
    "mode": (
        [{"infiniband_ipoib": [{"interface": "ib0", "address": "10.0.0.1/8", "mode": "connected"}]}],
        "mode can only be set on the child interface of a partition",
    ),
}


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Host to what the role's preflight says against it. All hosts are this machine, under many names."""
    folder = tmp_path_factory.mktemp("preflight")
    hosts = {
        f"{fabric}-{number}": {"infiniband_fabric": fabric, **variables}
        for fabric, (members, _) in FABRICS.items()
        for number, variables in enumerate(members)
    }
    defaults = yaml.safe_load((ROOT / "roles/infiniband/defaults/main.yml").read_text())
    python = {"ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python3"}
    (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts, "vars": {**defaults, **python}}}))
    (folder / "preflight.yml").write_text(PREFLIGHT)
    with pytest.raises(ConfigureFailed) as caught:
        configure([folder / "hosts.json"], playbook=folder / "preflight.yml", log=folder / "log")
    return {failure.host: failure.message for failure in caught.value.result.failures}


@pytest.mark.parametrize("fabric", FABRICS)
def test_preflight(refusals: dict[str, str], fabric: str) -> None:
    said = FABRICS[fabric][1]
    if said:
        assert said in refusals[f"{fabric}-0"]
    else:
        assert [host for host in refusals if host.startswith(f"{fabric}-")] == []
