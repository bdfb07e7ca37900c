"""One lab host as a virtual machine: its disks before the first boot, and the command that runs it.

In the host's directory: `root.qcow2`, a layer above the image's root file system; `boot.img`, a file system of its own
for /boot; `<serial>.nvme` for each data disk, sparse; `machine.json`, how it is put together; `control.sock`, QEMU's.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import msgspec

from dualtrack.core.errors import BadInput, Missing
from dualtrack.core.files import locked, read, write_atomically
from dualtrack.core.paths import cache_dir
from dualtrack.core.proc import run
from dualtrack.lab import cgroup, identity, qmp, vmimage, vmsnapshot
from dualtrack.lab.model import HostSpec, Layout
from dualtrack.lab.state import Store

#: Runs once, from the boot disk, before the network comes up.
FIRST_BOOT = """\
set -eu
cp -r --remove-destination --preserve=mode /boot/seed/files/. /
id -u {user} >/dev/null 2>&1 || useradd --shell /bin/bash {user}
chown -R {user}: /home/{user}
sync
rm -rf /boot/seed
"""

#: The memory and processors of all machines: they are alike, so that one snapshot serves all. With two processors
#: an emulated one takes a third more time for the same work (114 and 84 s): what is atomic costs more to emulate then.
CPUS = 1
MEMORY_MIB = 1536


#: In a machine's directory, until its first start: those of the snapshot that it continues from, and of the image.
RESTORE = "restore"


class Disk(msgspec.Struct, frozen=True):
    """One NVMe disk: its serial number, and whether it is in its slot."""

    serial: str
    present: bool = True

    @property
    def file(self) -> str:
        """The name of the file that holds its content, in the machine's directory."""
        return f"{self.serial}.nvme"

    @property
    def device(self) -> str:
        """QEMU's name for the device."""
        return f"disk-{self.serial}"


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """How a machine is put together. Changes when a disk is pulled or inserted, and outlives the power."""

    name: str
    bridge: str
    mac: str
    disks: tuple[Disk, ...] = ()
    memory_mib: int = MEMORY_MIB
    cpus: int = CPUS


def ensure(say: Callable[[str], None] = lambda _: None) -> None:
    """Build what new machines are made from, unless it is there: the image, and the snapshot of it booted."""
    vmimage.build(say)
    vmsnapshot.build(say, cpus=CPUS, memory_mib=MEMORY_MIB)


def machine(folder: Path) -> Machine:
    """Return the machine that lies in ``folder``."""
    found = read(folder / "machine.json", Machine)
    if found is None:
        raise BadInput(
            f"{folder.name} is not a virtual machine", hint="dualtrack lab status shows the kind of each host"
        )
    return found


def prepare(folder: Path, spec: HostSpec, lab: Store) -> None:
    """Make the machine's disks and its identity. An existing machine is left alone (a restart)."""
    if (folder / "prepared").exists():
        return
    image = vmimage.path()
    if not image.is_dir():
        raise Missing("the image for virtual machines is not built", hint="make setup builds it")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_atomically(
        folder / "machine.json",
        msgspec.json.encode(
            Machine(
                name=spec.name,
                bridge=lab.layout.bridge(spec.ip),
                mac=mac(lab.layout, spec.name),
                disks=tuple(Disk(s) for s in spec.disks),
            )
        ),
    )
    for serial in spec.disks:
        blank(folder / Disk(serial).file, spec.disk_mib)
    files = folder / "identity"
    identity.lay(files, spec, lab.layout, lab.public_key(), nic="Type=ether")
    boot_files = folder / "boot"
    shutil.copytree(image / "boot", boot_files, symlinks=True)
    shutil.copytree(files, boot_files / "seed/files")
    (boot_files / "seed/first-boot.sh").write_text(FIRST_BOOT.format(user=spec.user))
    (boot_files / "seed/machine-id").write_text(f"{uuid.uuid4().hex}\n")
    (boot_files / "seed/entropy").write_bytes(os.urandom(256))
    run(["mke2fs", "-q", "-t", "ext4", "-L", "boot", "-d", boot_files, folder / "boot.img", "256M"])
    shutil.rmtree(boot_files)
    snapshot = vmsnapshot.path(cpus=CPUS, memory_mib=MEMORY_MIB)
    if snapshot is not None and snapshot.is_dir():
        vmsnapshot.new_root(folder / "root.qcow2", snapshot / "root.qcow2", "qcow2")
        (folder / RESTORE).write_text(f"{snapshot}\n{image}\n")
    else:
        vmsnapshot.new_root(folder / "root.qcow2", image / "root.img", "raw")
    (folder / "prepared").touch()


