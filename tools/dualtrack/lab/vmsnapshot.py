"""A machine that has booted, kept: new machines continue from there instead of booting, 5 to 8 times cheaper.

Only where machines are emulated, and only for the first start of a new one: it has nothing of its own yet. Every later
start is a boot from its own /boot. The snapshot has a root disk and no other device; a new machine gets its boot disk,
its network card and its data disks while it stands still, right after it was restored. The boot disk's coming starts
`lab-identity.service` inside, which takes name, address, keys, machine-id and the time from there.

`state` is QEMU's (memory and devices), `root.qcow2` the root disk as it was at that moment, `kernel` and `initrd` are
what QEMU was started with. What all restored machines share is the boot_id, and how long they have been up.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from dualtrack.core import proc, waiting
from dualtrack.core.errors import External, Missing
from dualtrack.core.files import locked
from dualtrack.core.paths import cache_dir
from dualtrack.core.proc import last_line, run
from dualtrack.lab import accel, kernel, qmp, vmimage, vmqemu
from dualtrack.lab.bootstrap import publish

#: What the guest says on its console when nothing but the snapshot is left to do.
READY = "lab-snapshot: ready"
#: A boot whose console and processor stand still for so long has failed; one takes 20 s where nothing else runs.
STILL_S = 120.0
LONGEST_S = 1800.0

#: Runs in the snapshot's only boot, from its boot disk (see vmimage.SEED).
SEED = """\
set -eu
mkdir -p /run/lab /run/systemd/system /run/udev/rules.d
cp /boot/seed/run/* /run/lab/
mv /run/lab/*.service /run/systemd/system/
mv /run/lab/*.rules /run/udev/rules.d/
udevadm control --reload
systemctl daemon-reload
systemctl --no-block start lab-snapshot.service
"""

#: Brings the booted machine to where a new one continues, and the boot disk out. Modules that a new machine needs for
#: its devices, and programs that its first login starts, are in memory then. A machine with a failed unit is taken as
#: well, and one that has not finished its boot is not.
LAST_STEPS = f"""\
set -eu
case $(systemctl is-system-running --wait) in running | degraded) ;; *) exit 1 ;; esac
modprobe --all virtio_net nvme
systemctl stop ssh.service systemd-networkd.socket systemd-networkd.service
systemctl reset-failed
python3 -c 'import json, subprocess, tempfile, zipfile'
sudo -n true
umount /boot
echo 'lab-snapshot: the boot disk may go' > /dev/ttyS0
while [ -e /dev/disk/by-label/boot ]; do sleep 0.2; done
udevadm settle
# A machine that loses its power before it has an identity makes one at its next boot.
: > /etc/machine-id
rm -f /var/lib/systemd/random-seed
sync
echo '{READY}' > /dev/ttyS0
"""
SNAPSHOT_UNIT = """\
[Unit]
Description=Bring this machine to where new ones continue
DefaultDependencies=no

[Service]
ExecStart=/bin/sh /run/lab/last-steps.sh
StandardOutput=journal+console
StandardError=journal+console
"""

#: How a restored machine becomes one of its own. /run is empty again after its next boot, and with it all of this.
RULE = """\
ACTION=="add", SUBSYSTEM=="block", ENV{ID_FS_LABEL}=="boot", TAG+="systemd", ENV{SYSTEMD_WANTS}+="lab-identity.service"
"""
IDENTITY_UNIT = """\
[Unit]
Description=Take this machine's identity from its boot disk
DefaultDependencies=no
RequiresMountsFor=/boot

[Service]
Type=oneshot
ExecStart=/bin/sh /run/lab/identity.sh
StandardError=journal+console
"""
#: The clock first: a key from before its own making would not be taken. Restored machines have the same random numbers
#: before them until the kernel is given others: perl is there everywhere and starts fast (0x5207 is RNDRESEEDCRNG).
IDENTITY = """\
set -eu
date --set "@$(cat /sys/class/rtc/rtc0/since_epoch)" >/dev/null
cat /boot/seed/entropy > /dev/urandom
perl -e 'open(R, ">", "/dev/urandom") and ioctl(R, 0x5207, 0) or die "the kernel takes no new random numbers: $!"'
cat /boot/seed/machine-id > /etc/machine-id
sh /boot/seed/first-boot.sh
hostname "$(cat /etc/hostname)"
systemctl restart systemd-journald.service
for journal in /var/log/journal/*; do
    [ "${journal##*/}" = "$(cat /etc/machine-id)" ] || rm -r "$journal"
