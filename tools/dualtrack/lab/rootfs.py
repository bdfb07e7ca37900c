"""The root file system that every lab host starts from: Debian as a cloud image has it, built once per content.

The directory is shared, read-only, by all hosts of all checkouts; each host writes to an overlay of its own.
"""

from __future__ import annotations

import hashlib
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path

from dualtrack.core.paths import cache_dir, pins
from dualtrack.lab.bootstrap import apt_sources, bootstrap, publish

#: What Debian's own cloud image carries, as far as a container has a use for it.
PACKAGES = (
    "ca-certificates", "chrony", "cloud-init", "curl", "dbus", "gnupg", "iproute2", "iputils-ping", "kmod", "less",
    "netbase", "netcat-openbsd", "nftables", "openssh-server", "procps", "python3", "python3-apt", "rsync", "sudo",
    "systemd", "systemd-sysv", "udev",
)  # fmt: skip

#: Documentation is left out of images, but what the lab's knowledge base is asked about.
INCLUDED = "--dpkgopt=path-include=/usr/share/doc/debian/*"

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
rm -f "$root"/etc/apt/sources.list.d/0000* "$root"/etc/ssh/ssh_host_* "$root/etc/machine-id"
install -m 644 "$2/sources" "$root/etc/apt/sources.list.d/$3"
install -m 644 "$2/cloud.cfg" "$root/etc/cloud/cloud.cfg.d/90_lab.cfg"
echo 'policy: enabled' > "$root/etc/cloud/ds-identify.cfg"
: > "$root/etc/fstab"
ln -sf /dev/null "$root/etc/systemd/system/systemd-resolved.service"
ln -sf /dev/null "$root/etc/systemd/system/apt-daily.timer"
ln -sf /dev/null "$root/etc/systemd/system/apt-daily-upgrade.timer"
chroot "$root" systemctl -q enable systemd-networkd ssh
"""


def python() -> tuple[str, str]:
    """Return the version of Python in the image, as "3.11", and the processor that it is for."""
    return {"bookworm": "3.11", "trixie": "3.13"}[pins()["debian_suite"]], platform.machine()


def key() -> str:
    """Return the digest of everything that the image is made from."""
    parts = (pins()["debian_suite"], *PACKAGES, INCLUDED, CLOUD_CFG, SETUP, apt_sources().text)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def path() -> Path:
    """Return where the image for today's inputs lies, built or not."""
    return cache_dir() / "rootfs" / key()


def build(say: Callable[[str], None] = lambda _: None) -> Path:
    """Build the image unless it is there, telling ``say`` the progress; return its directory. Takes about 30-50 s.

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
        (extra / "sources").write_text(sources.text)
        (extra / "cloud.cfg").write_text(CLOUD_CFG)
        (extra / "setup.sh").write_text(SETUP)
        hook = f'--customize-hook=sh {extra}/setup.sh "$1" {extra} {sources.name}'
        bootstrap(root, PACKAGES, [INCLUDED, hook], log=log, say=say)
        publish(root, target)
    return target
