#!/usr/bin/env python3
"""A package repository laid out and named as NVIDIA's, whose packages do without GPUs what a driver does.

The kernel modules are compiled by DKMS and loaded; `cuInit` of the library answers by whether they are loaded; services
start. Two versions of branch 580 are in it, and a later branch, which must not be taken. Called with the directory to
make, which will have the key that signs it beside the packages.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from dualtrack.core.proc import run
from dualtrack.data.mirror import apt, repository, signing

SOURCES = Path(__file__).with_name("repository")
VERSIONS = ("580.82.07", "580.95.05", "595.91.07")
BRANCH = "580"
DKMS_PLACE = "usr/src/nvidia-{version}"
SERVICE = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"
POSTINST = "#!/bin/sh\nset -e\nsh /usr/lib/dkms/common.postinst nvidia {version} /usr/share/nvidia amd64 ''\n"
PRERM = "#!/bin/sh\ndkms remove nvidia/{version} --all || true\n"


def contents(library: Path, version: str) -> Iterator[tuple[str, str, Mapping[str, str | bytes]]]:
    """Yield the packages of a version: name, what it depends on, its files by their paths."""
    place = DKMS_PLACE.format(version=version)
    texts = {it.name: it.read_text().replace("@version@", version) for it in SOURCES.iterdir()}
    module = texts.pop("module.c")
    modules = {f"{place}/{name}": text for name, text in {**texts, "nvidia.c": module, "nvidia-uvm.c": module}.items()}
    yield "nvidia-kernel-open-dkms", "dkms", {
        **modules, "DEBIAN/postinst": POSTINST.format(version=version), "DEBIAN/prerm": PRERM.format(version=version)
    }  # fmt: skip
    same = f"(= {version}-1)"
    yield "nvidia-driver-cuda", f"nvidia-kernel-open-dkms {same}", {
        "usr/lib/x86_64-linux-gnu/libcuda.so.1": library.read_bytes()
    }  # fmt: skip
    yield "nvidia-persistenced", "", {"lib/systemd/system/nvidia-persistenced.service": SERVICE}
    yield "nvidia-modprobe", "", {"usr/share/nvidia-modprobe/README": "nothing\n"}
    if version.startswith(BRANCH):
        manager = f"#!/bin/sh\necho Fabric Manager version is : {version}\n"
        yield f"nvidia-fabricmanager-{BRANCH}", "", {
            "usr/bin/nv-fabricmanager": manager, "lib/systemd/system/nvidia-fabricmanager.service": SERVICE
        }  # fmt: skip


def pack(work: Path, name: str, version: str, depends: str, files: Mapping[str, str | bytes]) -> apt.Package:
    """Build a package in ``work``."""
    fields = {"Package": name, "Version": f"{version}-1", "Architecture": "amd64", "Maintainer": "root@localhost"}
    text = apt.control({**fields, **({"Depends": depends} if depends else {})}, "for a test of the role gpu_driver")
    tree = work / f"{name}_{version}"
    for path, content in {**files, "DEBIAN/control": text}.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(content if isinstance(content, bytes) else content.encode())
    for path in (tree, *tree.rglob("*")):
        program = path.is_dir() or path.parent.name == "bin" or path.name in ("postinst", "prerm")
        path.chmod(0o755 if program else 0o644)
    file = work / f"{name}_{version}-1_amd64.deb"
    run(["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", tree, file])
    return apt.Package(text, file.name, file.read_bytes())


def main(target: Path) -> None:
    """Make the repository."""
    with tempfile.TemporaryDirectory() as scratch:
        work, library = Path(scratch), Path(scratch, "libcuda.so.1")
        run(["gcc", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", library, SOURCES.with_name("libcuda.c")])
        packages = [
            pack(work, name, version, depends, files)
            for version in VERSIONS
            for name, depends, files in contents(library, version)
        ]
        pin = f"Package: *nvidia*\nPin: version {BRANCH}.*\nPin-Priority: 1000\n"
        packages.append(pack(work, f"nvidia-driver-pinning-{BRANCH}", BRANCH, "", {
            f"etc/apt/preferences.d/nvidia-driver-pinning-{BRANCH}": pin
        }))  # fmt: skip
        unit = {"lib/systemd/system/nvidia-dcgm.service": SERVICE}
        packages.append(pack(work, "datacenter-gpu-manager-4-cuda13", "4.4.1", "", unit))
        private = signing.ensure_key(work / "key")
        repository.write(target, packages, lambda text: signing.clear_sign(private, text), signing.public_key(private))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
