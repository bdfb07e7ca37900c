"""Files from Maven and wheels for hosts, pinned by their SHA-256: from a carried mirror, or fetched once."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from dualtrack.core.errors import BadInput, External
from dualtrack.core.files import locked
from dualtrack.core.paths import ROOT, cache_dir, pins
from dualtrack.core.proc import run
from dualtrack.data.mirror import check, offline

Say = Callable[[str], None]
#: Wheels for these run on every system that is supported: the oldest is Ubuntu 22.04, with glibc 2.35.
MANYLINUX = ("manylinux2014", *(f"manylinux_2_{minor}" for minor in range(35, 16, -1)))


def place(coordinates: str) -> str:
    """Return where a Maven repository has an artifact (group:artifact:version:kind)."""
    group, artifact, version, kind = coordinates.split(":")
    return f"{group.replace('.', '/')}/{artifact}/{version}/{artifact}-{version}.{kind}"


def pinned(artifact: str) -> tuple[str, str]:
    """Return the coordinates and the SHA-256 of a pinned artifact by its short name; BadInput where none is pinned."""
    for coordinates, digest in pins()["maven"].items():
        if coordinates.split(":")[1] == artifact:
            return coordinates, digest
    raise BadInput(f"no artifact {artifact} is pinned", hint="pyproject.toml, [tool.dualtrack.pins.maven]")


def fetch(coordinates: str, digest: str, folder: Path, say: Say = lambda _: None) -> Path:
    """Return an artifact's file below ``folder``, fetched by Maven where it is not there yet and checked by its pin."""
    name = Path(place(coordinates)).name
    path = folder / digest[:16] / name
    if not path.is_file():
        _, artifact, version, _ = coordinates.split(":")
        say(f"Maven artifact {artifact} {version}")
        fresh = path.parent.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        run(
            ["mvn", "--batch-mode", "-q", "dependency:copy", f"-Dartifact={coordinates}",
             f"-DoutputDirectory={fresh}"],
            timeout=3600,
        )  # fmt: skip
        _hold(fresh / name, digest)
        fresh.replace(path.parent)
    return path


def maven(artifact: str, say: Say = lambda _: None) -> tuple[Path, str]:
    """Return a pinned artifact's file on this machine and its SHA-256.

    Where `DUALTRACK_MIRROR` names a mirror, it is the only source. External for a file that is not the pinned one.
    """
    coordinates, digest = pinned(artifact)
    mirror = offline.folder()
    if mirror is not None:
        path = mirror / "maven" / place(coordinates)
        if not path.is_file():
            raise External(f"the mirror {mirror} has no {path.name}", hint="build it with the part `maven`")
        _hold(path, digest)
        return path, digest
    folder = cache_dir() / "maven"
    with locked(folder / digest[:16]):
        return fetch(coordinates, digest, folder, say), digest


def wheels(lock: str, python: str, machine: str, say: Say = lambda _: None) -> list[Path]:
    """Return the wheels that requirements/``lock``.txt pins, for a host's Python ("3.11") and processor ("x86_64").

    pip fetches them once, from its index, or from the mirror that `DUALTRACK_MIRROR` names; what they need besides is
    in the lock as well. External when one cannot be had, or differs from the one that the lock allows.
    """
    requirement = ROOT / "requirements" / f"{lock}.txt"
    if not requirement.is_file():
        raise BadInput(f"there is no lock {requirement.name}", hint="requirements/ has them")
    folder = cache_dir() / "wheels" / f"{lock}-{check.sha256(requirement)[:16]}-{python}-{machine}"
    with locked(folder):
        if not folder.is_dir():
            say(f"wheels of {lock}")
            fresh = folder.with_suffix(".new")
            shutil.rmtree(fresh, ignore_errors=True)
            mirror = offline.folder()
            index = [f"--index-url={mirror.as_uri()}/wheels/simple/"] if mirror else []
            kinds = [f"--platform={kind}_{machine}" for kind in MANYLINUX]
            run(
                [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                 "--require-hashes", "--only-binary=:all:", f"--python-version={python}", *kinds, *index,
                 f"--requirement={requirement}", f"--dest={fresh}"],
                timeout=1800,
            )  # fmt: skip
            fresh.rename(folder)
    found = sorted(it for it in folder.iterdir() if re.fullmatch(r"[\w.+-]+\.whl", it.name))
    if not found:
        raise External(f"pip brought no wheel for {requirement.name}")
    return found


def environment(lock: str, say: Say = lambda _: None) -> Path:
    """Return the Python of an environment with what requirements/``lock``.txt pins, made once for each lock.

    External when it cannot be made.
    """
    requirement = ROOT / "requirements" / f"{lock}.txt"
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    folder = cache_dir() / "environments" / f"{lock}-{check.sha256(requirement)[:16]}-{version}"
    with locked(folder):
        if not (folder / "whole").exists():
            say(f"making the environment {lock} (a minute, once)")
            shutil.rmtree(folder, ignore_errors=True)
            run([sys.executable, "-m", "venv", str(folder)], timeout=300)
            mirror = offline.folder()
            index = [f"--index-url={mirror.as_uri()}/wheels/simple/"] if mirror else []
            run(
                [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                 "--no-deps", "--require-hashes", "--only-binary=:all:", *index, f"--requirement={requirement}"],
                timeout=1800,
            )  # fmt: skip
            (folder / "whole").touch()
    return folder / "bin/python"


def _hold(path: Path, digest: str) -> None:
    if (found := check.sha256(path)) != digest:
        raise External(f"{path.name} is not the pinned file: sha256 {found}, expected {digest}")
