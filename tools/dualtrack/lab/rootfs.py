"""The root file system that every lab host starts from: Debian as a cloud image has it, built once per content.

The folder is shared, read-only, by all hosts of all checkouts; each host writes to an overlay of its own.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from dualtrack import proc
from dualtrack.errors import External, Missing
from dualtrack.paths import cache_dir, pins

#: What Debian's own cloud image carries, as far as a container has a use for it.
PACKAGES = (
    "ca-certificates", "chrony", "cloud-init", "curl", "dbus", "gnupg", "iproute2", "iputils-ping", "kmod", "less",
    "netbase", "netcat-openbsd", "openssh-server", "procps", "python3", "python3-apt", "rsync", "sudo", "systemd",
    "systemd-sysv", "udev",
)  # fmt: skip

CLOUD_CFG = """\
# The emulated EC2 metadata service is the only data source. It is not Amazon's hardware, hence strict_id: false.
datasource_list: [Ec2]
datasource: {Ec2: {strict_id: false, metadata_urls: ["http://169.254.169.254"], max_wait: 60, timeout: 5}}
network: {config: disabled}
system_info:
  default_user:
    {name: admin, shell: /bin/bash, lock_passwd: true, groups: [adm, sudo], sudo: ["ALL=(ALL) NOPASSWD:ALL"]}
ssh_genkeytypes: [ed25519]
apt_preserve_sources_list: true
locale: false
manage_etc_hosts: true
"""

SETUP = r"""
set -eu
root=$1
rm -f "$root/etc/apt/sources.list.d/0000debian.sources" "$root"/etc/ssh/ssh_host_* "$root/etc/machine-id"
install -m 644 "$2/sources" "$root/etc/apt/sources.list.d/$3"
install -m 644 "$2/cloud.cfg" "$root/etc/cloud/cloud.cfg.d/90_lab.cfg"
echo 'policy: enabled' > "$root/etc/cloud/ds-identify.cfg"
: > "$root/etc/fstab"
ln -sf /dev/null "$root/etc/systemd/system/systemd-resolved.service"
ln -sf /dev/null "$root/etc/systemd/system/apt-daily.timer"
ln -sf /dev/null "$root/etc/systemd/system/apt-daily-upgrade.timer"
chroot "$root" systemctl -q enable systemd-networkd ssh
"""


def apt_sources() -> Path:
    """Return the file that tells this machine where Debian's packages come from; lab hosts use the same one."""
    folder = Path("/etc/apt")
    suite = pins()["debian_suite"]
    for path in (
        folder / "sources.list.d/debian.sources",
        folder / "sources.list",
        *sorted((folder / "sources.list.d").glob("*")),
    ):
        if (
            path.suffix in {".sources", ".list"}
            and path.is_file()
            and f"{suite}" in path.read_text()
            and "main" in path.read_text()
        ):
            return path
    raise Missing(f"no apt source for Debian {suite} in /etc/apt", hint="add one: the lab's hosts are Debian")


def key() -> str:
    """Return the digest of everything that the image is made from."""
    parts = (pins()["debian_suite"], *PACKAGES, CLOUD_CFG, SETUP, apt_sources().read_text())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def path() -> Path:
    """Return where the image for today's inputs lies, built or not."""
    return cache_dir() / "rootfs" / key()


def build(say: Callable[[str], None] = lambda _: None) -> Path:
    """Build the image unless it is there, telling ``say`` what goes on; return its folder. Takes about 30-50 s.

    Raises External with the last line of mmdebstrap when that fails; nothing half made is ever found under `path`.
    """
    target = path()
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    log = target.parent / f"{target.name}.log"
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as scratch:
        root, extra, sources = Path(scratch, "root"), Path(scratch, "extra"), apt_sources()
        extra.mkdir()
        (extra / "sources").write_text(sources.read_text())
        (extra / "cloud.cfg").write_text(CLOUD_CFG)
        (extra / "setup.sh").write_text(SETUP)
        command = [
            "mmdebstrap", "--variant=minbase", "--skip=cleanup/apt/lists", f"--include={','.join(PACKAGES)}",
            *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale", "info")),
            f'--customize-hook=sh {extra}/setup.sh "$1" {extra} {sources.name}',
            pins()["debian_suite"], str(root), str(sources),
        ]  # fmt: skip
        try:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        except FileNotFoundError:
            raise Missing("mmdebstrap is not installed", hint="apt-get install mmdebstrap") from None
        last = ""
        with log.open("w") as file, process, proc.tracked(process):
            for line in process.stdout or ():
                file.write(line)
                last = line.strip()
                if last.startswith("I: ") and "hook" not in last:  # how a hook is called tells nobody anything
                    say(last.removeprefix("I: "))
        proc.pause(0)
        if process.returncode != 0:
            raise External(f"the lab's root file system could not be built: {last}", hint=f"all of it: {log}")
        try:
            root.rename(target)
        except OSError:
            if not target.is_dir():  # somebody else was faster: theirs is as good
                raise
            shutil.rmtree(root)
    return target
