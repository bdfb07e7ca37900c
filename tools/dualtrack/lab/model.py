"""What a lab host is, and the decision which hosts to start and which to remove: no input or output here."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from dualtrack.core.errors import BadInput

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

#: `nspawn` is a container: up in two seconds, no kernel of its own. `qemu` is a virtual machine: a kernel of its own,
#: NVMe disks, and a power button; slow where it is emulated.
Kind = Literal["nspawn", "qemu"]

SERIAL = re.compile(r"[A-Za-z0-9-]{1,20}")  # NVMe's field is 20 characters long
MAX_DISKS = 12  # what fits on the machine's one PCI bus beside its other cards


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """Names and addresses of one lab, all derived from where its state lies, so that checkouts never collide."""

    id: str
    cloud: ipaddress.IPv4Network = ipaddress.IPv4Network("10.20.0.0/16")
    local: ipaddress.IPv4Network = ipaddress.IPv4Network("10.30.0.0/16")
    uplink: ipaddress.IPv4Network = ipaddress.IPv4Network("100.64.0.0/30")

    @classmethod
    def of(cls, lab_dir: Path) -> Layout:
        """Return the layout of the lab whose state lies in ``lab_dir``."""
        digest = hashlib.sha256(str(lab_dir.resolve()).encode()).hexdigest()
        # One of 16,384 /30 networks of the shared address space (RFC 6598): never a company's own network.
        slot = int(digest[:8], 16) % 16384
        base = ipaddress.IPv4Address("100.64.0.0") + slot * 4
        return cls(id=digest[:6], uplink=ipaddress.IPv4Network(f"{base}/30"))

    @property
    def namespace(self) -> str:
        """The network namespace that holds every host."""
        return f"dt-{self.id}"

    @property
    def cgroup(self) -> str:
        """The control group that holds every process of the lab."""
        return f"dualtrack-{self.id}"

    @property
    def connections(self) -> Path:
        """The directory of sockets of ssh connections that `lab exec` shares: a short path, as Linux wants for one."""
        return Path("/run") / f"dualtrack-{self.id}"

    def gateway(self, address: ipaddress.IPv4Address) -> ipaddress.IPv4Interface:
        """Return the gateway (with its network's prefix) of the lab network that ``address`` is in."""
        for network in (self.cloud, self.local):
            if address in network:
                return ipaddress.IPv4Interface(f"{network.network_address + 1}/{network.prefixlen}")
        raise BadInput(
            f"address {address} is outside the lab's networks {self.cloud} (cloud) and {self.local} (local)",
            hint="choose an address inside one of them",
        )

    def bridge(self, address: ipaddress.IPv4Address) -> str:
        """Return the bridge inside the namespace that a host with ``address`` is plugged into."""
        return "br-cloud" if address in self.cloud else "br-local"


#: Inside the namespace, next to AWS's own metadata address: the emulated API (port 5000) and the mirror (port 80).
SERVICES = ipaddress.IPv4Address("169.254.169.250")
METADATA = ipaddress.IPv4Address("169.254.169.254")
EMULATOR_PORT = 5000


class Published(msgspec.Struct, frozen=True, order=True):
    """A port of a host that this machine's loopback has, too."""

    port: int
    here: int


#: Ports of lab hosts that this machine has on its loopback, by the role that answers there.
PUBLISHED = {"gateway": 443, "knowledge_base": 8443}


def ports_of(roles: Iterable[str]) -> tuple[int, ...]:
    """Return the ports of a host with these roles that are published."""
    return tuple(sorted(PUBLISHED[it] for it in PUBLISHED.keys() & set(roles)))


class HostSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One host that should exist. ``gpus`` is the number of (fake) GPUs that its `nvidia-smi` answers for."""

    name: str
    address: str  # IPv4, dotted
    user: str = "ops"
    gpus: int = 0
    kind: Kind = "nspawn"
    instance_id: str = ""  # set for emulated EC2 instances: their first boot is cloud-init's
    disks: tuple[str, ...] = ()  # serial numbers of the NVMe disks (qemu only), by which /dev/disk/by-id names them
    disk_mib: int = 768  # the size of each
    published: tuple[Published, ...] = ()

    @property
    def ip(self) -> ipaddress.IPv4Address:
        """The address as an object."""
        return ipaddress.IPv4Address(self.address)

    def check(self) -> HostSpec:
        """Return itself, or raise BadInput with what is wrong."""
        if not NAME.fullmatch(self.name):
            raise BadInput(
                f"host name {self.name!r} is not a valid name", hint="lower-case letters, digits and hyphens"
            )
        if not 0 <= self.gpus <= 16:
            raise BadInput(f"host {self.name}: {self.gpus} GPUs", hint="0 to 16")
        if self.kind == "nspawn" and self.disks:
            raise BadInput(f"host {self.name} is a container and has no disks", hint="a qemu host has: --kind qemu")
        if self.kind == "qemu" and (self.gpus or self.instance_id):
            raise BadInput(f"host {self.name} is a virtual machine: GPUs are played by containers only")
        if len(set(self.disks)) != len(self.disks) or not all(SERIAL.fullmatch(disk) for disk in self.disks):
            raise BadInput(
                f"host {self.name}: disks {', '.join(self.disks)}",
                hint="each serial once: 1 to 20 letters, digits and hyphens",
            )
        if not 16 <= self.disk_mib <= 65536 or len(self.disks) > MAX_DISKS:
            raise BadInput(
                f"host {self.name}: {len(self.disks)} disks of {self.disk_mib} MiB",
                hint=f"at most {MAX_DISKS}, of 16 to 65536 MiB",
            )
        return self


class Actual(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a host that was started: its process, and how often it died on us."""

    spec: HostSpec
    alive: bool
    deaths: int = 0
    stopped: bool = False  # it powered itself off: stays off until asked for again


class LabPlan(msgspec.Struct, frozen=True):
    """What to do to get from what is to what should be. Removals come first: addresses are reused."""

    remove: tuple[str, ...] = ()
    start: tuple[HostSpec, ...] = ()


#: A host that dies (not: powers off) this many times in a row is left dead, for somebody to look at.
MAX_DEATHS = 5


def reconcile(desired: Iterable[HostSpec], actual: Mapping[str, Actual]) -> LabPlan:
    """Compare hosts that should run with those that do. A changed host is removed in this round, started in the next.

    The first of two desired hosts with one address wins; the second waits until the address is free.
    """
    wanted: dict[str, HostSpec] = {}
    addresses: set[str] = set()
    for spec in desired:
        if spec.name not in wanted and spec.address not in addresses:
            wanted[spec.name] = spec
            addresses.add(spec.address)
    remove = tuple(name for name, host in actual.items() if wanted.get(name) != host.spec)
    kept = {host.spec.address for name, host in actual.items() if name not in remove}
    start = []
    for name, spec in wanted.items():
        host = actual.get(name)
        if host is None:
            if spec.address not in kept:
                start.append(spec)
        elif name not in remove and not host.alive and not host.stopped and host.deaths < MAX_DEATHS:
            start.append(spec)
    return LabPlan(remove=remove, start=tuple(start))
