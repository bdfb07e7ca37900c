"""`dualtrack store` as one archive for hosts that have Python and no way to a package index.

    dualtrack-store   the launcher
    lib/…             the locked packages of requirements/store.txt and dualtrack itself, compiled where we can
    files.json        every file below lib/ with its size: who unpacks it can tell whether all of it is there

Made once for each content, version of Python and processor, and kept in the cache that all checkouts share.
"""

from __future__ import annotations

import compileall
import gzip
import hashlib
import importlib.util
import io
import os
import py_compile
import re
import shutil
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from dualtrack.core.errors import BadInput, External
from dualtrack.core.files import locked, write_atomically
from dualtrack.core.paths import ROOT, cache_dir
from dualtrack.core.proc import run

#: Changes when the archive's layout does.
LAYOUT = "1"
LOCK = ROOT / "requirements/store.txt"
PACKAGE = ROOT / "tools/dualtrack"
#: The groups of commands that run on hosts.
COMMANDS = ("store", "audit", "kb", "pii", "sync", "writeback")
#: How one module of ours names another: imports, and the programs that it starts. A test compares with `modulefinder`,
#: which takes seconds.
IMPORTED = re.compile(r"^[ \t]*from (dualtrack(?:\.\w+)*) import (\([^)]*\)|[^\n]*)", re.MULTILINE)
NAMED = re.compile(r"^[ \t]*import (dualtrack(?:\.\w+)+)|\"(dualtrack(?:\.\w+){2,})\"", re.MULTILINE)
#: As in pyproject.toml, package-data.
DATA = {".yml", ".json", ".toml", ".sh", ".html", ".js", ".css", ".typed"}
#: Where the program lies on a host, for the paths in a traceback.
HOME = "/opt/dualtrack/store"
#: Processors as the kernel calls them, and the wheels that run there: glibc of 2018 or later.
PLATFORMS = {"x86_64": "x86_64-manylinux_2_28", "aarch64": "aarch64-manylinux_2_28"}
OLDEST = (3, 11)
#: botocore knows 400 services, pygments 500 languages; the cache speaks to one and writes none: 30 MB, 2000 files less.
SERVICES = {"s3", "sts", "sso", "sso-oidc", "signin"}
#: Seconds after which an archive that nobody asked for is removed.
KEPT_S = 30 * 86400
#: The date of everything in the archive: the same content is the same archive.
DATE = 1735689600

Say = Callable[[str], None]


class Program(msgspec.Struct, frozen=True):
    """An archive on this machine, and the digest of what it was made from: the name of its directory on a host."""

    digest: str
    archive: str


def ensure(python: str, machine: str, say: Say = lambda _: None) -> Program:
    """Return the archive for a host's Python ("3.11") and processor ("x86_64"), after making it if need be.

    BadInput for a Python that is too old or a processor without wheels, External when the packages cannot be had.
    """
    version = _version(python)
    if machine not in PLATFORMS:
        raise BadInput(f"there are no packages for the processor {machine}", hint=f"one of {', '.join(PLATFORMS)}")
    name = digest(python, machine)
    path = cache_dir() / "store-program" / f"{name}.tar.gz"
    with locked(path):
        if path.exists():
            os.utime(path)
        else:
            say(f"packing `dualtrack store` for Python {python} on {machine}")
            with tempfile.TemporaryDirectory(prefix="dualtrack-store-") as folder:
                _fill(Path(folder), python, machine, name, compiled=version == sys.version_info[:2])
                write_atomically(path, _packed(Path(folder)))
            for old in path.parent.glob("*.tar.gz"):
                if time.time() - old.stat().st_mtime > KEPT_S:
                    old.unlink(missing_ok=True)
    return Program(name, str(path))


def _version(python: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)\.(\d+)", python)
    if not found or (version := (int(found[1]), int(found[2]))) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise BadInput(f"Python {python} is too old for `dualtrack store`", hint=f"{oldest} or later")
    return version


def digest(python: str, machine: str) -> str:
    """Return what an archive for this Python and processor is called: it follows from all that goes into it."""
    # Compiled code is for one Python; where it is not made here, the host makes it.
    magic = importlib.util.MAGIC_NUMBER.hex() if _version(python) == sys.version_info[:2] else ""
    found = hashlib.sha256(repr((LAYOUT, python, machine, magic, sorted(SERVICES))).encode())
    for name, data in [("requirements", LOCK.read_bytes()), *((str(it), (PACKAGE / it).read_bytes()) for it in ours())]:
        found.update(f"{name}\0{len(data)}\0".encode() + data)
    return found.hexdigest()[:16]


