"""QEMU's command line, as far as all starts of a machine have it in common.

A snapshot can only be restored by a command that gives QEMU the same devices in the same order as the one that made
it: both come from here.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

CMDLINE = "root=LABEL=root ro console=ttyS0 panic=10 mitigations=off net.ifnames=0"


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine is started with: memory and processors as the guest sees them, a kernel, its root disk.

    ``accelerator`` is what `accel.options` answers; ``console`` is the file that the serial console is appended to.
    """

    name: str
    cpus: int
    memory_mib: int
    accelerator: tuple[str, ...]
    kernel: Path
    initrd: Path
    cmdline: str
    root: Path
    console: Path


def command(start: Start) -> list[str]:
    """Return the command line of a machine that has nothing but its root disk; control sockets are in its directory."""
    return [
        # QEMU dies with its keeper, whatever ends that.
        "setpriv", "--pdeathsig", "KILL",
        "qemu-system-x86_64", "-name", start.name, "-nodefaults", "-no-user-config", "-display", "none",
        "-machine", "pc", *start.accelerator, "-smp", str(start.cpus), "-m", str(start.memory_mib),
        "-kernel", str(start.kernel), "-initrd", str(start.initrd), "-append", start.cmdline,
        "-chardev", f"file,id=console,path={start.console},append=on", "-serial", "chardev:console",
        "-object", "rng-random,id=entropy,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=entropy",
        "-drive", f"file={start.root},if=virtio,format=qcow2",
        # One socket takes one client: this one is the keeper's, the other the operator's commands'.
        "-qmp", "unix:watch.sock,server=on,wait=off", "-qmp", "unix:control.sock,server=on,wait=off",
        # A reset ends QEMU, so that the next start reads the kernel anew.
        "-no-reboot",
    ]  # fmt: skip


def boot_disk(path: Path) -> list[tuple[str, dict[str, object]]]:
    """Return QEMU's two commands that plug the disk of /boot in; at start they are options of the same content."""
    return [
        (
            "blockdev-add",
            {"driver": "raw", "node-name": "boot-file", "file": {"driver": "file", "filename": str(path)}},
        ),
        ("device_add", {"driver": "virtio-blk-pci", "id": "boot", "drive": "boot-file"}),
    ]


def network_card(ifup: Path, mac: str) -> list[tuple[str, dict[str, object]]]:
    """Return QEMU's two commands that plug the network card in; ``ifup`` connects its other end to a bridge."""
    return [
        ("netdev_add", {"type": "tap", "id": "net", "script": str(ifup), "downscript": "no"}),
        ("device_add", {"driver": "virtio-net-pci", "id": "card", "netdev": "net", "mac": mac}),
    ]
