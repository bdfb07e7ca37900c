"""One host as every part of dualtrack sees it, wherever it came from."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from dualtrack.core.errors import BadInput

Track = Literal["cloud", "local"]
Lifecycle = Literal["spot", "on-demand", "owned"]
#: What a host can be for. Each is an Ansible group `role_<name>`, declared in inventories/common.
Role = Literal["gpu", "infiniband", "storage", "serving", "gateway", "knowledge_base", "controller", "log"]
#: Each of them, for `dualtrack explain`.
ROLE_MEANING: dict[Role, str] = {
    "gpu": "The host runs models on its GPUs.",
    "infiniband": "The host has a port on an InfiniBand fabric.",
    "storage": "The host holds checkpoints, weights and the knowledge base.",
    "serving": "The host answers as a model, outside of the scheduler.",
    "gateway": "The host takes requests from outside.",
    "knowledge_base": "The host answers questions from documents.",
    "controller": "The host schedules the others.",
    "log": "The host keeps and searches audit trails and logs.",
}

NAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9.-]{0,251}[a-zA-Z0-9])?")


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """One host: who it is, how to reach it, what it is for. Addresses are IPv4, dotted.

    ``address`` is the one that other hosts have for it. ``proxy`` is the command by which ssh reaches it from here, ''
    where that goes straight (`ways`). ``host_key`` is the public key of its ssh server that the operator wrote down
    (type and base64), '' for none.
    """

    name: str
    address: str
    user: str
    track: Track
    pool: str
    lifecycle: Lifecycle
    roles: tuple[str, ...] = ()
    gpus: int = 0
    zone: str = ""
    instance_id: str = ""
    port: int = 22
    proxy: str = ""
    host_key: str = ""
    vars: dict[str, object] = {}


def check(hosts: Sequence[Host], where: str = "") -> None:
    """Raise BadInput when two hosts share a name or an address, or a name is none that Ansible takes.

    ``where`` is put before the message: the file that the hosts come from.
    """
    at = f"{where}: " if where else ""
    names: set[str] = set()
    addresses: dict[tuple[str, int], str] = {}
    for host in hosts:
        if not NAME.fullmatch(host.name):
            raise BadInput(f"{at}host name {host.name!r} is not valid", hint="letters, digits, hyphens and dots")
        if host.name in names:
            raise BadInput(f"{at}host {host.name} is there twice", hint="names must differ")
        names.add(host.name)
        other = addresses.setdefault((host.address, host.port), host.name)
        if other != host.name:
            raise BadInput(
                f"{at}hosts {other} and {host.name} share the address {host.address}:{host.port}",
                hint="addresses must differ",
            )


def group(text: str) -> str:
    """Return a valid Ansible group name part: anything but letters, digits and _ becomes _."""
    return re.sub(r"[^A-Za-z0-9_]", "_", text)


def groups_of(host: Host) -> Iterable[str]:
    """Yield the groups that a host is in."""
    yield f"track_{host.track}"
    yield f"pool_{group(host.pool)}"
    yield f"lifecycle_{group(host.lifecycle)}"
    for role in host.roles:
        yield f"role_{group(role)}"
    if host.gpus:
        yield "with_gpus"
    if host.zone:
        yield f"zone_{group(host.zone)}"


def valid_address(text: str) -> bool:
    """Tell whether ``text`` is an IPv4 address that a host can have: no other one's, as 0.0.0.0 and groups' are."""
    try:
        return 0 < ipaddress.IPv4Address(text).packed[0] < 224
    except ValueError:
        return False
