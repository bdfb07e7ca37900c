"""The operator's side of the lab: bring it up, take it down, add and remove hosts, look at it."""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from dualtrack import proc, ssh
from dualtrack.errors import BadInput, External, Missing, Refused
from dualtrack.files import write_atomically
from dualtrack.lab import cgroup, network, nspawn, rootfs, vm
from dualtrack.lab.model import EMULATOR_PORT, SERVICES, HostSpec, Kind
from dualtrack.lab.state import HostState, Record, Store
from dualtrack.mirror import repository
from dualtrack.paths import LAB, cache_dir
from dualtrack.proc import last_line, run

Say = Callable[[str], None]


def quiet(_: str) -> None:
    """Say nothing."""


class Host(msgspec.Struct, frozen=True):
    """One lab host, as `dualtrack lab status --json` prints it."""

    name: str
    address: str
    user: str
    kind: str
    gpus: int
    instance_id: str
    state: str  # running, stopped (powered itself off), failed (died too often)
    ssh_config: str


class Status(msgspec.Struct, frozen=True):
    """The lab, as `dualtrack lab status --json` prints it. `aws_endpoint` is '' while the lab is down."""

    up: bool
    aws_endpoint: str
    aws_endpoint_inside: str  # the same API as the hosts reach it
    namespace: str
    pid: int
    hosts: tuple[Host, ...]


def store() -> Store:
    """Return the lab of this checkout."""
    return Store(LAB)


@contextlib.contextmanager
def exclusively(lab: Store, *, wait_s: float = 120) -> Iterator[None]:
    """Hold the lab's lock: one `up` or `down` at a time, the next one waits (the two tracks come up side by side)."""
    lab.folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + wait_s
    with (lab.folder / "lock").open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Refused(
                        f"another lab command has been at work in {lab.folder} for {wait_s:.0f} s",
                        hint="wait for it to end",
                    ) from None
            proc.pause(0.2)
        yield


def require_root() -> None:
    """Raise Missing unless this process may make namespaces and mounts."""
    if os.geteuid() != 0:
        raise Missing("the lab needs root: it makes namespaces, mounts and hosts", hint="run as root, e.g. with sudo")


def alive(lab: Store) -> Record | None:
    """Return the record of the running supervisor whose emulator answers, None when the lab is not (wholly) up."""
    record = lab.record()
    group = cgroup.hierarchy() / lab.layout.cgroup / "supervisor"
    if record is None or not network.exists(lab.layout) or not cgroup.populated(group):
        return None
    if str(record.pid) not in (group / "cgroup.procs").read_text().split():
        return None
    return record if answers(record.port) else None


def answers(port: int) -> bool:
    """Tell whether something listens on a loopback port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def up(say: Say = quiet) -> Status:
    """Bring the lab up, or repair it; nothing happens when it is up. Returns its status.

    Whatever a crash left over (processes, namespace, firewall table) is removed first. Declared hosts come back with
    their disks; emulated instances do not, since the emulator keeps nothing.
    """
    require_root()
    lab = store()
    with exclusively(lab):
        if alive(lab):
            return status()
        image = rootfs.build(say)
        mirror = repository.build(cache_dir() / "mirror", say, lab=lab.folder)
        sweep(lab)
        say("making the network")
        network.up(lab.layout)
        lab.public_key()
        port = choose_port(lab)
        say("starting the emulated AWS")
        log = lab.folder / "logs/labd.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as sink:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "dualtrack.lab.daemon",
                    str(lab.folder),
                    str(port),
                    str(image),
                    str(mirror.apt.parent),
                ],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd="/",
            )
        wait_for(lambda: alive(lab) is not None, 60, process, log)
    return status()


def choose_port(lab: Store) -> int:
    """Return the loopback port for the emulated API: the one used before where it is free."""
    with contextlib.suppress(OSError, ValueError):
        port = int(lab.port_file.read_text())
        with socket.create_server(("127.0.0.1", port)):
            return port
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    write_atomically(lab.port_file, f"{port}\n".encode())
    return port


def wait_for(ready: Callable[[], bool], seconds: float, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until ``ready``; External with the log's last line when the process ends or time runs out."""
    deadline = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise External(
                f"the lab did not start: {last_line(log.read_text(errors='replace'))}", hint=f"all of it: {log}"
            )
        proc.pause(0.1)


def sweep(lab: Store) -> None:
    """Remove every process, mount, namespace and firewall rule that belongs to this checkout's lab."""
    cgroup.remove(cgroup.hierarchy() / lab.layout.cgroup)  # mounts live in the processes' own namespaces and go along
    network.down(lab.layout)
    lab.record_file.unlink(missing_ok=True)


