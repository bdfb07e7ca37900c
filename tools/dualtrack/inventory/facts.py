"""The operator's facts file: the servers of the local track, in a few lines of YAML that are checked before use."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from dualtrack.core.errors import BadInput
from dualtrack.core.paths import ROOT
from dualtrack.inventory import ways
from dualtrack.inventory.model import Host, Role, check, valid_address
from dualtrack.remote import host_keys

DEFAULT = ROOT / "inventories/local/facts.yml"
#: What every disk of a lab's virtual machine is called, before its serial number.
LAB_DISK = "/dev/disk/by-id/nvme-QEMU_NVMe_Ctrl_"
ROLES: tuple[str, ...] = typing.get_args(Role)


class Server(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One server as the operator describes it."""

    name: Annotated[str, Meta(description="Unique; letters, digits, hyphens.")]
    address: Annotated[str, Meta(description="IPv4, reachable from here.")]
    roles: Annotated[tuple[Role, ...], Meta(description="What the host is for.")] = ()
    gpus: Annotated[int, Meta(ge=0, le=64, description="How many GPUs it must have.")] = 0
    disks: Annotated[
        tuple[str, ...],
        Meta(description="Data disks by stable name (/dev/disk/by-id/…): never /dev/nvme0n1, which can change."),
    ] = ()
    machine: Annotated[
        Literal["", "nspawn", "qemu"],
        Meta(description="(lab only) qemu: a virtual machine with the disks named; a container without it."),
    ] = ""
    jump: Annotated[
        str,
        Meta(description="(machines only) ssh reaches it through this host, where it differs from the file's `jump`."),
    ] = ""
    port: Annotated[int, Meta(ge=1, le=65535, description="The port of its ssh server.")] = 22
    host_key: Annotated[
        str,
        Meta(
            pattern=rf"^$|{host_keys.PATTERN}",
            description="(machines only) The public key of its ssh server, as in /etc/ssh/ssh_host_ed25519_key.pub"
            " there; without it the fingerprint is shown at the first contact, with a question.",
        ),
    ] = ""
    user: Annotated[str, Meta(description="Its login user, where it differs from the file's `user`.")] = ""
    cny_per_day: Annotated[
        Annotated[float, Meta(ge=0, le=1e6)] | None,
        Meta(description="What it costs in ¥ a day, all in, for `dualtrack cost report`; 0 where another host has it."),
    ] = None
    vars: Annotated[dict[str, object], Meta(description="Further Ansible variables of this host.")] = {}


class Facts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file as a whole."""

    hosts: Annotated[tuple[Server, ...], Meta(description="The servers of the local track.")]
    provider: Annotated[
        Literal["lab", "machines"],
        Meta(description="lab: the hosts are made on this machine, as lab hosts; machines: they exist and take ssh."),
    ] = "machines"
    user: Annotated[str, Meta(description="The login user of hosts that name none; needs sudo without a password.")] = (
        "ops"
    )
    jump: Annotated[
        str,
        Meta(
            description="(machines only) ssh reaches all hosts through this one: user@host, user@host:port, or a name"
            " of your ssh configuration."
        ),
    ] = ""
    ssh_private_key: Annotated[
        str, Meta(description="(machines only) The key to log in with; your ssh agent and defaults without it.")
    ] = ""


def load(path: Path = DEFAULT) -> Facts:
    """Return the facts in ``path``; BadInput with file, field and what was expected when it is not in order."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise BadInput(
            f"there is no facts file {path}", hint="inventories/local/facts.yml shows how one looks"
        ) from None
    except IsADirectoryError:
        raise BadInput(f"{path} is a directory, not a facts file", hint="name the file in it") from None
    return parsed(data, path)


def parsed(data: bytes, path: Path) -> Facts:
    """Return the facts in ``data``; ``path`` is what errors name."""
    try:
        facts = msgspec.yaml.decode(data, type=Facts)
    except msgspec.ValidationError as error:
        raise BadInput(
            f"{path}: {error}", hint="the comments in inventories/local/facts.yml explain every field"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    _check(path, facts)
    return facts


def _check(path: Path, facts: Facts) -> None:
    if not facts.hosts:
        raise BadInput(f"{path} names no hosts", hint="list at least one under hosts:")
    disks: dict[str, str] = {}
    for server in facts.hosts:
        if not valid_address(server.address):
            raise BadInput(
                f"{path}: host {server.name}: {server.address!r} is not the IPv4 address of a host",
                hint="write it as 10.30.0.11",
            )
        if "gpu" in server.roles and server.gpus == 0:
            raise BadInput(
                f"{path}: host {server.name} has the role gpu and 0 GPUs", hint="set gpus: to how many it must have"
            )
        if (server.jump or facts.jump) and facts.provider != "machines":
            raise BadInput(f"{path}: host {server.name} has a jump host, and is one of the lab", hint="leave jump: out")
        if server.machine and facts.provider != "lab":
            raise BadInput(
                f"{path}: host {server.name} has machine: {server.machine}, and is a machine of your own",
                hint="leave it out: it says what the lab makes a host of",
            )
        for disk in server.disks:
            if not disk.startswith("/dev/disk/by-id/"):
                raise BadInput(
                    f"{path}: host {server.name}: disk {disk} is not a stable name",
                    hint="use its link in /dev/disk/by-id/",
                )
            if server.machine == "qemu" and not disk.startswith(LAB_DISK):
                raise BadInput(
                    f"{path}: host {server.name}: the lab cannot make a disk called {disk}",
                    hint=f"its disks are called {LAB_DISK}SERIAL",
                )
            if disks.setdefault(disk, server.name) != server.name or server.disks.count(disk) > 1:
                raise BadInput(f"{path}: disk {disk} is named twice", hint="a disk belongs to one host, once")
    check(hosts(facts), str(path))


def serials(server: Server) -> list[str]:
    """Return the serial numbers by which a virtual machine's disks get the names that the facts file has."""
    return [disk.removeprefix(LAB_DISK) for disk in server.disks]


def hosts(facts: Facts) -> list[Host]:
    """Return the servers as hosts of the local track."""
    return [
        Host(
            name=s.name,
            address=s.address,
            user=s.user or facts.user,
            port=s.port,
            proxy=ways.by_jump(jump, f"host {s.name}") if (jump := s.jump or facts.jump) else "",
            host_key=" ".join(s.host_key.split()[:2]),
            track="local",
            pool="local",
            lifecycle="owned",
            roles=s.roles,
            gpus=s.gpus,
            vars={**({"dualtrack_disks": s.disks} if s.disks else {}), **s.vars},
        )
        for s in facts.hosts
    ]
