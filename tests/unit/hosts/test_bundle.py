"""The program for hosts: what its archive is called, how the launcher takes its words, what the lock file holds."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import modulefinder
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from dualtrack.cli import host_launcher
from dualtrack.core.errors import BadInput
from dualtrack.core.paths import ROOT
from dualtrack.hosts import bundle
from dualtrack.lab import rootfs

HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"


def entries(name: str) -> dict[str, str]:
    """Return a lock file's pins, with their digests, by package."""
    text = (ROOT / "requirements" / name).read_text().replace("\\\n", " ")
    return {line.split("==")[0]: " ".join(line.split()) for line in text.splitlines() if "==" in line}


def test_hosts_run_what_was_tested_here() -> None:
    of_hosts, ours = entries("store.txt"), entries("main.txt")
    assert {"boto3", "msgspec", "typer"} <= set(of_hosts)
    assert all(line.count("--hash=sha256:") for line in of_hosts.values())
    assert {name: ours.get(name) for name in of_hosts} == of_hosts


def test_name_follows_from_all_that_goes_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = [bundle.digest(python, machine) for python in ("3.11", "3.12") for machine in bundle.PLATFORMS]
    assert len(set(names)) == 4
    assert names[0] == bundle.digest("3.11", "x86_64")
    lock = tmp_path / "store.txt"
    lock.write_bytes(bundle.LOCK.read_bytes() + b"\n")
    monkeypatch.setattr(bundle, "LOCK", lock)
    assert bundle.digest("3.11", "x86_64") != names[0]


def test_hosts_get_what_their_commands_import_and_nothing_of_the_controllers_own() -> None:
    found = {str(it) for it in bundle.ours()}
    needed = {"cli/__init__.py", "cli/host_launcher.py", "data/checkpoints/pull.py", "knowledge/service/page/page.js"}
    assert needed <= found
    assert not [it for it in found if "__pycache__" in it or it.endswith(".pyc")]
    assert not [it for it in found if it.startswith(("lab/", "cloud/", "verify/", "hosts/", "cli/tracks", "cli/lab"))]
    # 1.51 MB of the package's 2.7 MB, in November 2026; compiled and packed with its libraries, the archive has 10 MB.
    assert sum((bundle.PACKAGE / it).stat().st_size for it in found) < 1_600_000


def test_what_goes_in_is_all_that_python_finds() -> None:
    """`modulefinder` reads compiled code, and knows nothing of programs that are started by name."""
    roots = [path for path in bundle.ours() if path.parts[0] == "cli" and path.name != "__init__.py"]
    finder = modulefinder.ModuleFinder(path=[str(bundle.PACKAGE.parent)])
    for path in roots:
        finder.import_hook(f"dualtrack.cli.{path.stem}")
    mine = {Path(it.__file__).relative_to(bundle.PACKAGE) for it in finder.modules.values() if it.__file__}
    assert mine <= set(bundle.ours())
    assert len(mine) > 150


@pytest.mark.parametrize(
    ("python", "machine", "what"),
    [("3.10", "x86_64", "3.11 or later"), ("3", "x86_64", "too old"), ("3.11", "riscv64", "no packages")],
)
def test_hosts_that_cannot_run_it_are_told_why(python: str, machine: str, what: str) -> None:
    with pytest.raises(BadInput, match=what):
        bundle.ensure(python, machine)


def test_the_lab_can_run_it() -> None:
    python, machine = rootfs.python()
    assert bundle.digest(python, machine)
    assert machine in bundle.PLATFORMS


def test_settings_of_the_host_come_after_the_environment() -> None:
    environment = {"DUALTRACK_STORE": "/mine"}
    host_launcher.settle("# a comment\nDUALTRACK_STORE=/srv\nAWS_DEFAULT_REGION=eu-west-1\n\nodd line\n", environment)
    assert environment == {"DUALTRACK_STORE": "/mine", "AWS_DEFAULT_REGION": "eu-west-1"}


def test_words_are_those_of_dualtrack_store() -> None:
    assert host_launcher.arguments("store", ["list", "--json"]) == ["store", "list", "--json"]
    assert host_launcher.arguments("store", []) == ["store"]
    assert host_launcher.arguments("store", ["--version"]) == ["--version"]
    assert host_launcher.arguments("audit", ["verify", "DIR"]) == ["audit", "verify", "DIR"]
    assert [host_launcher.group(name) for name in ("dualtrack-store", "dualtrack-audit")] == ["store", "audit"]


def test_root_becomes_the_owner_but_not_to_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    environment = {"DUALTRACK_STORE": str(tmp_path)}
    if tmp_path.stat().st_uid == 0:
        assert host_launcher.owner(["list"], environment) is None
        os.chown(tmp_path, 990, 991)
        assert host_launcher.owner(["list"], environment) == (990, 991)
    assert host_launcher.owner(["hold", "one"], environment) is None
    assert host_launcher.owner(["list"], {"DUALTRACK_STORE": "/nonexistent"}) is None
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert host_launcher.owner(["list"], environment) is None


@pytest.fixture(scope="module")
def module() -> ModuleType:
    """The role's module, which hosts get without this package."""
    path = ROOT / "plugins/modules/host_program.py"
    spec = importlib.util.spec_from_loader("it", importlib.machinery.SourceFileLoader("it", str(path)))
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_a_torn_program_is_seen(module: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/a.py").write_bytes(b"12345")
    assert not module.sound(tmp_path)
    (tmp_path / "files.json").write_text(json.dumps({"lib/a.py": 5}))
    assert module.sound(tmp_path)
    (tmp_path / "lib/a.py").write_bytes(b"1234")
    assert not module.sound(tmp_path)
    (tmp_path / "files.json").write_text("{")
    assert not module.sound(tmp_path)


def test_link_turns_to_another_program(module: ModuleType, tmp_path: Path) -> None:
    for name in ("one", "two"):
        module.turn(tmp_path / "current", name)
        assert str((tmp_path / "current").readlink()) == name
    assert [it.name for it in tmp_path.iterdir()] == ["current"]