def down(say: Say = quiet) -> None:
    """Take the lab down and delete its hosts' disks. Keys, logs and caches stay."""
    require_root()
    lab = store()
    with exclusively(lab):
        say("removing hosts, network and emulated AWS")
        sweep(lab)
        lab.clear()


def status() -> Status:
    """Return what the lab is doing, also when it is down."""
    lab = store()
    record = alive(lab)
    if record is None:
        return Status(False, "", "", lab.layout.namespace, 0, ())
    return Status(
        True, f"http://127.0.0.1:{record.port}", f"http://{SERVICES}:{EMULATOR_PORT}", lab.layout.namespace, record.pid,
        tuple(describe(lab, host) for host in record.hosts),
    )  # fmt: skip


def describe(lab: Store, host: HostState) -> Host:
    """Return a host as it is printed."""
    s = host.spec
    return Host(s.name, str(s.address), s.user, s.kind, s.gpus, s.instance_id, host.state, str(lab.ssh_config))


def endpoint() -> str:
    """Return the emulated API's URL on loopback; External while the lab is down."""
    now = status()
    if not now.up:
        raise External("the lab is not up", hint="dualtrack lab up")
    return now.aws_endpoint


#: How long a host may take until it takes ssh, in seconds. Emulated machines have been seen to take a minute.
BOOT_S: dict[str, float] = {"nspawn": 60, "qemu": 400}


def add_host(
    name: str, *, address: str = "", gpus: int = 0, user: str = "ops", kind: Kind = "nspawn",
    disks: Sequence[str] = (), disk_mib: int = 768, say: Say = quiet,
) -> Host:  # fmt: skip
    """Declare a server of the local track's kind and wait until it takes ssh. Adding it again changes nothing.

    ``disks`` are the serial numbers of a virtual machine's NVMe disks, ``disk_mib`` the size of each.
    """
    lab = store()
    if alive(lab) is None:
        raise External("the lab is not up", hint="dualtrack lab up")
    others = {spec.name: spec for spec in lab.desired()}
    before = others.pop(name, None)
    where = parse_address(address) if address else before.ip if before else free_address(lab)
    spec = HostSpec(
        name=name, address=str(where), user=user, gpus=gpus, kind=kind, disks=tuple(disks), disk_mib=disk_mib
    ).check()
    lab.layout.gateway(where)
    for other in (
        *others.values(),
        *(host.spec for host in (lab.record() or Record(0, 0)).hosts if host.spec.name != name),
    ):
        if other.ip == where:
            raise BadInput(f"address {where} is taken by {other.name}", hint="choose another, or leave it out")
    if kind == "qemu":
        vm.ensure(say)
        spec = with_new_disks(lab, before, spec)
    lab.declare(spec)
    say(f"waiting until {name} has booted")
    return wait_host(lab, spec)


def with_new_disks(lab: Store, before: HostSpec | None, wanted: HostSpec) -> HostSpec:
    """Put disks that a machine has not had yet into it, as it runs; return the declaration that stands.

    What else differs would take a new machine, and with the old one go its disks: Refused.
    """
    folder = lab.host_folder(wanted.name)
    if before is None or not (folder / "machine.json").exists():
        return wanted
    if msgspec.structs.replace(wanted, disks=before.disks, disk_mib=before.disk_mib) != before:
        raise Refused(
            f"{wanted.name} is there and is declared otherwise: changed, it would lose its disks",
            hint=f"if that is meant: dualtrack lab host remove {wanted.name}",
        )
    known = {disk.serial for disk in vm.machine(folder).disks}
    for serial in wanted.disks:
        if serial not in known:
            vm.insert(folder, serial, blank_mib=wanted.disk_mib)
    return before


def wait_host(lab: Store, spec: HostSpec) -> Host:
    """Wait until the supervisor runs exactly ``spec`` and its ssh daemon answers."""
    seconds = BOOT_S[spec.kind]
    deadline = time.monotonic() + seconds
    while True:
        found = next((host for host in (lab.record() or Record(0, 0)).hosts if host.spec == spec), None)
        if found is not None and found.state == "running" and lets_in(lab, spec):
            return describe(lab, found)
        if found is not None and found.state == "failed":
            raise External(f"host {spec.name} does not stay up", hint=f"its console: {lab.host_log(spec.name)}")
        if alive(lab) is None:
            raise External("the lab went down", hint=f"see {lab.folder}/logs/labd.log, then dualtrack lab up")
        if time.monotonic() > deadline:
            raise External(
                f"host {spec.name} does not answer ssh after {seconds:.0f} s",
                hint=f"its console: {lab.host_log(spec.name)}",
            )
        proc.pause(0.2)


