"""Who works with whom: controllers, nodes and engines of a track, from what the inventory says of each host."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

Hostvars = Mapping[str, Mapping[str, Any]]
#: Requests that an engine works on at once, where the inventory does not say: llama.cpp keeps a context for each.
SLOTS, SLOTS_LLAMACPP = 128, 4


def nodes(names: Iterable[str], hostvars: Hostvars) -> list[dict[str, str]]:
    """Return name and address of hosts, by their names."""
    return [{"name": name, "address": hostvars[name]["ansible_host"]} for name in sorted(names)]


def controllers(names: Iterable[str], hostvars: Hostvars) -> list[dict[str, str]]:
    """Return the two controllers of a cluster, each with what it calls itself: on EC2 that comes from its address."""
    return [
        it | {"hostname": f"ip-{it['address'].replace('.', '-')}" if _is_instance(hostvars[it["name"]]) else it["name"]}
        for it in nodes(names, hostvars)[:2]
    ]


def engines(names: Iterable[str], hostvars: Hostvars, here: str, cloud: Collection[str]) -> list[dict[str, Any]]:
    """Return the models that answer on hosts, each by what clients call it, with its engines.

    ``here`` is the host that asks them, ``cloud`` are the hosts of the cloud track.
    """
    found: dict[str, dict[str, Any]] = {}
    for host in sorted(names):
        for model in hostvars[host].get("serving_models", []):
            called, name = model.get("answers_as", model["name"]), model["name"]
            api = "embeddings" if model["engine"] == "triton" else "completions"
            entry = found.setdefault(called, {"name": called, "probe": {**model["probe"], "api": api}, "engines": []})
            # Where one version of a model calls none, a request with tools could come to that one.
            entry["tools"] = entry.get("tools", True) and bool(model.get("tools", False))
            slots = model.get("slots", SLOTS_LLAMACPP if model["engine"] == "llamacpp" else SLOTS)
            entry["engines"].append(
                {
                    "name": host if called == name else f"{host}.{name}", "host": host, "port": model["port"],
                    "requests": max(1, slots - 1),  # one is left for the gateway's probe
                    "address": "127.0.0.1" if host == here else hostvars[host]["ansible_host"],
                    "track": "cloud" if host in cloud else "local",
                }
            )  # fmt: skip
    return list(found.values())


def _is_instance(variables: Mapping[str, Any]) -> bool:
    return bool(variables.get("dualtrack_instance_id", ""))


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., list[dict[str, Any]]]]:
        """Return the filters by name."""
        return {"nodes": nodes, "controllers": controllers, "engines": engines}
