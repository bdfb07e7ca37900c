"""One lab host as a systemd-nspawn machine: its files before the first boot, and the command that boots it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

from dualtrack.core.errors import External
from dualtrack.core.files import write_atomically
from dualtrack.lab import cgroup, gpu, identity
from dualtrack.lab.model import HostSpec, Layout
from dualtrack.lab.state import Store

#: Runs in a mount namespace of its own, so that the overlay vanishes with the host however the host ends.
#: systemd in the machine needs cgroup2 alone; on a hybrid machine the v1 hierarchies would be in its way.
BOOT = r"""
set -eu
root=$1 lower=$2 upper=$3 work=$4 user=$5
shift 5
! grep -q ' /sys/fs/cgroup ' /proc/mounts || umount -R /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$upper,workdir=$work" "$root"
if [ -n "$user" ] && ! chroot "$root" id -u "$user" >/dev/null 2>&1; then
    chroot "$root" useradd --create-home --shell /bin/bash "$user"
    chroot "$root" chown -R "$user:" "/home/$user"
fi
exec "$@"
"""


#: Where containers see what they share, below their root.
SHARED = "srv/shared"


def shared(folder: Path) -> Path:
    """Return (and make) the directory that all containers of a lab share; ``folder`` is the overlay of one of them."""
    path = folder.parent.parent / "shared"
    path.mkdir(parents=True, exist_ok=True)
    return path


def prepare(folder: Path, spec: HostSpec, lab: Store) -> None:
    """Write what a host has before its first boot into its overlay. An existing overlay is left alone (a restart)."""
    upper = folder / "upper"
    if (folder / "prepared").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("upper", "work", "root"):
        (folder / name).mkdir(parents=True)
    identity.write(upper / "etc/machine-id", f"{uuid.uuid4().hex}\n", 0o444)
    identity.lay(upper, spec, lab.layout, lab.public_key(), nic="Name=host0")
    if not spec.instance_id:  # an instance has a role
        (upper / "root").mkdir(mode=0o700)
        write_atomically(upper / "root/aws-credentials", lab.credentials_file.read_bytes(), 0o600)
    if spec.gpus:
        gpu.install(upper, gpu.default(spec.gpus))
    (folder / "prepared").touch()


def boot(folder: Path, spec: HostSpec, layout: Layout, image: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start the host and return its process, which ends when the host powers off and dies with its parent."""
    root = folder / "root"
    command = [
        "ip", "netns", "exec", layout.namespace,
        "setpriv", "--pdeathsig", "KILL",
        # nspawn's machine outlives a killed nspawn; in a process namespace both end with its first process.
        "unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc",
        "sh", "-c", BOOT, "boot",
        str(root), str(image), str(folder / "upper"), str(folder / "work"), "" if spec.instance_id else spec.user,
        "systemd-nspawn", "-q", "-D", str(root), "-M", spec.name, "--register=no", "--keep-unit", "--link-journal=no",
        f"--network-bridge={layout.bridge(spec.ip)}", "--resolv-conf=off", "--timezone=off", "--boot",
        # A network file system (EFS, NFS) is a directory that all containers of a lab see: containers cannot mount NFS.
        f"--bind={shared(folder)}:/{SHARED}",
        # Slurm wants devices where its configuration names GPUs; the ones that lead nowhere are the ones we may give.
        *(f"--bind=/dev/null:/dev/nvidia{index}" for index in range(spec.gpus)),
        # A time daemon inside must not turn the clock of the machine outside.
        "--drop-capability=CAP_SYS_TIME",
        # systemd inside enforces IPAddressDeny of its units by programs in the kernel (BPF), as it does on a machine.
        "--capability=CAP_BPF", "--system-call-filter=bpf",
        "--console=pipe",
    ]  # fmt: skip
    return cgroup.launch(command, cgroup.hierarchy() / layout.cgroup / "hosts" / spec.name, log)


def public_key(folder: Path) -> str:
    """Return the host's public ssh key."""
    return identity.host_key(folder / "upper").with_suffix(".pub").read_text()


def _init_scopes(pid_group: Path) -> Iterator[Path]:
    yield pid_group / "payload/init.scope"
    # Groups come and go meanwhile, as services of the host do: `os.walk` passes over what is gone.
    for folder, names, _ in os.walk(pid_group):
        if "init.scope" in names:
            yield Path(folder) / "init.scope"


def inside(pid_group: Path) -> int:
    """Return the process id (outside) of the init of the host whose control group is ``pid_group``."""
    for scope in _init_scopes(pid_group):
        with contextlib.suppress(OSError):
            if ids := (scope / "cgroup.procs").read_text().split():
                return int(ids[0])
    raise External(f"host {pid_group.name} is not running", hint="dualtrack lab status")