def ours() -> list[Path]:
    """Return the files of dualtrack that commands on hosts import, relative to the package's directory."""
    code, left = set(), [f"dualtrack.{name}" for name in _roots()]
    while left:
        name = left.pop()
        if (path := _file(name)) is None or path in code:
            continue
        code.add(path)
        text = path.read_text(encoding="utf-8")
        left += [name.rpartition(".")[0], *(found for words in NAMED.findall(text) for found in words if found)]
        for package, names in IMPORTED.findall(text):
            left += [package, *(f"{package}.{it.split()[0]}" for it in names.strip("()").split(",") if it.strip())]
    data = (it for path in code if path.name == "__init__.py" for it in _data(path.parent))
    return sorted(path.relative_to(PACKAGE) for path in {*code, *data})


def _roots() -> Iterator[str]:
    """Yield the modules that start on a host: the launcher, and its groups of commands with what is added to them."""
    yield "cli.host_launcher"
    for group in COMMANDS:
        yield f"cli.{group}"
        yield from (f"cli.{path.stem}" for path in (PACKAGE / "cli").glob(f"{group}_*.py"))


def _file(module: str) -> Path | None:
    """Return the file of a module of ours, None for what is none: a name in a module, or nothing."""
    base = PACKAGE.joinpath(*module.split(".")[1:])
    return next((it for it in (base.with_suffix(".py"), base / "__init__.py") if it.is_file()), None)


def _data(package: Path) -> Iterator[Path]:
    """Yield what is not code in a package's directory, and in those directories below that are not packages."""
    for path in package.iterdir():
        if path.suffix in DATA and path.is_file():
            yield path
        elif path.is_dir() and not any(path.glob("*.py")):
            yield from _data(path)


def _fill(folder: Path, python: str, machine: str, name: str, *, compiled: bool) -> None:
    """Make the archive's content in an empty directory."""
    lib = folder / "lib"
    run(
        [Path(sys.executable).with_name("uv"), "pip", "install", "--quiet", "--python", sys.executable, "--target", lib,
         "--python-version", python, "--python-platform", PLATFORMS[machine], "--only-binary", ":all:", "--no-deps",
         "--require-hashes", "--link-mode", "copy", "--requirements", LOCK],
        timeout=900,
    )  # fmt: skip
    for path in unneeded(lib):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for it in ours():
        (lib / "dualtrack" / it).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PACKAGE / it, lib / "dualtrack" / it)
    if compiled and not compileall.compile_dir(
        lib, quiet=2, stripdir=str(folder), prependdir=f"{HOME}/{name}", workers=0,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    ):  # fmt: skip
        raise External("a package for `dualtrack store` does not compile", hint=f"is it for Python {python}?")
    shutil.copyfile(PACKAGE / "cli/host_launcher.py", folder / "dualtrack-store")
    sizes = {str(it.relative_to(folder)): it.stat().st_size for it in sorted(lib.rglob("*")) if it.is_file()}
    (folder / "files.json").write_bytes(msgspec.json.encode(sizes))


def unneeded(lib: Path) -> Iterator[Path]:
    """Yield what of the packages the cache never reads."""
    yield from (it for it in [lib / "bin", lib / "boto3/data", lib / ".lock"] if it.exists())
    yield from (it for it in (lib / "botocore/data").iterdir() if it.is_dir() and it.name not in SERVICES)
    yield from (lib / "pygments/lexers").glob("[!_]*.py")


def _packed(folder: Path) -> bytes:
    """Return a directory as a compressed archive that depends on nothing but its content."""

    def plain(it: tarfile.TarInfo) -> tarfile.TarInfo:
        it.mode = 0o755 if it.isdir() or it.name == "dualtrack-store" else 0o644
        it.uid = it.gid = 0
        it.uname = it.gname = "root"
        it.mtime = DATE
        return it

    out = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=out, mode="wb", compresslevel=6, mtime=DATE, filename="") as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar,
    ):
        for path in sorted(folder.rglob("*")):
            tar.add(path, arcname=str(path.relative_to(folder)), recursive=False, filter=plain)
    return out.getvalue()
