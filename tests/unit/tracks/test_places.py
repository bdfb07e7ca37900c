"""What is up, remembered from one command to the next, and which inventories follow from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dualtrack.inventory.facts import Facts
from dualtrack.inventory.model import Host
from dualtrack.tracks import places


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(places, "LAB", tmp_path)
    return tmp_path


def test_nothing_is_up_at_first() -> None:
    assert places.current() == places.Current()


def test_one_track_does_not_forget_the_other() -> None:
    places.remember(stack="emulator")
    places.remember(facts="/etc/facts.yml")
    assert places.current() == places.Current("emulator", "/etc/facts.yml")
    places.remember(stack="")
    assert places.current() == places.Current("", "/etc/facts.yml")


def test_environments() -> None:
    assert (places.cloud_environment("emulator"), places.cloud_environment("aws")) == ("lab", "aws")
    assert places.local_environment(Facts((), "lab")) == "lab"
    assert places.local_environment(Facts((), "machines")) == "local"


def test_hosts_are_written_for_ansible_and_found_as_inventories(folder: Path) -> None:
    host = Host("gateway-1", "10.30.0.12", "ops", "local", "owned", "owned", roles=("gateway",))
    path = places.write("lab", "local", [host], lambda _: {"ansible_user": "ops"})
    assert path == folder / "inventories/lab/hosts-local.json"
    assert "gateway-1" in json.dumps(json.loads(path.read_text()))
    found = places.inventories()
    assert found[0] == places.COMMON
    assert folder / "inventories/lab" in found
    assert (places.in_group("role_gateway"), places.in_group("role_log")) == (True, False)
    path.unlink()
    assert not places.in_group("role_gateway")
    assert places.inventories() == [places.COMMON]
    assert folder / "inventories/aws" in places.inventories("aws")
