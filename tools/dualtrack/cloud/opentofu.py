"""The OpenTofu or Terraform binary: found on the PATH, else built once from the pinned Go module."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dualtrack.core import paths, proc
from dualtrack.core.errors import BadInput, DualtrackError, External, Missing
from dualtrack.core.files import lock

Progress = Callable[[str], None]

#: As OpenTofu's own release builds: without `version.dev=no` the binary calls itself a development version.
_BUILD_FLAGS = (
    "-trimpath",
    "-buildvcs=false",
    "-ldflags=-s -w -X github.com/opentofu/opentofu/version.dev=no",
)
_PACKAGE = "github.com/opentofu/opentofu/cmd/tofu"


@dataclass(frozen=True)
class Binary:
    """A program that speaks OpenTofu's language: where it is, and its version as numbers."""

    path: Path
    version: tuple[int, ...]

    @property
    def label(self) -> str:
        """Name and version for people, such as ``terraform 1.11.4``."""
        return f"{self.path.name} {'.'.join(map(str, self.version))}"


def parse_version(text: str) -> tuple[int, ...]:
    """Return the numbers of the first ``1.2.3`` in ``text`` (a leading v, ``go`` or a suffix is left aside).

    Raises External when there is none.
    """
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    if not found:
        raise External(f"no version number in {text.strip()[:80]!r}")
    return tuple(int(part or 0) for part in found.groups())


def ensure(progress: Progress = lambda _: None) -> Binary:
    """Return a usable binary, building OpenTofu if there is none (about five minutes, once for all checkouts).

    Looked at in this order: the path in `DUALTRACK_TOFU`, `tofu` on the PATH, `terraform` on the PATH, an earlier
    build. Raises BadInput when `DUALTRACK_TOFU` names no usable program, and Missing when Go is absent or too old.
    """
    return find() or _binary(build(progress))


def find() -> Binary | None:
    """Return a usable binary that is there already, or None."""
    chosen = os.environ.get("DUALTRACK_TOFU")
    if chosen:
        try:
            binary = _binary(Path(chosen))
        except (DualtrackError, OSError) as exc:
            raise BadInput(f"DUALTRACK_TOFU={chosen} does not run: {exc}") from None
        if binary.version < _minimum():
            raise BadInput(f"DUALTRACK_TOFU={chosen} is {binary.label}", hint=f"{_pin()} or newer is needed")
        return binary
    for name in ("tofu", "terraform"):
        path = shutil.which(name)
        if path is None:
            continue
        try:
            binary = _binary(Path(path))
        except DualtrackError:
            continue  # a wrapper without a program behind it: the next candidate may work
        if binary.version >= _minimum():
            return binary
    try:
        built = built_path()
    except Missing:
        return None
    return _binary(built) if built.exists() else None


def built_path() -> Path:
    """Return where the build for this go.mod and this Go lies, or would lie. Raises Missing without a usable Go."""
    source = paths.ROOT / "tools" / "opentofu"
    digest = hashlib.sha256()
    for part in ((source / "go.mod").read_bytes(), (source / "go.sum").read_bytes(), _go_version().encode()):
        digest.update(hashlib.sha256(part).digest())
    digest.update(" ".join(_BUILD_FLAGS).encode())
    return paths.cache_dir() / "opentofu" / digest.hexdigest()[:16] / "tofu"


def build(progress: Progress = lambda _: None) -> Path:
    """Build OpenTofu from tools/opentofu/go.mod and return its path; a second caller waits for the first."""
    target = built_path()
    target.parent.mkdir(parents=True, exist_ok=True)
    with _only_one(target.parent / ".lock"):
        if target.exists():
            return target
        partial = target.with_name(f".tofu.{os.getpid()}")
        log = target.parent / "build.log"
        progress("building OpenTofu from its Go module (about five minutes, once)")
        try:
            _compile(partial, log, progress)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    progress(f"built {_binary(target).label}")
    return target


def _compile(output: Path, log: Path, progress: Progress) -> None:
    command = ["go", "build", "-v", *_BUILD_FLAGS, "-o", str(output), _PACKAGE]
    packages = 0
    with (
        log.open("w", encoding="utf-8") as sink,
        subprocess.Popen(
            command, cwd=paths.ROOT / "tools" / "opentofu", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        assert process.stderr is not None  # noqa: S101 - it was asked for two lines above
        with proc.tracked(process):
            for line in process.stderr:
                sink.write(line)
                packages += 1
                if packages % 100 == 0:
                    progress(f"building OpenTofu: {packages} packages compiled")
    proc.pause(0)  # stopped on purpose: that is not a failure of the build
    if process.returncode != 0:
        raise External(f"go build of OpenTofu failed: {proc.last_line(log.read_text())}; all of it: {log}")


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Hold ``path`` against other processes."""
    with path.open("w") as file:
        lock(file.fileno())
        yield


def _binary(path: Path) -> Binary:
    # Without a configuration of its own: a broken ~/.terraformrc is reported where it matters, not here.
    done = proc.run([path, "version", "-json"], env={"TF_CLI_CONFIG_FILE": os.devnull, "CHECKPOINT_DISABLE": "1"})
    try:
        said = json.loads(done.stdout)["terraform_version"]
    except (ValueError, KeyError, TypeError):
        raise External(f"{path} does not answer like OpenTofu: {proc.last_line(done.stdout)[:80]}") from None
    return Binary(path, parse_version(said))


def _go_version() -> str:
    """Return what `go env GOVERSION` says, such as ``go1.26.8``. Raises Missing when it is absent or too old."""
    wanted = str(paths.pins()["go_minimum"])
    hint = f"install Go {wanted} or newer, or put tofu or terraform {_pin()} or newer on the PATH"
    if shutil.which("go") is None:
        raise Missing("neither OpenTofu nor a Go to build it with is installed", hint=hint)
    said = proc.run(["go", "env", "GOVERSION"], cwd=paths.ROOT).stdout.strip()
    if parse_version(said) < parse_version(wanted):
        raise Missing(f"{said} is too old to build OpenTofu", hint=hint)
    return said


def _pin() -> str:
    return str(paths.pins()["tofu_minimum"])


def _minimum() -> tuple[int, ...]:
    return parse_version(_pin())
