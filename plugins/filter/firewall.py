"""Who may connect to a host, from the roles of all hosts: the rules of its firewall."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Groups = Mapping[str, Sequence[str]]
Hostvars = Mapping[str, Mapping[str, Any]]
#: Slurm's own ports (slurm.conf's defaults), and those that jobs on several nodes open: Linux's ephemeral ports.
SLURM, JOBS = {"slurmctld": "6817", "slurmd": "6818", "slurmdbd": "6819"}, "32768-60999"


def rules(groups: Groups, hostvars: Hostvars, here: str) -> list[dict[str, Any]]:
    """Return who may connect to the host ``here``; ssh is always open, and not named.

    Each rule has a ``name``, a ``protocol``, its ``ports``, and the ``sources`` that may connect (empty: all).
    """
    track = groups["track_cloud"] if here in groups["track_cloud"] else groups["track_local"]
    mine = {name for name, hosts in groups.items() if here in hosts}
    host = hostvars[here]

    def among(group: str) -> list[str]:
        return sorted(set(groups[group]) & set(track))

    found: list[dict[str, Any]] = []
    if "role_gateway" in mine:
        found.append(rule("gateway", host.get("gateway_port", 443)))
        if peers := addresses(set(among("role_gateway")) - {here}, hostvars):
            found.append({"name": "gateway, shared address", "protocol": "vrrp", "ports": "", "sources": peers})
    if "role_knowledge_base" in mine:
        found.append(rule("knowledge base", host.get("knowledge_base_port", 8443)))
    if models := host.get("serving_models", []) if "role_serving" in mine else []:
        gateways = addresses(set(groups["role_gateway"]) - {here}, hostvars)
        # Nobody's, where there is no gateway but on this host: an empty list would be everybody's.
        found += [rule(f"engine {model['name']}", model["port"], gateways) for model in models if gateways]
    if "role_log" in mine:
        found.append(rule("search store", host.get("opensearch_port", 9200), network(track, hostvars, here)))
        if others := addresses(set(among("role_log")) - {here}, hostvars):
            found.append(rule("search store, nodes", 9300, others))
    if among("role_controller"):
        found += _slurm(mine, network(sorted({*among("role_controller"), *among("role_gpu")}), hostvars, here))
    return found


def _slurm(mine: Iterable[str], cluster: list[str]) -> list[dict[str, Any]]:
    names = (["slurmctld", "slurmdbd"] if "role_controller" in mine else []) + (
        ["slurmd"] if "role_gpu" in mine else []
    )
    found = [rule(name, SLURM[name], cluster) for name in names]
    return [*found, rule("jobs", JOBS, cluster)] if names else []


def rule(name: str, ports: object, sources: Sequence[str] = ()) -> dict[str, Any]:
    """Return a rule for TCP ports."""
    return {"name": name, "protocol": "tcp", "ports": str(ports), "sources": list(sources)}


def addresses(names: Iterable[str], hostvars: Hostvars) -> list[str]:
    """Return the addresses of hosts, sorted."""
    return sorted({str(hostvars[name]["ansible_host"]) for name in names})


def network(names: Iterable[str], hostvars: Hostvars, here: str) -> list[str]:
    """Return where the other hosts of a track are: the network of its stack, or the address of each machine.

    Instances come and go: rules by address would change on all hosts with each of them.
    """
    if known := hostvars[here].get("dualtrack_network"):
        return [str(known)]
    return addresses(names, hostvars)


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., list[dict[str, Any]]]]:
        """Return the filters by name."""
        return {"firewall_rules": rules}
