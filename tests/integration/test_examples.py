"""Each inventory of examples/ is understood, in order, and complete: what operators copy works."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from dualtrack.cloud import stack
from tests.conftest import CLI, ROOT, Cli
from tests.support import terraform_testbed

if TYPE_CHECKING:
    from tests.support.terraform_testbed import Emulator

EXAMPLES = sorted(path for path in (ROOT / "examples").iterdir() if path.is_dir())
EACH = pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
LOCAL = pytest.mark.parametrize(
    "example", [it for it in EXAMPLES if (it / "facts.yml").exists()], ids=lambda path: path.name
)
CLOUD = pytest.mark.parametrize(
    "cloud", [it for it in EXAMPLES if (it / "terraform.tfvars").exists()], ids=lambda path: path.name, indirect=True
)
#: The inventory's own checks, and those of the roles that need no host.
PLAY = f"""
- ansible.builtin.import_playbook: {ROOT}/ansible/validate.yml
- hosts: all
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.assert:
        that:
          - (nvme_raid_arrays | default([]) | dualtrack.site.raid_problems) == []
          - (serving_models | default([]) | map(attribute='source') | dualtrack.site.model_store_version_problems) == []
        fail_msg: >-
          {{{{ nvme_raid_arrays | default([]) | dualtrack.site.raid_problems }}}}
"""


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path / "lab")


def checked(cli: Cli, folder: Path, hosts: str) -> subprocess.CompletedProcess[str]:
    """Play the checks with hosts as `dualtrack inventory` wrote them, and with the variables that all hosts share."""
    (folder / "play.yml").write_text(PLAY)
    return played(cli, folder, hosts, "play.yml")


def played(cli: Cli, folder: Path, hosts: str, play: str) -> subprocess.CompletedProcess[str]:
    """Play a file of a directory on the hosts."""
    (folder / "hosts.json").write_text(hosts)
    words = ["ansible-playbook", "-i", str(ROOT / "inventories/common"), "-i", "hosts.json", play]
    env = {**cli.env, "ANSIBLE_CONFIG": str(ROOT / "ansible/ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    return subprocess.run(
        [CLI.parent / words[0], *words[1:]], env=env, cwd=folder, capture_output=True, text=True, check=False
    )


def local(cli: Cli, example: Path) -> str:
    return cli("inventory", "--track", "local", "--facts", str(example / "facts.yml"), "-o", "json").stdout


@LOCAL
def test_inventory_passes_its_checks(cli: Cli, example: Path, tmp_path: Path) -> None:
    done = checked(cli, tmp_path, local(cli, example))
    assert done.returncode == 0, done.stdout + done.stderr


def test_mistake_in_an_example_would_be_found(cli: Cli, tmp_path: Path) -> None:
    document = json.loads(local(cli, ROOT / "examples/one-server"))
    [host] = document["all"]["hosts"].values()
    host["nvme_raid_arrays"][0]["members"].pop()
    host["nvme_raid_arrays"][0]["level"] = "raid7"
    done = checked(cli, tmp_path, json.dumps(document))
    assert done.returncode != 0
    assert "raid7" in done.stdout + done.stderr


#: Roles whose preflight looks at variables and the system alone; what others look at on hosts is not there.
BY_VARIABLES = (
    "gateway", "kb_sync", "knowledge_base", "log_forwarding", "serving", "spot_guard", "traffic_keeper",
)  # fmt: skip
#: What the examples expect in /srv/dualtrack, as a controller has it after its first steps.
KEPT = {"pki/ca.pem": "", **dict.fromkeys(("nvidia.asc", "nvidia-driver.asc"), "-----BEGIN PGP PUBLIC KEY BLOCK-----")}


def preflights() -> str:
    """Return plays in which each of these roles checks its variables, on the hosts that its own playbook names."""
    plays = []
    for path in sorted((ROOT / "ansible/playbooks").glob("*.yml")):
        for play in yaml.safe_load(path.read_text()):
            named = [it["role"] if isinstance(it, dict) else it for it in play.get("roles", [])]
            plays += [{"hosts": play["hosts"], "role": it} for it in named if it in BY_VARIABLES]
    whole = [
        {
            "hosts": it["hosts"], "connection": "local", "gather_facts": False,
            "tasks": [
                {"dualtrack.site.system_facts": None},
                {"ansible.builtin.include_role": {"name": it["role"], "tasks_from": "preflight"}},
            ],
        }
        for it in plays
    ]  # fmt: skip
    return json.dumps(whole)


@LOCAL
def test_variables_pass_the_preflights_of_the_roles(cli: Cli, example: Path, tmp_path: Path) -> None:
    wanted = {role for host in yaml.safe_load((example / "facts.yml").read_text())["hosts"] for role in host["roles"]}
    pass_preflights(cli, tmp_path, local(cli, example), wanted)


def pass_preflights(cli: Cli, folder: Path, hosts: str, wanted: set[str]) -> None:
    """Check that hosts pass the preflights of roles, ``wanted`` among them, with what a controller has by then."""
    kept = folder / "dualtrack"
    for name, text in KEPT.items():
        (kept / name).parent.mkdir(parents=True, exist_ok=True)
        (kept / name).write_text(text)
    # Before any gateway is there, as examples/one-server/README.md says.
    (kept / "serving").mkdir()
    key = cli("serving", "key", "add", "knowledge", "--file", str(kept / "serving/tenants.json"))
    assert "of knowledge; it is not shown again" in key.stderr
    (kept / "serving/knowledge.key").write_text(key.stdout)
    (folder / "preflights.yml").write_text(preflights())
    done = played(cli, folder, hosts.replace("/srv/dualtrack", str(kept)), "preflights.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    roles = {it for it in BY_VARIABLES if f"[{it} : " in done.stdout}
    assert wanted & set(BY_VARIABLES) <= roles, done.stdout


def options() -> dict[str, dict[str, Any]]:
    """Return every variable of every role as its specs declare it."""
    found: dict[str, dict[str, Any]] = {}
    for path in (ROOT / "roles").glob("*/meta/argument_specs.yml"):
        found |= yaml.safe_load(path.read_text())["argument_specs"]["main"]["options"]
    return found


def variables(example: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield who has which variables: hosts, and files of group variables."""
    if (example / "facts.yml").exists():
        for host in yaml.safe_load((example / "facts.yml").read_text())["hosts"]:
            yield host["name"], host.get("vars", {})
    for path in example.glob("group_vars/*.yml"):
        yield path.name, yaml.safe_load(path.read_text())


