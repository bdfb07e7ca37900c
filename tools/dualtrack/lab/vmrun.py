"""The keeper of one virtual machine: starts QEMU, and starts it again when the machine reboots.

Ends with 0 when the machine powered itself off, with 1 when QEMU failed or the machine does nothing but reboot. QEMU
dies with it. Before each start kernel and initramfs are read out of the machine's own /boot, as a boot loader would.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import time
from pathlib import Path

from dualtrack.errors import DualtrackError, External
from dualtrack.lab import accel, qmp, vm
from dualtrack.proc import run

#: A machine that resets this often in a row, each time before it has run for a minute, will do so for ever.
MAX_RESETS = 5
MINUTE = 60.0

CMDLINE = "root=LABEL=root ro console=ttyS0 panic=10 mitigations=off net.ifnames=0 systemd.hostname={name}"


def main(folder: Path, log: Path) -> int:
    """Run the machine in ``folder`` until it powers off, and return the exit code."""
    quick = 0
    while True:
        begin = time.monotonic()
        if run_once(folder, log) != "guest-reset":
            return 0
        quick = quick + 1 if time.monotonic() - begin < MINUTE else 0
        if quick == MAX_RESETS:
            raise External(f"{folder.name} resets again and again", hint=f"its console: {log}")


def run_once(folder: Path, log: Path) -> str:
    """Run the machine until it stops, and return why: `guest-shutdown` or `guest-reset`; External when it died."""
    machine = vm.machine(folder)
    kernel, initrd = read_boot(folder)
    script = folder / "ifup.sh"
    script.write_text(f'#!/bin/sh\nip link set "$1" master {machine.bridge} up\n')
    script.chmod(0o755)
    watch = folder / "watch.sock"
    words = command(folder, machine, kernel, initrd, script, log)
    process = subprocess.Popen(words, cwd=folder, stdin=subprocess.DEVNULL)
    reason = ""
    try:
        while not qmp.listens(watch) and process.poll() is None:
            time.sleep(0.05)
        with contextlib.suppress(DualtrackError, OSError), qmp.Client(watch, timeout=None) as qemu:
            reason = str(qemu.wait("SHUTDOWN")["reason"])
        process.wait()
    finally:
        process.kill()
    if process.returncode != 0 or not reason.startswith("guest-"):
        raise External(f"QEMU ended with {process.returncode} ({reason or 'no reason given'})", hint=f"see {log}")
    return reason


def read_boot(folder: Path) -> tuple[Path, Path]:
    """Copy the newest kernel that has an initramfs out of the machine's /boot, and return where both lie now.

    Like a boot loader, debugfs reads the file system as it is, without replaying its journal.
    """
    disk = folder / "boot.img"
    listing = run(["debugfs", "-R", "ls -p /", disk]).stdout
    release = newest(re.findall(r"/([^/\n]+)/\d*/$", listing, re.MULTILINE))
    found = []
    for name in (f"vmlinuz-{release}", f"initrd.img-{release}"):
        target = folder / name.split("-")[0]
        run(["debugfs", "-R", f"dump /{name} {target}", disk])
        found.append(target)
    return found[0], found[1]


def newest(names: list[str]) -> str:
    """Return the release of the newest kernel among the files of /boot that has an initramfs beside it."""
    kernels = {name.removeprefix("vmlinuz-") for name in names if name.startswith("vmlinuz-")}
    whole = [release for release in kernels if f"initrd.img-{release}" in names]
    if not whole:
        raise External("no kernel with an initramfs in /boot", hint="the machine's boot disk is damaged")
    return max(whole, key=lambda release: [int(n) for n in re.findall(r"\d+", release)])


def command(folder: Path, machine: vm.Machine, kernel: Path, initrd: Path, ifup: Path, log: Path) -> list[str]:
    """Return the QEMU command line."""
    words = [
        # QEMU dies with its keeper, whatever ends that.
        "setpriv", "--pdeathsig", "KILL",
        "qemu-system-x86_64", "-name", machine.name, "-nodefaults", "-no-user-config", "-display", "none",
        "-machine", "pc", *accel.options(kernel), "-smp", str(machine.cpus), "-m", str(machine.memory_mib),
        "-kernel", str(kernel), "-initrd", str(initrd), "-append", CMDLINE.format(name=machine.name),
        "-chardev", f"file,id=console,path={log},append=on", "-serial", "chardev:console",
        "-object", "rng-random,id=entropy,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=entropy",
        "-drive", "file=root.qcow2,if=virtio,format=qcow2", "-drive", "file=boot.img,if=virtio,format=raw",
        "-netdev", f"tap,id=net,script={ifup},downscript=no", "-device", f"virtio-net-pci,netdev=net,mac={machine.mac}",
        # One socket takes one client: this one is the keeper's, the other the operator's commands'.
        "-qmp", "unix:watch.sock,server=on,wait=off", "-qmp", "unix:control.sock,server=on,wait=off",
        # A reset ends QEMU, so that the next start reads the kernel anew.
        "-no-reboot",
    ]  # fmt: skip
    for disk in machine.disks:
        if disk.present:
            (_, node), (_, device) = vm.attach(folder, disk)
            words += ["-blockdev", json.dumps(node), "-device", json.dumps(device)]
    return words


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
    except DualtrackError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
