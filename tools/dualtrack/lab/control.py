"""The operator's side of the lab: bring it up, take it down, add and remove hosts, look at it."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from dualtrack.core import aws, proc, waiting
from dualtrack.core.errors import BadInput, External, Missing, Refused
from dualtrack.core.files import lock, write_atomically
from dualtrack.core.paths import LAB, cache_dir
from dualtrack.core.proc import last_line
from dualtrack.data.mirror import repository
from dualtrack.lab import cgroup, credentials, life, network, nspawn, rootfs, vm
from dualtrack.lab.model import EMULATOR_PORT, SERVICES, HostSpec, Kind
from dualtrack.lab.state import HostState, Record, Store
from dualtrack.remote import host_keys

Say = Callable[[str], None]


def quiet(_: str) -> None:
    """Say nothing."""


class LabHost(msgspec.Struct, frozen=True, kw_only=True):
    """One lab host, as `dualtrack lab status --json` prints it."""

    name: str
    address: str
    user: str
    kind: str
    gpus: int
    instance_id: str
    state: str  # running, stopped (powered itself off), failed (died too often)
    ssh_config: str


class LabStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The lab, as `dualtrack lab status --json` prints it. What is said of AWS is '' while the lab is down."""

    up: bool
    aws_endpoint: str = ""
    aws_credentials_file: str = ""  # in the format of AWS's programs; for root
    aws_endpoint_inside: str = ""  # the same API as the hosts reach it
    namespace: str
    pid: int = 0
    hosts: tuple[LabHost, ...] = ()


def store() -> Store:
    """Return the lab of this checkout."""
    return Store(LAB)


@contextlib.contextmanager
def exclusively(lab: Store, *, stall: float = 120) -> Iterator[None]:
    """Hold the lab's lock: one `up` or `down` at a time, the next one waits (the two tracks come up side by side).

    Refused when the holder does nothing for ``stall`` seconds. The lock's file names it.
    """
    lab.folder.mkdir(parents=True, exist_ok=True)
    with (lab.folder / "lock").open("a+") as file:

        def holder() -> str:
            file.seek(0)
            return file.read().strip()

        try:
            waiting.until(
                lambda: lock(file.fileno(), wait=False), f"another lab command in {lab.folder}", stall=stall,
                limit=3600, last=holder, progress=lambda: proc.processor_seconds(int(holder().partition(" ")[0] or 0)),
            )  # fmt: skip
        except waiting.GaveUp as error:
            raise Refused(str(error), hint="wait for it to end, or end it") from None
        file.truncate(0)
        file.write(f"{os.getpid()} {' '.join(sys.argv)}\n")
        file.flush()
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


def up(say: Say = quiet) -> LabStatus:
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
        credentials.ensure(lab.credentials_file)
        port = choose_port(lab)
        say("starting the emulated AWS")
        log = lab.folder / "logs/labd.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as sink:
            process = subprocess.Popen(
                [sys.executable, "-m", "dualtrack.lab.daemon", str(lab.folder), str(port), str(image),
                 str(mirror.apt.parent)],
                stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True, cwd="/",
            )  # fmt: skip
        wait_for(lambda: alive(lab) is not None, process, log)
    return status()


def choose_port(lab: Store) -> int:
    """Return the loopback port for the emulated API: the one used before where it is free."""
    with contextlib.suppress(OSError, ValueError):
        port = int(lab.port_file.read_text())
        with socket.create_server(("127.0.0.1", port)):
            return port
    port = network.free_port()
    write_atomically(lab.port_file, f"{port}\n".encode())
    return port


def wait_for(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, *, stall: float = 60) -> None:
    """Wait until ``ready``; External with the log's last line when the process ends or makes no progress."""

    def said() -> str:
        return last_line(log.read_text(errors="replace"))

    def there() -> bool:
        if process.poll() is not None:
            raise External(f"the lab did not start: {said()}", hint=f"all of it: {log}")
        return ready()

    try:
        waiting.until(
            there, "the lab to start", stall=stall, interval=0.1, last=said, hint=f"all of it: {log}",
            progress=lambda: (life.size(log), proc.processor_seconds(process.pid)),
        )  # fmt: skip
    except waiting.GaveUp:
        process.kill()
        raise


def sweep(lab: Store) -> None:
    """Remove every process, mount, namespace and firewall rule that belongs to this checkout's lab.

    All of it is tried, also when some process survives being killed; External then names it at the end.
    """
    try:
        cgroup.remove(cgroup.hierarchy() / lab.layout.cgroup)  # mounts live in the processes' namespaces and go along
    finally:
        lab.disconnect()
        network.down(lab.layout)
        lab.record_file.unlink(missing_ok=True)


def down(say: Say = quiet) -> None:
    """Take the lab down and delete its hosts' disks. Keys, logs and caches stay."""
    require_root()
    lab = store()
    with exclusively(lab):
        say("removing hosts, network and emulated AWS")
        try:
            sweep(lab)
        finally:
            lab.clear()


