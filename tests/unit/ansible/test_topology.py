"""Who works with whom is computed from what the inventory says of each host (inventories/common/group_vars/all)."""

from __future__ import annotations

from typing import Any

from plugins.filter import topology

PROBE = {"prompt": "The capital of France is", "expected": "Paris"}


def host(address: str, *models: dict[str, Any], instance: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {"ansible_host": address, "dualtrack_instance_id": instance}
    return found | ({"serving_models": list(models)} if models else {})


def model(name: str, port: int, engine: str = "llamacpp", **more: object) -> dict[str, Any]:
    return {"name": name, "port": port, "engine": engine, "probe": PROBE, **more}


HOSTS = {
    "b": host("10.0.0.2", model("r1", 8001, "vllm"), instance="i-1"),
    "a": host("10.0.0.1", model("r1", 8001, slots=8), model("r1-large", 8002, "sglang", answers_as="r1", slots=1)),
    "c": host("10.0.0.3", model("minilm", 8003, "triton"), instance="i-2"),
}


def test_nodes_are_in_the_order_of_their_names() -> None:
    assert topology.nodes(["c", "a"], HOSTS) == [
        {"name": "a", "address": "10.0.0.1"},
        {"name": "c", "address": "10.0.0.3"},
    ]
    assert topology.nodes([], HOSTS) == []


def test_two_controllers_know_what_they_call_themselves() -> None:
    assert topology.controllers(["c", "b", "a"], HOSTS) == [
        {"name": "a", "address": "10.0.0.1", "hostname": "a"},
        {"name": "b", "address": "10.0.0.2", "hostname": "ip-10-0-0-2"},
    ]


def test_engines_by_what_clients_call_them() -> None:
    found = {it["name"]: it for it in topology.engines(HOSTS, HOSTS, "a", ["b", "c"])}
    assert {name: it["probe"]["api"] for name, it in found.items()} == {"r1": "completions", "minilm": "embeddings"}
    rows = [
        (it["name"], it["host"], it["address"], it["port"], it["requests"], it["track"])
        for it in found["r1"]["engines"]
    ]
    assert rows == [
        ("a", "a", "127.0.0.1", 8001, 7, "local"),
        ("a.r1-large", "a", "127.0.0.1", 8002, 1, "local"),
        ("b", "b", "10.0.0.2", 8001, 127, "cloud"),
    ]
    assert found["minilm"]["probe"] == {**PROBE, "api": "embeddings"}
    assert "api" not in PROBE
    assert topology.engines([], HOSTS, "a", []) == []
    assert topology.engines(["x"], {"x": host("10.0.0.9")}, "a", []) == []
