"""One lab host as a systemd-nspawn machine: its files before the first boot, and the command that boots it."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from pathlib import Path

from dualtrack.errors import External
from dualtrack.lab import cgroup, gpu
from dualtrack.lab.model import HostSpec, Layout
from dualtrack.proc import run

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


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Write one file of a host, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def outer_apt_settings() -> str:
    """Return this machine's own `Acquire` settings (proxies, certificates) in apt's syntax, for the hosts."""
    dump = run(["apt-config", "dump"], check=False).stdout
    keep = ("Acquire::http", "Acquire::https", "Acquire::ftp", "Acquire::Retries")
    settings = "".join(f"{line}\n" for line in dump.splitlines() if line.startswith(keep))
    return settings + 'Acquire::Languages "none";\n'


def resolver() -> str:
    """Return a resolv.conf that works from inside the namespace: never a stub on this machine's loopback."""
    for path in (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf")):
        if path.is_file() and "nameserver 127." not in (text := path.read_text()):
            return text
    return ""


def prepare(folder: Path, spec: HostSpec, layout: Layout, public_key: str) -> None:
    """Write what a host has before its first boot into its overlay. An existing overlay is left alone (a restart)."""
    upper = folder / "upper"
    if (folder / "prepared").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("upper", "work", "root"):
        (folder / name).mkdir(parents=True)
    gateway = layout.gateway(spec.ip)
    prefix = gateway.network.prefixlen
    etc = upper / "etc"
    write(etc / "hostname", f"{spec.name}\n")
    write(etc / "hosts", f"127.0.0.1 localhost\n127.0.1.1 {spec.name}\n")
    write(etc / "machine-id", f"{uuid.uuid4().hex}\n", 0o444)
    write(etc / "resolv.conf", resolver())
    write(
        etc / "systemd/network/10-host0.network",
        f"[Match]\nName=host0\n[Network]\nAddress={spec.address}/{prefix}\nGateway={gateway.ip}\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n",
    )
    write(etc / "apt/apt.conf.d/90outer", outer_apt_settings())
    bundle = Path("/etc/ssl/certs/ca-certificates.crt")
    if bundle.exists():
        write(etc / "ssl/certs/ca-certificates.crt", bundle.read_text())
    if not spec.instance_id:
        write(
            etc / "cloud/cloud-init.disabled",
            "A server that its operator owns: nothing is asked of a metadata service.\n",
        )
        write(etc / f"sudoers.d/90-{spec.user}", f"{spec.user} ALL=(ALL) NOPASSWD:ALL\n", 0o440)
        write(upper / f"home/{spec.user}/.ssh/authorized_keys", public_key, 0o600)
        (upper / f"home/{spec.user}/.ssh").chmod(0o700)
        run(
            [
                "ssh-keygen",
                "-q",
                "-t",
                "ed25519",
                "-N",
                "",
                "-C",
                spec.name,
                "-f",
                _mkparent(etc / "ssh/ssh_host_ed25519_key"),
            ]
        )
    if spec.gpus:
        gpu.install(upper, gpu.default(spec.gpus))
    (folder / "prepared").touch()


def _mkparent(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def boot(folder: Path, spec: HostSpec, layout: Layout, rootfs: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start the host and return its process, which ends when the host powers off and dies with its parent."""
    group = cgroup.hierarchy() / layout.cgroup / "hosts" / spec.name
    log.parent.mkdir(parents=True, exist_ok=True)
    root = folder / "root"
    command = [
        "ip", "netns", "exec", layout.namespace,
        "setpriv", "--pdeathsig", "KILL",
        # nspawn's machine outlives a killed nspawn; in a process namespace both end with its first process.
        "unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc",
        "sh", "-c", BOOT, "boot",
        str(root), str(rootfs), str(folder / "upper"), str(folder / "work"), "" if spec.instance_id else spec.user,
        "systemd-nspawn", "-q", "-D", str(root), "-M", spec.name, "--register=no", "--keep-unit", "--link-journal=no",
        f"--network-bridge={layout.bridge(spec.ip)}", "--resolv-conf=off", "--timezone=off", "--boot",
        # A time daemon inside must not turn the clock of the machine outside.
        "--drop-capability=CAP_SYS_TIME",
        "--console=pipe",
    ]  # fmt: skip
    with log.open("ab") as sink:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: cgroup.enter(group),
            env={"PATH": os.defpath + ":/usr/sbin:/sbin"},
        )


def destroy(folder: Path, spec_name: str, layout: Layout) -> None:
    """End the host's processes, wherever they are, and delete its disk."""
    cgroup.remove(cgroup.hierarchy() / layout.cgroup / "hosts" / spec_name)
    shutil.rmtree(folder, ignore_errors=True)


def inside(pid_group: Path) -> int:
    """Return the process id (outside) of the init of the host whose control group is ``pid_group``."""
    for path in (pid_group / "payload/init.scope/cgroup.procs", *pid_group.rglob("init.scope/cgroup.procs")):
        if path.is_file() and (ids := path.read_text().split()):
            return int(ids[0])
    raise External(f"host {pid_group.name} is not running", hint="dualtrack lab status")