def snapshot_of(folder: Path) -> Path | None:
    """Return the directory of the snapshot that the machine has yet to continue from; None for every later start."""
    try:
        return Path((folder / RESTORE).read_text().splitlines()[0])
    except FileNotFoundError:
        return None


def boot_instead(folder: Path) -> None:
    """Let a machine that did not continue from its snapshot boot: its root disk is made anew, from the image."""
    image = Path((folder / RESTORE).read_text().splitlines()[1])
    vmsnapshot.new_root(folder / "root.qcow2", image / "root.img", "raw")
    (folder / RESTORE).unlink()


def mac(layout: Layout, name: str) -> str:
    """Return the machine's hardware address: of the locally administered kind, the same at every start."""
    digest = hashlib.sha256(f"{layout.id}/{name}".encode()).hexdigest()
    return "52:54:00:" + ":".join(digest[i : i + 2] for i in (0, 2, 4))


def blank(path: Path, size_mib: int) -> None:
    """Make an empty disk: a file that takes no room until it is written to."""
    with path.open("wb") as file:
        file.truncate(size_mib << 20)


def boot(folder: Path, spec: HostSpec, layout: Layout, image: Path, log: Path) -> subprocess.Popen[bytes]:  # noqa: ARG001
    """Start the machine and return its keeper (vmrun), which ends when it powers off and dies with its parent."""
    command = [
        "ip", "netns", "exec", layout.namespace,
        "setpriv", "--pdeathsig", "KILL",
        # A host's processes get an environment without our own variables; the keeper needs what moves the caches.
        "env", f"DUALTRACK_CACHE={cache_dir()}", f"DUALTRACK_VM_ACCEL={os.environ.get('DUALTRACK_VM_ACCEL', '')}",
        sys.executable, "-m", "dualtrack.lab.vmrun", str(folder), str(log),
    ]  # fmt: skip
    return cgroup.launch(command, cgroup.hierarchy() / layout.cgroup / "hosts" / spec.name, log)


def public_key(folder: Path) -> str:
    """Return the host's public ssh key."""
    return identity.host_key(folder / "identity").with_suffix(".pub").read_text()


def pull(folder: Path, serial: str) -> None:
    """Take a disk out of a machine, running or not; what is on it stays on it."""
    _change(folder, serial, present=False)


def insert(folder: Path, serial: str, *, blank_mib: int = 0) -> None:
    """Put a disk back, or with ``blank_mib`` a new one of that size under a serial that the machine has not seen."""
    now = machine(folder)
    if blank_mib:
        if any(disk.serial == serial for disk in now.disks):
            raise BadInput(f"{folder.name} has had a disk {serial}", hint="a new disk has a new serial number")
        blank(folder / Disk(serial).file, blank_mib)
        _write(folder, msgspec.structs.replace(now, disks=(*now.disks, Disk(serial, present=False))))
    _change(folder, serial, present=True)


def _change(folder: Path, serial: str, *, present: bool) -> None:
    with locked(folder / "machine.json"):
        now = machine(folder)
        found = next((disk for disk in now.disks if disk.serial == serial), None)
        if found is None:
            known = ", ".join(disk.serial for disk in now.disks) or "none"
            raise BadInput(f"{folder.name} has no disk {serial}", hint=f"there are: {known}")
        if found.present == present:
            return
        if qmp.listens(folder / "control.sock"):
            with qmp.Client(folder / "control.sock") as qemu:
                if present:
                    for command, arguments in attach(folder, found):
                        qemu.call(command, arguments)
                else:
                    qemu.call("device_del", {"id": found.device})
                    qemu.wait("DEVICE_DELETED", found.device)
                    qemu.call("blockdev-del", {"node-name": f"{found.device}-file"})
        disks = tuple(msgspec.structs.replace(d, present=present) if d is found else d for d in now.disks)
        _write(folder, msgspec.structs.replace(now, disks=disks))


def _write(folder: Path, now: Machine) -> None:
    write_atomically(folder / "machine.json", msgspec.json.encode(now))


def attach(folder: Path, disk: Disk) -> list[tuple[str, dict[str, object]]]:
    """Return QEMU's two commands that put a disk into its slot; at start they are options of the same content."""
    node = f"{disk.device}-file"
    return [
        (
            "blockdev-add",
            {"driver": "raw", "node-name": node, "discard": "unmap",
             "file": {"driver": "file", "filename": str(folder / disk.file), "discard": "unmap"}},
        ),
        ("device_add", {"driver": "nvme", "id": disk.device, "drive": node, "serial": disk.serial}),
    ]  # fmt: skip