def untold(value: Any) -> bool:
    """Return whether only a play can tell what a value is."""
    return isinstance(value, str) and "{{" in value


#: What inventories/common passes on to several roles under their own names, or the command line reads.
SHARED = {
    "serving_api_key": {"type": "str", "no_log": True},
    "gateway_ca_file": {"type": "path"},
}


@EACH
def test_variables_are_those_of_the_roles(example: Path) -> None:
    known = options() | SHARED
    for where, given in variables(example):
        assert [name for name in given if name not in known] == [], where
        plain = {name: value for name, value in given.items() if not untold(value)}
        result = ArgumentSpecValidator({name: known[name] for name in plain}).validate(plain)
        assert result.error_messages == [], where


@EACH
def test_no_file_holds_a_secret(example: Path) -> None:
    known = options() | SHARED
    for where, given in variables(example):
        for name, value in given.items():
            if known[name].get("no_log") or re.search(r"(_key|password|token)$", name):
                assert untold(value), f"{where}: {name}"
    for path in example.rglob("*.*"):
        assert not re.search(r"PRIVATE KEY|AKIA[A-Z0-9]{16}|BEGIN [A-Z ]+-----", path.read_text()), path


@pytest.fixture
def cloud(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """An example, and its variables of the cloud track as OpenTofu reads and checks them."""
    declared = (ROOT / "terraform/stacks/aws/variables.tf").read_text()
    text = (request.param / "terraform.tfvars").read_text()
    (tmp_path / "variables.tf").write_text(declared)
    (tmp_path / "terraform.tfvars").write_text(text)
    names = re.findall(r"^(\w+)\s*=", text, re.MULTILINE)
    assert [name for name in names if f'variable "{name}"' not in declared] == []
    said = ", ".join(f"{name} = var.{name}" for name in names)
    program = next(iter(terraform_testbed.programs().values()))
    done = subprocess.run(
        [program, "console", f"-var=ssh_public_key={terraform_testbed.KEY}"], cwd=tmp_path, capture_output=True,
        input=f"jsonencode({{{said}}})\n", text=True, check=False,
        env={**os.environ, "TF_CLI_CONFIG_FILE": os.devnull},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(json.loads(done.stdout))
    return request.param, found


@CLOUD
def test_cloud_track_comes_up_in_the_emulator_and_passes_the_checks(
    cli: Cli, cloud: tuple[Path, dict[str, Any]], aws: Emulator, stack_lab: Path, tmp_path: Path
) -> None:
    """With an image that the emulator knows, without the budget, which it cannot read back, and without the zone.

    The zone takes the provider a minute.
    """
    assert stack_lab
    example, values = cloud
    instead = {"image": {"id": "ami-1e749f67"}, "watch": {**values["watch"], "budget_usd": None}, "traffic": None}
    result, _ = terraform_testbed.up(aws, variables={**values, **instead})
    pools = result.outputs["inventory"]["pools"]
    assert set(pools) == {*values["pools"], "serving"}
    hosts = cli("inventory", "--track", "cloud", "--endpoint", aws.url, "-o", "json").stdout
    document = json.loads(hosts)
    assert len(document["all"]["hosts"]) == sum(pool["desired"] for pool in pools.values())
    for file in example.glob("group_vars/*.yml"):
        group = document["all"] if file.stem == "all" else document["all"]["children"][file.stem]
        group["vars"] = {**group.get("vars", {}), **yaml.safe_load(file.read_text())}
    done = checked(cli, tmp_path, json.dumps(document))
    assert done.returncode == 0, done.stdout + done.stderr
    roles = {role for pool in pools.values() for role in pool["roles"]}
    pass_preflights(cli, tmp_path, json.dumps(document), roles)
    assert stack.down("emulator", endpoint=aws.url, confirm=terraform_testbed.never)
