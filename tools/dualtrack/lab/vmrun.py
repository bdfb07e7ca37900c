"""The keeper of one virtual machine: starts QEMU, and starts it again when the machine reboots.

Ends with 0 when the machine powered itself off, with 1 when QEMU failed or the machine does nothing but reboot. QEMU
dies with it. A new machine continues from a snapshot where there is one (vmsnapshot). Before each other start kernel
and initramfs are read out of the machine's own /boot, as a boot loader would.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import time
from pathlib import Path

from dualtrack.core.errors import DualtrackError, External
from dualtrack.core.proc import run
from dualtrack.lab import accel, kernel, qmp, vm, vmqemu, vmsnapshot
from dualtrack.lab.state import Store

#: A machine that resets this often in a row, each time before it has run for a minute, will do so for ever.
MAX_RESETS = 5
MINUTE = 60.0
#: Linux shares processors among sessions, not among processes (sched(7), autogroup): a machine is one session, each
#: service of a container another. With this nice value a machine counts as nine of them.
SESSION_NICE = -10


def main(folder: Path, log: Path) -> int:
    """Run the machine in ``folder`` until it powers off, and return the exit code."""
    with contextlib.suppress(OSError):  # a kernel without autogroup, or that does not let us
        Path("/proc/self/autogroup").write_text(str(SESSION_NICE))
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
    snapshot = vm.snapshot_of(folder)
    words = restored(folder, machine, snapshot, log) if snapshot else booting(folder, machine, log)
    process = subprocess.Popen(words, cwd=folder, stdin=subprocess.DEVNULL)
    watch = folder / "watch.sock"
    reason = ""
    try:
        while not qmp.listens(watch) and process.poll() is None:
            time.sleep(0.05)
        with contextlib.suppress(DualtrackError, OSError), qmp.Client(watch, timeout=None) as qemu:
            if snapshot:
                try:
                    go_on(qemu, folder, machine)
                except BaseException:
                    process.kill()  # it stands still, and would for ever
                    raise
            reason = str(qemu.wait("SHUTDOWN")["reason"])
        process.wait()
    finally:
        process.kill()
        Store(folder.parent.parent).disconnect(folder.name)
    if (folder / vm.RESTORE).exists():
        print(f"{folder.name} cannot continue from {snapshot}: it boots", file=sys.stderr)
        vm.boot_instead(folder)
        return run_once(folder, log)
    if process.returncode != 0 or not reason.startswith("guest-"):
        raise External(f"QEMU ended with {process.returncode} ({reason or 'no reason given'})", hint=f"see {log}")
    return reason


def restored(folder: Path, machine: vm.Machine, snapshot: Path, log: Path) -> list[str]:
    """Return the QEMU command line that loads a snapshot."""
    start = vmsnapshot.start_of(
        snapshot, cpus=machine.cpus, memory_mib=machine.memory_mib, root=folder / "root.qcow2", console=log
    )
    return [*vmqemu.command(start), *vmsnapshot.restore_options(snapshot)]


def go_on(qemu: qmp.Client, folder: Path, machine: vm.Machine) -> None:
    """Plug in what is the machine's own, as soon as the snapshot is loaded, and let it run."""
    while not qemu.loaded():
        time.sleep(0.02)
    for command, arguments in plugged(folder, machine):
        qemu.call(command, arguments)
    # From here on the root disk is no longer the snapshot's: were the power cut now, the machine would have to boot.
    (folder / vm.RESTORE).unlink()
    qemu.call("cont")


def plugged(folder: Path, machine: vm.Machine) -> list[tuple[str, dict[str, object]]]:
    """Return QEMU's commands that plug in all that differs between machines; the boot disk comes last.

    Its coming is what tells a restored machine that it may take its identity.
    """
    ifup = folder / "ifup.sh"
    ifup.write_text(f'#!/bin/sh\nip link set "$1" master {machine.bridge} up\n')
    ifup.chmod(0o755)
    disks = [command for disk in machine.disks if disk.present for command in vm.attach(folder, disk)]
    return [*vmqemu.network_card(ifup, machine.mac), *disks, *vmqemu.boot_disk(folder / "boot.img")]


def booting(folder: Path, machine: vm.Machine, log: Path) -> list[str]:
    """Return the QEMU command line that boots what is in the machine's /boot."""
    image, initrd = read_boot(folder)
    return command(folder, machine, image, initrd, log)


def command(folder: Path, machine: vm.Machine, image: Path, initrd: Path, log: Path) -> list[str]:
    """Return the QEMU command line that boots a kernel with an initramfs, all devices in their slots."""
    start = vmqemu.Start(
        name=machine.name, cpus=machine.cpus, memory_mib=machine.memory_mib, accelerator=tuple(accel.options(image)),
        kernel=kernel.startable(image), initrd=initrd, root=folder / "root.qcow2", console=log,
        cmdline=f"{vmqemu.CMDLINE} systemd.hostname={machine.name}",
    )  # fmt: skip
    options = {"blockdev-add": "-blockdev", "netdev_add": "-netdev", "device_add": "-device"}
    words = vmqemu.command(start)
    for name, arguments in plugged(folder, machine):
        words += [options[name], json.dumps(arguments)]
    return words


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


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
    except DualtrackError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
