"""What is up, remembered from one command to the next, and which inventories follow from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dualtrack.core.errors import BadInput
from dualtrack.inventory import deployment, target
from dualtrack.inventory.model import Host


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(deployment, "STATE", tmp_path)
    return tmp_path


def test_nothing_is_up_at_first() -> None:
    assert deployment.current() == deployment.Current()


def test_one_track_does_not_forget_the_other() -> None:
    deployment.remember(stack="emulator")
    deployment.remember(facts="/etc/facts.yml")
    assert deployment.current() == deployment.Current("emulator", "/etc/facts.yml")
    deployment.remember(stack="")
    assert deployment.current() == deployment.Current("", "/etc/facts.yml")


def test_environments() -> None:
    found = {name: target.of(name).environment for name in target.names()}
    assert found == {"aws": "aws", "emulator": "lab", "lab": "lab", "machines": "local"}


def test_unknown_target_is_refused_with_the_names_of_all() -> None:
    with pytest.raises(BadInput, match="no target 'azure'") as caught:
        target.of("azure")
    assert caught.value.hint == "there are: aws, emulator, lab, machines"


def test_hosts_are_written_for_ansible_and_found_as_inventories(folder: Path) -> None:
    host = Host(
        name="gateway-1",
        address="10.30.0.12",
        user="ops",
        track="local",
        pool="owned",
        lifecycle="owned",
        roles=("gateway",),
    )
    path = deployment.write(target.of("lab"), "local", [host], lambda _: {"ansible_user": "ops"})
    assert path == folder / "inventories/lab/hosts-local.json"
    assert "gateway-1" in json.dumps(json.loads(path.read_text()))
    found = deployment.inventories()
    assert found[0] == deployment.COMMON
    assert folder / "inventories/lab" in found
    assert (deployment.in_group("role_gateway"), deployment.in_group("role_log")) == (True, False)
    path.unlink()
    assert not deployment.in_group("role_gateway")
    assert deployment.inventories() == [deployment.COMMON]
    assert folder / "inventories/aws" in deployment.inventories("aws")
