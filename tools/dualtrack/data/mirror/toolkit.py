"""NVIDIA's container toolkit as a Debian package, built from its pinned Go module (tools/toolkit/go.mod)."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from dualtrack.core.errors import BadInput, External
from dualtrack.core.paths import ROOT
from dualtrack.core.proc import run
from dualtrack.data.mirror import apt

MODULE = "github.com/NVIDIA/nvidia-container-toolkit"
SOURCE = ROOT / "tools" / "toolkit"
PROGRAMS = ("nvidia-ctk", "nvidia-cdi-hook", "nvidia-container-runtime", "nvidia-container-runtime-hook")
#: Sorts below NVIDIA's own package of the same version, so that a site that gains access to theirs moves to it.
REVISION = "1~dualtrack1"
DESCRIPTION = """
NVIDIA container toolkit
Lets containers use NVIDIA GPUs: nvidia-ctk configures docker and containerd, and
nvidia-container-runtime puts the devices into a container (CDI).

Built by dualtrack from the public Go module. The legacy mode needs NVIDIA's
libnvidia-container-tools as well, which is not part of this package.
"""


def version(go_mod: str) -> str:
    """Return the toolkit's version that ``go_mod`` (the file's text) pins, such as `1.20.1`."""
    found = re.search(rf"{re.escape(MODULE)} v(\d+\.\d+\.\d+)\b", go_mod)
    if not found:
        raise BadInput(f"tools/toolkit/go.mod pins no version of {MODULE}", hint=f"require {MODULE} vX.Y.Z")
    return found.group(1)


def control(toolkit: str, architecture: str) -> str:
    """Return the package's control file."""
    return apt.control(
        {
            "Package": "nvidia-container-toolkit",
            "Version": f"{toolkit}-{REVISION}",
            "Architecture": architecture,
            "Maintainer": "dualtrack <mirror@dualtrack.invalid>",
            "Section": "utils",
            "Priority": "optional",
            # The newest symbol that the programs ask of the C library is of 2.34 (they are linked on Debian 12).
            "Depends": "libc6 (>= 2.34)",
            "Recommends": "libnvidia-container-tools",
            # NVIDIA's packaging splits the programs in two; this one has all of them.
            "Provides": f"nvidia-container-toolkit-base (= {toolkit}-{REVISION})",
            "Conflicts": "nvidia-container-toolkit-base",
            "Replaces": "nvidia-container-toolkit-base, nvidia-container-runtime",
            "Homepage": "https://github.com/NVIDIA/nvidia-container-toolkit",
        },
        DESCRIPTION,
    )


def build(work: Path, progress: Callable[[str], None]) -> apt.Package:
    """Build the programs and pack them in the empty directory ``work``; needs go, gcc and dpkg-deb.

    About half a minute without Go's cache, a second with it.
    """
    toolkit = version((SOURCE / "go.mod").read_text())
    architecture = run(["dpkg", "--print-architecture"]).stdout.strip()
    tree = work / "tree"
    (tree / "usr/bin").mkdir(parents=True)
    progress(f"building NVIDIA container toolkit {toolkit}")
    # Lazy binding: go-nvml finds the driver's functions when they are called, on hosts that have a driver.
    flags = f"-s -w -X {MODULE}/internal/info.version={toolkit} -extldflags=-Wl,-z,lazy"
    run(
        ["go", "build", "-mod=readonly", "-trimpath", "-buildvcs=false", f"-ldflags={flags}", "-o", tree / "usr/bin/",
         *(f"{MODULE}/cmd/{name}" for name in PROGRAMS)],
        cwd=SOURCE, env={"CGO_ENABLED": "1", "GOTOOLCHAIN": "local", "GOWORK": "off"},
    )  # fmt: skip
    missing = [name for name in PROGRAMS if not (tree / "usr/bin" / name).is_file()]
    if missing:
        raise External(f"go build left no {', '.join(missing)}")
    source = Path(run(["go", "list", "-m", "-f", "{{.Dir}}", MODULE], cwd=SOURCE).stdout.strip())
    documents = tree / "usr/share/doc/nvidia-container-toolkit"
    documents.mkdir(parents=True)
    shutil.copyfile(source / "LICENSE", documents / "copyright")
    fields = control(toolkit, architecture)
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN/control").write_text(fields)
    for path in [tree, *tree.rglob("*")]:
        path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
    name = f"nvidia-container-toolkit_{toolkit}-{REVISION}_{architecture}.deb"
    progress(f"packing {name}")
    # A fixed date makes the same sources give the same package, digest and all.
    run(
        ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", tree, work / name],
        env={"SOURCE_DATE_EPOCH": "1735689600"},
    )
    return apt.Package(fields, f"pool/{name}", (work / name).read_bytes())
