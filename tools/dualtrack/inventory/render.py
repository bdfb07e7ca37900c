"""Hosts as Ansible reads them: a file for its YAML plugin (JSON or YAML), or the answer of an inventory script."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from dualtrack.core.errors import BadInput
from dualtrack.inventory.model import Host, groups_of

#: Adds connection variables to a host (a proxy into the lab, a key); an empty mapping for none.
Connection = Callable[[Host], Mapping[str, object]]


def direct(known_hosts: Path, private_key: str = "") -> Connection:
    """Return the connection variables of machines that are not the lab's: the key, the known hosts, and the way."""

    def variables(host: Host) -> Mapping[str, object]:
        args = f"-o UserKnownHostsFile={known_hosts} -o HostKeyAlias={host.name}"
        args += f" -o {shlex.quote(f'ProxyCommand={host.proxy}')}" if host.proxy else ""
        key = {"ansible_ssh_private_key_file": private_key} if private_key else {}
        return {**key, "ansible_ssh_common_args": args}

    return variables


def hostvars(host: Host, connection: Connection) -> dict[str, object]:
    """Return the variables of one host."""
    found: dict[str, object] = {
        "ansible_host": host.address,
        "ansible_user": host.user,
        "dualtrack_track": host.track,
        "dualtrack_pool": host.pool,
        "dualtrack_lifecycle": host.lifecycle,
        "dualtrack_roles": host.roles,
        "dualtrack_gpus": host.gpus,
        "dualtrack_zone": host.zone,
        "dualtrack_instance_id": host.instance_id,
    }
    if host.port != 22:
        found["ansible_port"] = host.port
    found.update(connection(host))
    found.update(host.vars)
    return found


def by_group(hosts: Sequence[Host], extra: Sequence[str] = ()) -> dict[str, list[str]]:
    """Return group name to host names, groups in order of first appearance; ``extra`` groups hold every host.

    The hosts are those of one track. Where it has controllers, they and the GPU nodes are `scheduled`;
    where it has a search store, all are `audited`.
    """
    groups: dict[str, list[str]] = {name: [host.name for host in hosts] for name in extra}
    for host in hosts:
        for name in groups_of(host):
            groups.setdefault(name, []).append(host.name)
    if any("controller" in host.roles for host in hosts):
        groups["scheduled"] = [host.name for host in hosts if {"controller", "gpu"} & set(host.roles)]
    if "role_log" in groups:
        groups["audited"] = [host.name for host in hosts]
    return groups


def static(hosts: Sequence[Host], connection: Connection, extra: Sequence[str] = ()) -> dict[str, Any]:
    """Return the document for Ansible's YAML plugin."""
    return {
        "all": {
            "hosts": {host.name: hostvars(host, connection) for host in hosts},
            "children": {name: {"hosts": dict.fromkeys(members)} for name, members in by_group(hosts, extra).items()},
        }
    }


def script(hosts: Sequence[Host], connection: Connection, extra: Sequence[str] = ()) -> dict[str, Any]:
    """Return what an inventory script answers to `--list`."""
    return {
        "_meta": {"hostvars": {host.name: hostvars(host, connection) for host in hosts}},
        **{name: {"hosts": members} for name, members in by_group(hosts, extra).items()},
    }


def encode(document: Mapping[str, Any], form: str) -> bytes:
    """Return ``document`` as `json` or `yaml`."""
    if form == "json":
        return msgspec.json.encode(document) + b"\n"
    if form == "yaml":
        return msgspec.yaml.encode(document)
    raise BadInput(f"unknown format {form!r}", hint="json or yaml")
