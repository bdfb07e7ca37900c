"""A broken inventory is refused with a sentence that says how to fix it."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from dualtrack.core.paths import ROOT

_spec = importlib.util.spec_from_file_location("problems", ROOT / "plugins/filter/inventory_problems.py")
assert _spec is not None
assert _spec.loader is not None
module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(module)

GOOD: dict[str, Any] = {
    "ansible_host": "10.0.0.1", "dualtrack_track": "local", "dualtrack_pool": "sovereign",
    "dualtrack_lifecycle": "owned", "dualtrack_roles": ["gpu"], "dualtrack_gpus": 8,
}  # fmt: skip


def problems(**hosts: dict[str, Any]) -> list[str]:
    groups: dict[str, list[str]] = {
        "all": [*hosts], "track_cloud": [], "track_local": [], "role_gpu": [], "role_storage": []
    }  # fmt: skip
    for name, facts in hosts.items():
        groups["track_cloud" if facts.get("dualtrack_track") == "cloud" else "track_local"].append(name)
        for role in facts.get("dualtrack_roles", ()):
            groups.get(f"role_{role}", []).append(name)
    found: list[str] = module.inventory_problems(hosts, groups)
    return found


def test_a_good_inventory_has_none() -> None:
    assert problems(h1=GOOD, h2={**GOOD, "ansible_host": "10.0.0.2", "dualtrack_track": "cloud"}) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ansible_host": None}, "neither an address nor a name"),
        ({"ansible_host": "10.0.0.256"}, "neither an address nor a name"),
        ({"dualtrack_track": "sky"}, "write one of cloud, local"),
        ({"dualtrack_lifecycle": "lent"}, "write one of spot, on-demand, owned"),
        ({"dualtrack_roles": ["gpu", "gpus"]}, "unknown role gpus: the roles are gpu, storage"),
        ({"dualtrack_roles": "storage"}, "dualtrack_roles is not a list"),
        ({"dualtrack_gpus": 0}, "has the role gpu and dualtrack_gpus is 0"),
        ({"dualtrack_gpus": "8"}, "write the number of GPUs"),
        ({"dualtrack_gpus": True}, "write the number of GPUs"),
        ({"dualtrack_gpus": -1}, "write the number of GPUs"),
    ],
)
def test_each_mistake_is_named_with_its_host(change: dict[str, Any], words: str) -> None:
    facts = {**GOOD, **change}
    facts["ansible_host"] = "" if facts["ansible_host"] is None else facts["ansible_host"]
    found = problems(h1=facts)
    assert any(line.startswith("h1: ") and words in line for line in found), found


@pytest.mark.parametrize("key", list(GOOD))
def test_each_missing_variable_is_named(key: str) -> None:
    found = problems(h1={name: value for name, value in GOOD.items() if name != key})
    assert any(key in line for line in found), found


def test_two_hosts_at_one_address_are_both_named() -> None:
    assert [line for line in problems(h1=GOOD, h2=GOOD) if line.startswith("h1, h2 share the address 10.0.0.1:22")]


def test_two_hosts_behind_one_address_at_different_ports_are_fine() -> None:
    assert problems(h1=GOOD, h2={**GOOD, "ansible_port": 2222}) == []


def test_an_empty_inventory_and_a_host_without_a_track_are_problems() -> None:
    assert "no host" in module.inventory_problems({}, {"all": []})[0]
    assert "neither track_cloud nor track_local" in module.inventory_problems({"x": {}}, {"all": ["x"]})[0]


def test_a_host_in_both_tracks_or_out_of_its_role_group_is_a_problem() -> None:
    groups = {"all": ["h1"], "track_cloud": ["h1"], "track_local": ["h1"], "role_gpu": []}
    found = module.inventory_problems({"h1": GOOD}, groups)
    assert any("in both track_cloud and track_local" in line for line in found)
    assert any("belongs to the group role_gpu" in line for line in found)


def test_a_disk_that_two_roles_claim_is_a_problem() -> None:
    disk = "/dev/disk/by-id/nvme-a"
    arrays = [{"name": "data", "members": ["/dev/disk/by-id/nvme-b"], "spares": [disk]}]
    volumes = [{"name": "vault", "device": disk}]
    [found] = problems(h1={**GOOD, "nvme_raid_arrays": arrays, "sm4_volume_volumes": volumes})
    assert found.startswith(f"h1: {disk} is in the array data and under the volume vault")
    on_array = [{"name": "vault", "device": "/dev/md/data"}]
    assert problems(h1={**GOOD, "nvme_raid_arrays": arrays, "sm4_volume_volumes": on_array}) == []
