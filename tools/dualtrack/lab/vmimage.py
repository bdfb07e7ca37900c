"""The image that every virtual machine of the lab starts from: Debian with its own kernel, baked once per content.

Everything inside a machine that is emulated is 10 to 20 times slower, so what the kernel-level roles would install and
build is in the image already: packages, and the SM4 modules, built by DKMS from the same files as roles/sm4_kernel
installs. The roles then find it done; that they can do it from nothing is proven on a container (molecule/own_kernel).

`root.img` is an ext4 file system without a partition table, used read-only below each machine's own layer. `boot` is
the content of /boot, of which each machine gets a file system of its own: the lab reads kernel and initramfs out of it
at every start, as a boot loader would, so that what the machine writes into its initramfs is what it boots.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from dualtrack.core.files import locked
from dualtrack.core.paths import ROOT, cache_dir, pins
from dualtrack.core.proc import run
from dualtrack.lab.bootstrap import apt_sources, bootstrap, publish

#: The SM4 modules' DKMS tree, the role's own.
DKMS = ROOT / "roles/sm4_kernel/files/dkms"
DKMS_NAME = "dualtrack-sm4-1"

PACKAGES = (
    # What a server has anyway.
    "ca-certificates", "chrony", "curl", "dbus", "gnupg", "iproute2", "iputils-ping", "kmod", "less", "netbase",
    "netcat-openbsd", "nftables", "openssh-server", "procps", "python3", "python3-apt", "rsync", "sudo", "systemd",
    "systemd-sysv", "udev",
    # The kernel, and what builds modules for it.
    "busybox-static", "dkms", "initramfs-tools", "linux-headers-amd64", "linux-image-amd64", "linux-source-{series}",
    "zstd",
    # Arrays, volumes, keys over the network.
    "clevis", "clevis-luks", "clevis-systemd", "cryptsetup", "e2fsprogs", "mdadm", "nvme-cli", "tang", "xfsprogs",
    # RDMA, and measuring.
    "ibverbs-utils", "infiniband-diags", "iperf3", "perftest", "rdma-core",
    # Logs: half a minute to install.
    "auditd", "rsyslog", "rsyslog-elasticsearch",
)  # fmt: skip

#: The kernel series of a Debian release: what its source package is called after.
SERIES = {"bookworm": "6.1"}

#: Where update-initramfs finds programs that start quickly when they are emulated: busybox for those of its applets
#: that take the same options, and scripts for two that it has not, or whose original is slow.
QUICK = "/usr/local/lib/lab-quick"
APPLETS = "basename cat chmod cut dirname grep head mkdir mv readlink rm sed sort tr uname"
#: The same answer in one program instead of nine.
LDD = """\
#!/bin/busybox sh
exec /lib64/ld-linux-x86-64.so.2 --list "$@"
"""
#: Busybox knows these options of cp, and not some of the others.
CP = """\
#!/bin/busybox sh
case $1 in -p | -pP | -a) exec /bin/busybox cp "$@" ;; esac
exec /usr/bin/cp "$@"
"""
#: `-s` and `-ms` leave links alone: a whole path without dots and doubled slashes is its own answer.
REALPATH = """\
#!/bin/busybox sh
path=$2
while [ "$path" != "${path#//}" ]; do path=${path#/}; done
case $path in
    *//* | */./* | */../* | */. | */.. | ?*/) ;;
    /*) case $1 in -s | -ms) echo "$path"; exit ;; esac ;;
esac
exec /usr/bin/realpath "$@"
"""

#: Small and quick to unpack: only what the machine boots from. The hooks of mdadm and cryptsetup add their own.
#: Making one starts 2,300 programs: 80 s of processor time when emulated, 31 s where most are static.
INITRAMFS_CONF = f"MODULES=list\nCOMPRESS=zstd\nCOMPRESSLEVEL=1\nBUSYBOX=n\nPATH={QUICK}:$PATH\n"
INITRAMFS_HOOK = """\
#!/bin/sh
[ "$1" = prereqs ] && exit 0
. /usr/share/initramfs-tools/hook-functions
manual_add_modules virtio_pci virtio_blk virtio_net nvme ext4
"""

#: First boot: identity comes on the boot disk, laid there by the lab. Gone afterwards.
SEED = """\
[Unit]
Description=Take this machine's identity from its boot disk
DefaultDependencies=no
RequiresMountsFor=/boot
ConditionPathExists=/boot/seed/first-boot.sh
After=local-fs.target systemd-remount-fs.service
Before=network-pre.target systemd-networkd.service ssh.service sysinit.target
Wants=network-pre.target

[Service]
Type=oneshot
ExecStart=/bin/sh /boot/seed/first-boot.sh
StandardError=journal+console

[Install]
WantedBy=sysinit.target
"""

ESSENTIAL = r"""
set -eu
root=$1
mkdir -p "$root/etc/initramfs-tools/conf.d" "$root/etc/initramfs-tools/hooks"
install -m 644 "$2/initramfs.conf" "$root/etc/initramfs-tools/conf.d/lab"
install -m 755 "$2/initramfs.hook" "$root/etc/initramfs-tools/hooks/lab"
"""

SETUP = r"""
set -eu
root=$1
rm -f "$root"/etc/apt/sources.list.d/0000* "$root"/etc/ssh/ssh_host_* "$root"/var/lib/tang/*
: > "$root/etc/machine-id"
install -m 644 "$2/sources" "$root/etc/apt/sources.list.d/$3"
install -m 644 "$2/seed.service" "$root/etc/systemd/system/lab-seed.service"
printf 'LABEL=root / ext4 noatime 0 1\nLABEL=boot /boot ext4 noatime 0 2\n' > "$root/etc/fstab"
for unit in systemd-resolved.service apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer \
    dpkg-db-backup.timer man-db.timer systemd-pstore.service e2scrub_reap.service nvmf-autoconnect.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
install -D -m 755 -t "$root$5" "$2/cp" "$2/ldd" "$2/realpath"
for applet in $6; do
    ln -s /bin/busybox "$root$5/$applet"
done
chroot "$root" systemctl -q enable systemd-networkd ssh lab-seed
chroot "$root" systemctl -q disable tangd.socket
cp -r "$2/dkms" "$root/usr/src/$4"
for release in "$root"/lib/modules/*; do
    chroot "$root" dkms install --no-depmod -m "${4%-*}" -v "${4##*-}" -k "${release##*/}"
    chroot "$root" depmod "${release##*/}"
