"""The rules of a host's firewall follow from what all hosts are for."""

from __future__ import annotations

from typing import Any

import pytest
from plugins.filter import firewall

TRACKS = {
    "cloud": {"c1": {"controller"}, "c2": {"controller"}, "g1": {"gpu"}, "g2": {"gpu"}, "e1": {"serving"}},
    "local": {
        "w1": {"gateway", "knowledge_base"}, "w2": {"gateway"}, "s1": {"serving", "storage"},
        "l1": {"log"}, "l2": {"log"}, "n1": set[str](),
    },
}  # fmt: skip
ROLES = {name: roles for hosts in TRACKS.values() for name, roles in hosts.items()}
GROUPS: dict[str, list[str]] = {f"track_{track}": list(hosts) for track, hosts in TRACKS.items()} | {
    f"role_{role}": [name for name, roles in ROLES.items() if role in roles]
    for role in ("controller", "gpu", "serving", "gateway", "knowledge_base", "storage", "log")
}
HOSTVARS: dict[str, dict[str, Any]] = {
    name: {"ansible_host": f"10.{20 if name in TRACKS['cloud'] else 30}.0.{place}"}
    for place, name in enumerate(ROLES, 4)
}
for _name in TRACKS["cloud"]:
    HOSTVARS[_name]["dualtrack_network"] = "10.20.0.0/16"
for _name in ("e1", "s1"):
    HOSTVARS[_name]["serving_models"] = [{"name": "r1", "port": 8001}]


def opened(here: str) -> dict[str, list[str]]:
    return {it["ports"]: it["sources"] for it in firewall.rules(GROUPS, HOSTVARS, here)}


def address(*names: str) -> list[str]:
    return sorted(str(HOSTVARS[name]["ansible_host"]) for name in names)


CLOUD = ["10.20.0.0/16"]


@pytest.mark.parametrize(
    ("here", "expected"),
    [
        ("w1", {"443": [], "8443": [], "": address("w2")}),
        ("w2", {"443": [], "": address("w1")}),
        ("s1", {"8001": address("w1", "w2")}),
        ("e1", {"8001": address("w1", "w2")}),
        ("l1", {"9200": address(*TRACKS["local"]), "9300": address("l2")}),
        ("n1", {}),
        ("c1", {"6817": CLOUD, "6819": CLOUD, firewall.JOBS: CLOUD}),
        ("g2", {"6818": CLOUD, firewall.JOBS: CLOUD}),
    ],
)
def test_each_role_opens_its_ports_to_those_who_need_them(here: str, expected: dict[str, list[str]]) -> None:
    assert opened(here) == expected


@pytest.mark.parametrize("here", ROLES)
def test_only_the_gateway_and_the_knowledge_base_are_open_to_all(here: str) -> None:
    for it in firewall.rules(GROUPS, HOSTVARS, here):
        assert it["sources"] or it["name"] in ("gateway", "knowledge base")


def test_an_engine_without_a_gateway_elsewhere_is_open_to_nobody() -> None:
    groups = {**GROUPS, "role_gateway": ["s1"]}
    found = firewall.rules(groups, HOSTVARS, "s1")
    assert [it["name"] for it in found] == ["gateway"]


def test_an_instance_that_comes_changes_no_other_host_s_rules() -> None:
    before = {name: firewall.rules(GROUPS, HOSTVARS, name) for name in TRACKS["cloud"]}
    groups = {**GROUPS, "track_cloud": [*GROUPS["track_cloud"], "g3"], "role_gpu": [*GROUPS["role_gpu"], "g3"]}
    hostvars = {**HOSTVARS, "g3": {"ansible_host": "10.20.0.99", "dualtrack_network": "10.20.0.0/16"}}
    assert {name: firewall.rules(groups, hostvars, name) for name in TRACKS["cloud"]} == before


def test_ports_are_those_of_the_settings() -> None:
    hostvars = {**HOSTVARS, "w1": {**HOSTVARS["w1"], "gateway_port": 444, "knowledge_base_port": 9443}}
    assert {it["ports"] for it in firewall.rules(GROUPS, hostvars, "w1")} == {"444", "9443", ""}
