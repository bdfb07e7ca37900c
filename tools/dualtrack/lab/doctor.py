"""What this machine lacks, and the next step for each: the checks behind `dualtrack doctor` and `make setup`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from dualtrack.cloud import opentofu
from dualtrack.core.errors import DualtrackError, Missing
from dualtrack.core.paths import cache_dir
from dualtrack.data.mirror import debian, offline
from dualtrack.lab import bootstrap, cgroup, control, removal, rootfs, vmimage

GIB = 1 << 30

#: Program to Debian package, for what the tools call.
PROGRAMS = {
    "systemd-nspawn": "systemd-container", "mmdebstrap": "mmdebstrap", "nft": "nftables", "ip": "iproute2",
    "nc": "netcat-openbsd", "ssh": "openssh-client", "ssh-keygen": "openssh-client", "unshare": "util-linux",
    "nsenter": "util-linux", "setpriv": "util-linux", "dpkg-deb": "dpkg", "gpg": "gnupg", "gpgv": "gpgv",
    "jq": "jq", "qemu-system-x86_64": "qemu-system-x86", "qemu-img": "qemu-utils", "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs", "mvn": "maven", "rsync": "rsync",
}  # fmt: skip


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One finding. `fix` is the next step, '' when there is nothing to do."""

    name: str
    state: Literal["ok", "warning", "missing"]
    detail: str
    fix: str = ""


class Diagnosis(msgspec.Struct, frozen=True):
    """All findings; `ok` when nothing is missing (warnings do not count)."""

    ok: bool
    checks: tuple[Check, ...]


def needs() -> debian.Needs:
    """Return what a mirror must have of Debian beside the roles' packages."""
    return debian.Needs(
        sources=bootstrap.apt_sources().file, controller=tuple(PROGRAMS.values()), hosts=rootfs.PACKAGES,
        machines=vmimage.packages(),
    )  # fmt: skip


def diagnose() -> Diagnosis:
    """Look at this machine; nothing is changed."""
    checks = tuple(_checks())
    return Diagnosis(all(check.state != "missing" for check in checks), checks)


def _checks() -> Iterator[Check]:
    root = os.geteuid() == 0
    yield Check(
        name="user",
        state="ok" if root else "missing",
        detail="root" if root else f"uid {os.geteuid()}",
        fix="" if root else "run as root: the lab makes namespaces and mounts",
    )
    for program, package in PROGRAMS.items():
        where = shutil.which(program)
        yield Check(
            name=program,
            state="ok" if where else "missing",
            detail=where or "not on the PATH",
            fix="" if where else f"apt-get install {package}",
        )
    yield _tried("cgroup2", lambda: str(cgroup.hierarchy()))
    yield _kernel(os.uname().release)
    yield _tried("OpenTofu", lambda: found.label if (found := opentofu.find()) else _absent("make setup builds it"))
    yield _present("root file system", rootfs.path, "make setup builds it (half a minute)")
    yield _present("virtual machines' image", vmimage.path, "make setup builds it (a minute)")
    yield _present("mirror", lambda: (offline.folder() or cache_dir() / "mirror") / "apt", "make setup builds it")
    free = shutil.disk_usage(cache_dir()).free
    yield Check(
        name="disk",
        state="ok" if free > 6 * GIB else "warning",
        detail=f"{free / GIB:.0f} GiB free",
        fix="" if free > 6 * GIB else "6 GiB are wanted for images and builds",
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield Check(
        name="memory",
        state="ok" if memory > 6 * GIB else "warning",
        detail=f"{memory / GIB:.0f} GiB",
        fix="" if memory > 6 * GIB else "both tracks want 7 GiB",
    )
    now = control.status()
    left = [] if now.up else removal.leftovers()
    yield Check(
        name="lab",
        state="warning" if left else "ok",
        detail=f"up, {len(now.hosts)} hosts" if now.up else ", ".join(left) or "down",
        fix="dualtrack lab up repairs it, lab down removes it" if left else "",
    )


def _absent(how: str) -> str:
    raise Missing("not there", hint=how)


def _tried(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name=name, state="ok", detail=look())
    except DualtrackError as error:
        return Check(name=name, state="missing", detail=str(error), fix=error.hint)


def _present(name: str, where: Callable[[], Path], fix: str) -> Check:
    try:
        path = where()
    except DualtrackError as error:
        return Check(name=name, state="missing", detail=str(error), fix=error.hint)
    return (
        Check(name=name, state="ok", detail=str(path))
        if path.exists()
        else Check(name=name, state="missing", detail="not built", fix=fix)
    )


def _kernel(release: str) -> Check:
    """`cgroup.kill`, with which the lab ends its processes for certain, came with Linux 5.14."""
    numbers = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdecimal())
    return (
        Check(name="kernel", state="ok", detail=release)
        if numbers >= (5, 14)
        else Check(name="kernel", state="missing", detail=release, fix="Linux 5.14 or later is needed (cgroup.kill)")
    )