done
systemctl start systemd-networkd.service ssh.service
"""
FILES = {
    "last-steps.sh": LAST_STEPS, "lab-snapshot.service": SNAPSHOT_UNIT,
    "80-lab-identity.rules": RULE, "lab-identity.service": IDENTITY_UNIT, "identity.sh": IDENTITY,
}  # fmt: skip


def key(accelerator: tuple[str, ...], *, cpus: int, memory_mib: int) -> str:
    """Return the digest of everything that the snapshot is made from, QEMU and its options included."""
    version = run(["qemu-system-x86_64", "--version"]).stdout
    without_paths = vmqemu.Start(
        name="", cpus=cpus, memory_mib=memory_mib, accelerator=accelerator, kernel=Path("k"), initrd=Path("i"),
        cmdline=vmqemu.CMDLINE, root=Path("r"), console=Path("c"),
    )  # fmt: skip
    parts = (version, vmimage.key(), SEED, *FILES.values(), *vmqemu.command(without_paths))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def path(*, cpus: int, memory_mib: int) -> Path | None:
    """Return where the snapshot for machines of this size lies, made or not; None where they run by KVM."""
    accelerator = tuple(accel.options(_boot_file("vmlinuz")))
    if "kvm" in accelerator:
        return None
    return cache_dir() / "vm" / f"booted-{key(accelerator, cpus=cpus, memory_mib=memory_mib)}"


def build(say: Callable[[str], None] = lambda _: None, *, cpus: int, memory_mib: int) -> Path | None:
    """Make the snapshot unless it is there, telling ``say`` the progress; return its directory, or None as `path` does.

    The image must have been built. Raises External when the machine does not come up; nothing half made is ever found
    under `path`.
    """
    target = path(cpus=cpus, memory_mib=memory_mib)
    if target is None or target.is_dir():
        return target
    with locked(target), tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as scratch:
        if target.is_dir():  # another checkout has just made it
            return target
        say("booting a machine to continue from")
        made = Path(scratch, "made")
        made.mkdir()
        os.link(kernel.startable(_boot_file("vmlinuz")), made / "kernel")
        os.link(_boot_file("initrd.img"), made / "initrd")
        new_root(made / "root.qcow2", vmimage.path() / "root.img", "raw")
        start = vmqemu.Start(
            name="snapshot", cpus=cpus, memory_mib=memory_mib, accelerator=tuple(accel.options(made / "kernel")),
            kernel=made / "kernel", initrd=made / "initrd", cmdline=vmqemu.CMDLINE, root=made / "root.qcow2",
            console=target.with_suffix(".log"),
        )  # fmt: skip
        _boot_and_save(Path(scratch), start, made / "state", say)
        publish(made, target)
    return target


def new_root(disk: Path, below: Path, kind: str) -> None:
    """Make a root disk that is an empty layer above ``below``, a file of ``kind`` (raw, qcow2)."""
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", kind, "-b", below, disk])


def start_of(snapshot: Path, *, cpus: int, memory_mib: int, root: Path, console: Path) -> vmqemu.Start:
    """Return how a machine with the disk ``root`` continues from ``snapshot``."""
    return vmqemu.Start(
        name="snapshot", cpus=cpus, memory_mib=memory_mib, accelerator=tuple(accel.options(snapshot / "kernel")),
        kernel=snapshot / "kernel", initrd=snapshot / "initrd", cmdline=vmqemu.CMDLINE, root=root, console=console,
    )  # fmt: skip


def restore_options(snapshot: Path) -> list[str]:
    """Return QEMU's options that load the state; the machine stands still afterwards, until it is told to continue."""
    return ["-S", "-incoming", f"exec:cat {shlex.quote(str(snapshot / 'state'))}"]


def _boot_file(kind: str) -> Path:
    found = next((vmimage.path() / "boot").glob(f"{kind}-*"), None)
    if found is None:
        raise Missing("the image for virtual machines is not built", hint="make setup builds it")
    return found


def _boot_and_save(scratch: Path, start: vmqemu.Start, state: Path, say: Callable[[str], None]) -> None:
    """Boot the machine, and save its state when it says that it is ready."""
    seed = scratch / "boot" / "seed"
    (seed / "run").mkdir(parents=True)
    for name, text in FILES.items():
        (seed / "run" / name).write_text(text)
    (seed / "first-boot.sh").write_text(SEED)
    disk = scratch / "boot.img"
    run(["mke2fs", "-q", "-t", "ext4", "-L", "boot", "-d", scratch / "boot", disk, "16M"])
    (_, node), (_, device) = vmqemu.boot_disk(disk)
    start.console.write_bytes(b"")
    words = [*vmqemu.command(start), "-blockdev", json.dumps(node), "-device", json.dumps(device)]
    with start.console.open("ab") as log:
        process = subprocess.Popen(words, cwd=scratch, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    with proc.tracked(process):
        try:
            _await(process, start.console, "the boot disk may go")
            with qmp.Client(scratch / "control.sock", timeout=300) as qemu:
                qemu.call("device_del", {"id": "boot"})
                qemu.wait("DEVICE_DELETED", "boot")
                qemu.call("blockdev-del", {"node-name": "boot-file"})
                _await(process, start.console, READY)
                say("saving its state")
                qemu.call("stop")
                qemu.save(state)
                qemu.call("quit")
            process.wait(timeout=60)
        finally:
            process.kill()
            process.wait()


def _await(process: subprocess.Popen[bytes], console: Path, text: str) -> None:
    """Wait until the console shows ``text``, as long as the console grows or the machine works."""

    def said() -> str:
        return console.read_text(errors="replace")

    def shown() -> bool:
        if text in said():
            return True
        if process.poll() is not None:
            raise External(f"QEMU ended with {process.returncode}: {last_line(said())}", hint=f"all of it: {console}")
        return False

    waiting.until(
        shown, f"the machine to continue from to say '{text}'", stall=STILL_S, limit=LONGEST_S,
        progress=lambda: (console.stat().st_size, _processor_seconds(process.pid)), last=lambda: last_line(said()),
        hint=f"all of it: {console}",
    )  # fmt: skip


def _processor_seconds(pid: int) -> int:
    """Return the processor time that a process has used, in seconds; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return (int(fields[11]) + int(fields[12])) // os.sysconf("SC_CLK_TCK")