def status() -> LabStatus:
    """Return what the lab is doing, also when it is down."""
    lab = store()
    record = alive(lab)
    if record is None:
        return LabStatus(up=False, namespace=lab.layout.namespace)
    return LabStatus(
        up=True,
        aws_endpoint=f"http://127.0.0.1:{record.port}",
        aws_credentials_file=str(lab.credentials_file.absolute()),
        aws_endpoint_inside=f"http://{SERVICES}:{EMULATOR_PORT}",
        namespace=lab.layout.namespace,
        pid=record.pid,
        hosts=tuple(describe(lab, host) for host in record.hosts),
    )


def describe(lab: Store, host: HostState) -> LabHost:
    """Return a host as it is printed."""
    s = host.spec
    return LabHost(
        name=s.name,
        address=str(s.address),
        user=s.user,
        kind=s.kind,
        gpus=s.gpus,
        instance_id=s.instance_id,
        state=host.state,
        ssh_config=str(lab.ssh_config),
    )


def endpoint() -> str:
    """Return the emulated API's URL on loopback, which this process then has credentials for.

    External while the lab is down.
    """
    now = status()
    if not now.up:
        raise External("the lab is not up", hint="dualtrack lab up")
    aws.sign_with(now.aws_endpoint, store().credentials_file)
    return now.aws_endpoint


#: How long a host may boot without a sign of life until it is given up, in seconds, and how long it may boot at all.
BOOT_STALL_S = 60.0
BOOT_S: dict[str, float] = {"nspawn": 900, "qemu": 2400}


def add_host(
    name: str, *, address: str = "", gpus: int = 0, user: str = "ops", kind: Kind = "nspawn",
    disks: Sequence[str] = (), disk_mib: int = 768, publish: Sequence[int] = (), say: Say = quiet,
) -> LabHost:  # fmt: skip
    """Declare a server of the local track's kind and wait until it takes ssh. Adding it again changes nothing.

    ``disks`` are the serial numbers of a virtual machine's NVMe disks, ``disk_mib`` the size of each. The ports to
    ``publish`` are on this machine's loopback, too, each under a number of its own that stays while the host does.
    """
    lab = store()
    if alive(lab) is None:
        raise External("the lab is not up", hint="dualtrack lab up")
    others = {spec.name: spec for spec in lab.desired()}
    before = others.pop(name, None)
    where = parse_address(address) if address else before.ip if before else free_address(lab)
    spec = HostSpec(
        name=name, address=str(where), user=user, gpus=gpus, kind=kind, disks=tuple(disks), disk_mib=disk_mib,
        published=network.published(before, publish),
    ).check()  # fmt: skip
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


def wait_host(lab: Store, spec: HostSpec) -> LabHost:
    """Wait until the supervisor runs exactly ``spec`` and its ssh daemon answers."""
    log = lab.folder / "logs/labd.log"

    def there() -> HostState | None:
        found = next((host for host in (lab.record() or Record(0, 0)).hosts if host.spec == spec), None)
        if found is not None and found.state == "running" and accepts_login(lab, spec):
            return found
        if found is not None and found.state == "failed":
            raise External(f"host {spec.name} does not stay up", hint=f"its console: {lab.host_log(spec.name)}")
        if alive(lab) is None:
            raise External("the lab went down", hint=f"see {log}, then dualtrack lab up")
        return None

    # Until its turn comes the supervisor starts others: its log is the progress then.
    found = waiting.until(
        there, f"host {spec.name} to answer ssh", stall=BOOT_STALL_S, limit=BOOT_S[spec.kind],
        progress=lambda: (life.signs(lab, spec.name), life.size(log)), last=lambda: life.last_words(lab, spec.name),
        hint=f"its console: {lab.host_log(spec.name)}",
    )  # fmt: skip
    assert found is not None  # noqa: S101 - for the type checker: what is returned is true
    return describe(lab, found)


def accepts_login(lab: Store, spec: HostSpec) -> bool:
    """Tell whether a host takes ssh. While a machine boots, its daemon greets long before it lets anybody in."""
    if not host_keys.answers(str(spec.address), proxy=proxy(lab, spec)):
        return False
    if spec.kind == "nspawn":
        return True
    words = ["ssh", "-F", str(lab.ssh_config), "-o", "BatchMode=yes", spec.name, "true"]
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0


def proxy(lab: Store, spec: HostSpec) -> str:
    """Return the proxy command that leads to one host's ssh port."""
    return lab.proxy_command().replace("%h", str(spec.address)).replace("%p", "22")


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


def find(name: str) -> LabHost:
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


def init_of(host: LabHost) -> int:
    """Return the process id, outside, of a container's init."""
    if host.kind != "nspawn":
        raise BadInput(f"{host.name} is a virtual machine", hint="GPUs are played by containers only")
    return nspawn.inside(cgroup.hierarchy() / store().layout.cgroup / "hosts" / host.name)


def root_of(host: LabHost) -> Path:
    """Return a path outside that leads to the root directory of a running host."""
    return Path(f"/proc/{init_of(host)}/root")


def exec_command(name: str, command: Sequence[str]) -> list[str]:
    """Return the command line that runs ``command`` as root inside a host: into a container without ssh."""
    host = find(name)
    if host.kind == "qemu":
        return ssh_command(name, ["sudo", "--", shlex.join(command)])
    pid = init_of(host)
    inside = ["nsenter", "--target", str(pid), "--all", "--wdns=/", "--"]
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return [*inside, "/usr/bin/env", "-i", path, "HOME=/root", "LANG=C.UTF-8", *command]