def lets_in(lab: Store, spec: HostSpec) -> bool:
    """Tell whether a host takes ssh. While a machine boots, its daemon greets long before it lets anybody in."""
    if not ssh.answers(str(spec.address), proxy=proxy(lab, spec)):
        return False
    if spec.kind == "nspawn":
        return True
    words = ["ssh", "-F", str(lab.ssh_config), "-o", "BatchMode=yes", spec.name, "true"]
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0


def proxy(lab: Store, spec: HostSpec) -> str:
    """Return the proxy command that leads to one host's ssh port."""
    return lab.proxy_command().replace("%h", str(spec.address)).replace("%p", "22")


def remove_host(name: str, *, wait_s: float = 30) -> bool:
    """Take a declared host down and delete its disk; False when there is no such host."""
    lab = store()
    if not lab.retract(name):
        if any(host.name == name and host.instance_id for host in status().hosts):
            raise Refused(
                f"{name} is an emulated EC2 instance",
                hint="terminate it through the AWS API: dualtrack lab status names the endpoint",
            )
        return False
    deadline = time.monotonic() + wait_s
    while alive(lab) and any(host.name == name for host in status().hosts):
        if time.monotonic() > deadline:
            raise External(f"host {name} is still there after {wait_s:.0f} s", hint=f"see {lab.folder}/logs/labd.log")
        proc.pause(0.1)
    lab.retire_trail(name)
    return True


def parse_address(text: str) -> ipaddress.IPv4Address:
    """Return an IPv4 address; BadInput with the text when it is none."""
    try:
        return ipaddress.IPv4Address(text)
    except ValueError:
        raise BadInput(f"{text!r} is not an IPv4 address") from None


def free_address(lab: Store) -> ipaddress.IPv4Address:
    """Return an address of 10.30.100.0/24 (for hosts that nobody gave one) that no host has."""
    taken = {spec.ip for spec in lab.desired()}
    for number in range(10, 250):
        address = lab.layout.local.network_address + 100 * 256 + number
        if address not in taken:
            return address
    raise External("no free address for another host", hint="dualtrack lab status lists them")


def find(name: str) -> Host:
    """Return the host with this name, instance id or address."""
    hosts = status().hosts
    for host in hosts:
        if name in (host.name, host.instance_id, host.address):
            return host
    known = ", ".join(host.name for host in hosts) or "none"
    raise BadInput(f"no lab host is called {name!r}", hint=f"there are: {known}")


def ssh_command(name: str, command: Sequence[str] = ()) -> list[str]:
    """Return the ssh command line for a shell or a command on a host."""
    host = find(name)
    return ["ssh", "-F", host.ssh_config, host.name, *(["--", *command] if command else [])]


def init_of(host: Host) -> int:
    """Return the process id, outside, of a container's init."""
    if host.kind != "nspawn":
        raise BadInput(f"{host.name} is a virtual machine", hint="GPUs are played by containers only")
    return nspawn.inside(cgroup.hierarchy() / store().layout.cgroup / "hosts" / host.name)


def root_of(host: Host) -> Path:
    """Return a path outside that leads to the root folder of a running host."""
    return Path(f"/proc/{init_of(host)}/root")


def exec_command(name: str, command: Sequence[str]) -> list[str]:
    """Return the command line that runs ``command`` as root inside a host: into a container without ssh."""
    host = find(name)
    if host.kind == "qemu":
        return ssh_command(name, ["sudo", "--", shlex.join(command)])
    pid = init_of(host)
    return [
        "nsenter",
        "--target",
        str(pid),
        "--all",
        "--wdns=/",
        "--",
        "/usr/bin/env",
        "-i",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME=/root",
        "LANG=C.UTF-8",
        *command,
    ]


def leftovers() -> list[str]:
    """Return what of this checkout's lab is still on the machine, one line each; empty after a clean `down`."""
    lab = store()
    found = []
    if (cgroup.hierarchy() / lab.layout.cgroup).is_dir():
        found.append(f"control group {lab.layout.cgroup}")
    if network.exists(lab.layout):
        found.append(f"network namespace {lab.layout.namespace}")
    if run(["ip", "link", "show", f"dt{lab.layout.id}o"], check=False).returncode == 0:
        found.append(f"device dt{lab.layout.id}o")
    if run(["nft", "list", "table", "ip", f"dualtrack_{lab.layout.id}"], check=False).returncode == 0:
        found.append(f"firewall table dualtrack_{lab.layout.id}")
    found += [
        f"mount {line.split()[1]}" for line in Path("/proc/mounts").read_text().splitlines() if str(lab.folder) in line
    ]
    return found