done
"""


def packages() -> tuple[str, ...]:
    """Return the packages by name; the kernel's source is called after its series."""
    return tuple(name.format(series=SERIES[pins()["debian_suite"]]) for name in PACKAGES)


def key() -> str:
    """Return the digest of everything that the image is made from."""
    tree = (f"{path.name}\0{path.read_text()}" for path in sorted(DKMS.iterdir()))
    scripts = (CP, LDD, REALPATH, SEED, ESSENTIAL, SETUP)
    parts = (*packages(), INITRAMFS_CONF, INITRAMFS_HOOK, APPLETS, *scripts, apt_sources().text, *tree)
    return hashlib.sha256("\0".join((pins()["debian_suite"], *parts)).encode()).hexdigest()[:16]


def path() -> Path:
    """Return where the image for today's inputs lies, built or not."""
    return cache_dir() / "vm" / key()


def build(say: Callable[[str], None] = lambda _: None) -> Path:
    """Build the image unless it is there, telling ``say`` the progress; return its directory. Takes about 4 minutes.

    Raises External with the last line of what failed; nothing half made is ever found under `path`.
    """
    target = path()
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    log = target.parent / f"{target.name}.log"
    with locked(target), tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as scratch:
        if target.is_dir():  # another checkout has just built it
            return target
        root, extra, made = (Path(scratch, name) for name in ("root", "extra", "made"))
        sources = apt_sources()
        extra.mkdir()
        made.mkdir()
        for name, text in (
            ("sources", sources.text), ("seed.service", SEED), ("setup.sh", SETUP),
            ("essential.sh", ESSENTIAL), ("initramfs.conf", INITRAMFS_CONF), ("initramfs.hook", INITRAMFS_HOOK),
            ("cp", CP), ("ldd", LDD), ("realpath", REALPATH),
        ):  # fmt: skip
            (extra / name).write_text(text)
        shutil.copytree(DKMS, extra / "dkms")
        hooks = [
            f'--essential-hook=sh {extra}/essential.sh "$1" {extra}',
            f'--customize-hook=sh {extra}/setup.sh "$1" {extra} {sources.name} {DKMS_NAME} {QUICK} "{APPLETS}"',
        ]
        bootstrap(root, packages(), hooks, log=log, say=say)
        say("packing the image")
        (root / "boot").rename(made / "boot")
        (root / "boot").mkdir()
        run(
            [
                "mke2fs",
                "-q",
                "-t",
                "ext4",
                "-L",
                "root",
                "-E",
                "lazy_itable_init=1",
                "-d",
                root,
                made / "root.img",
                "8G",
            ]
        )
        publish(made, target)
    return target
