"""The results that passed, kept outside the checkout: for each unit its last inputs, path by path, and when it passed.

A result holds when every input and the environment are as they were. Since inputs are what the run opened, nothing
else can have had a part in it, but time and the world outside: results expire.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from ci.gate.tree import Tree
from ci.gate.units import file_name

#: How long a result holds, in seconds: package registries, certificates and dated prices are not inputs.
EXPIRY_S = 14 * 86400
#: How many results of one unit are kept, the newest first: those of a few branches.
KEPT = 8
#: Variables that tests and the product read: with one of them set, the run is not the one that others would make.
READ = ("DUALTRACK_", "ANSIBLE_", "MOLECULE_", "PYTEST_", "AWS_", "TF_", "HYPOTHESIS_", "TOFU_")
#: Of those, what says where things are kept, or how this machine reaches registries (environment.py counts that).
HARMLESS = {
    "DUALTRACK_CACHE",
    "DUALTRACK_LAB_DIR",
    "DUALTRACK_STATE_DIR",
    "DUALTRACK_CGROUP",
    "AWS_CA_BUNDLE",
    "TF_CLI_CONFIG_FILE",
}


class Step(msgspec.Struct, frozen=True):
    """One test: its outcome as pytest calls it, seconds, and seconds of processor time of all its processes."""

    name: str
    outcome: str
    seconds: float
    cpu_s: float
    reason: str = ""


class Result(msgspec.Struct, frozen=True):
    """A unit that passed. ``hosts`` says what it ran on: `none`, `container`, `vm`; ``at`` is in seconds since 1970."""

    at: float
    seconds: float
    cpu_s: float
    hosts: str
    environment: str
    inputs: dict[str, str]
    steps: tuple[Step, ...]
    digest: str


class Results:
    """The results in ``directory``, one file for each unit."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def load(self, unit: str) -> list[Result]:
        """Return a unit's results, the newest first; none when they cannot be read."""
        try:
            return msgspec.json.decode(self._file(unit).read_bytes(), type=list[Result])
        except (OSError, msgspec.DecodeError):
            return []

    def save(self, unit: str, result: Result) -> None:
        """Put a result in front of a unit's others."""
        self.directory.mkdir(parents=True, exist_ok=True)
        others = [it for it in self.load(unit) if it.digest != result.digest]
        path = self._file(unit)
        new = path.with_name(f"{path.name}.{os.getpid()}")
        new.write_bytes(msgspec.json.encode([result, *others][:KEPT]))
        new.replace(path)

    def _file(self, unit: str) -> Path:
        return self.directory / f"{file_name(unit)}.json"


def valid(results: Sequence[Result], tree: Tree, environment: str, now: float | None = None) -> Result | None:
    """Return the result that holds for the tree as it is, if any does."""
    return next((it for it in results if not stale(it, tree, environment, now)), None)


def stale(result: Result, tree: Tree, environment: str, now: float | None = None) -> str:
    """Return why a result does not hold any more, in a few words; '' when it does."""
    if (now or time.time()) - result.at > EXPIRY_S:
        return "its result is too old"
    if result.environment != environment:
        return "the tools or the system changed"
    changed = [path for path, digest in result.inputs.items() if tree.digest(path) != digest]
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        return f"{changed[0] or 'the list of files'}{more} changed"
    return ""


def untrusted(environ: Mapping[str, str]) -> list[str]:
    """Return the variables that are set and that tests read: results are then neither used nor kept."""
    return sorted(name for name in environ if name.startswith(READ) and name not in HARMLESS)


def digest_of(inputs: Mapping[str, str], environment: str) -> str:
    """Return one digest of all inputs and the environment, to name a result by."""
    text = "".join(f"{path}\0{digest}\n" for path, digest in sorted(inputs.items()))
    return hashlib.sha256(f"{environment}\n{text}".encode()).hexdigest()
