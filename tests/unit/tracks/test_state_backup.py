"""A deployment's state comes back as it was, on a controller with other directories, wholly or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from dualtrack.core import paths
from dualtrack.core.errors import BadInput, DualtrackError, Refused
from dualtrack.crypto import libcrypto
from dualtrack.inventory import deployment
from dualtrack.security.seal import actions
from dualtrack.security.seal.slots import Sm2Identity, Sm2Recipient
from dualtrack.tracks import state_backup
from dualtrack.tracks.state_backup import ELSEWHERE, MANIFEST, Manifest, Part

KEY = libcrypto.generate()
TO, BY = [Sm2Recipient(KEY)], [Sm2Identity(KEY)]
Controller = Callable[[str], Path]


def nothing(_: int) -> None:
    """Show no progress."""


@pytest.fixture
def controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Controller:
    """Return what makes commands run as on a controller of a name, and returns its directory."""

    def go(name: str) -> Path:
        home = tmp_path / name
        (home / "checkout/terraform/stacks/aws").mkdir(parents=True, exist_ok=True)
        monkeypatch.setattr(paths, "ROOT", home / "checkout")
        for module in (paths, deployment):
            monkeypatch.setattr(module, "STATE", home / "checkout/.state")
        return home

    return go


def deployed(home: Path) -> None:
    """A deployment of which something is in each place where something can be."""
    state = paths.STATE
    for path, text in {
        "pki/ca.key": "secret", "tofu/aws/terraform/main.tf": "copy", "inventories/local/hosts-local.json": json.dumps(
            {"all": {"hosts": {"a": {"ansible_ssh_common_args": f"-o UserKnownHostsFile={state}/known_hosts"}}}}
        ), "logs/configure.log": "long", "tofu/aws/terraform/data/providers/aws": "big", ".changing.lock": "",
    }.items():  # fmt: skip
        (state / path).parent.mkdir(parents=True, exist_ok=True)
        (state / path).write_text(text)
    (state / "pki/ca.key").chmod(0o600)
    (state / "pki/current").symlink_to("ca.key")
    os.mkfifo(state / "pipe")
    (paths.ROOT / "site").mkdir()
    (paths.ROOT / "site/facts.yml").write_text("hosts: []")
    (paths.ROOT / "terraform/stacks/aws/backend.hcl").write_text('bucket = "b"')
    (state / "tracks.json").write_text(json.dumps({"stack": "aws", "facts": str(paths.ROOT / "site/facts.yml")}))
    (home / "srv/keys").mkdir(parents=True)
    (home / "srv/keys/engine.key").write_text("engine")


def test_state_comes_back_on_another_controller(controller: Controller, tmp_path: Path) -> None:
    first = controller("first")
    deployed(first)
    made = state_backup.backup(tmp_path / "state.sealed", TO, [first / "srv/keys"], nothing)
    assert {(it.place, it.path) for it in made.parts} == {
        ("state", ""), ("checkout", "site/facts.yml"), ("checkout", "terraform/stacks/aws/backend.hcl"),
        ("elsewhere", str(first / "srv/keys")),
    }  # fmt: skip
    assert b"secret" not in (tmp_path / "state.sealed").read_bytes()
    assert state_backup.show(tmp_path / "state.sealed", BY, nothing) == made
    # The first machine is gone.
    first.rename(tmp_path / "gone")
    second = controller("second")
    assert state_backup.restore(tmp_path / "state.sealed", BY, nothing, dry_run=True) == made
    assert not paths.STATE.exists()
    # A file that is the same is not in the way.
    (paths.ROOT / "site").mkdir()
    (paths.ROOT / "site/facts.yml").write_text("hosts: []")
    state_backup.restore(tmp_path / "state.sealed", BY, nothing)
    state = paths.STATE
    assert (state / "pki/ca.key").read_text() == "secret"
    assert (state / "pki/ca.key").stat().st_mode & 0o777 == 0o600
    assert (state / "pki/current").readlink() == Path("ca.key")
    assert deployment.current() == deployment.Current("aws", str(second / "checkout/site/facts.yml"))
    assert f"{state}/known_hosts" in (state / "inventories/local/hosts-local.json").read_text()
    assert (first / "srv/keys/engine.key").read_text() == "engine"
    assert (paths.ROOT / "terraform/stacks/aws/backend.hcl").exists()
    left = {str(it.relative_to(state)) for it in state.rglob("*")}
    assert not left & {"logs", "pipe", ".changing.lock", "tofu/aws/terraform/data/providers"}
    assert [it.name for it in paths.STATE.parent.iterdir() if it.name.startswith(".state-backup")] == []


def test_facts_file_that_came_with_the_checkout_is_taken_along(controller: Controller, tmp_path: Path) -> None:
    """An operator may have edited it in place."""
    deployed(controller("first"))
    facts = paths.ROOT / "inventories/local/facts.yml"
    facts.parent.mkdir(parents=True)
    facts.write_text("hosts: [edited]")
    (paths.STATE / "tracks.json").write_text(json.dumps({"stack": "aws", "facts": str(facts)}))
    made = state_backup.backup(tmp_path / "state.sealed", TO, [], nothing)
    assert ("checkout", "inventories/local/facts.yml") in {(it.place, it.path) for it in made.parts}


@pytest.mark.parametrize("there", [".state/x", "site/facts.yml", "terraform/stacks/aws/backend.hcl"])
def test_nothing_is_written_over(controller: Controller, tmp_path: Path, there: str) -> None:
    deployed(controller("first"))
    state_backup.backup(tmp_path / "state.sealed", TO, [], nothing)
    second = controller("second") / "checkout"
    (second / there).parent.mkdir(parents=True, exist_ok=True)
    (second / there).write_text("mine")
    before = {str(it) for it in second.rglob("*")}
    with pytest.raises(Refused, match="is there already, and is another one: nothing was restored"):
        state_backup.restore(tmp_path / "state.sealed", BY, nothing)
    assert {str(it) for it in second.rglob("*")} == before
    assert (second / there).read_text() == "mine"


@pytest.mark.parametrize("failing", range(4))
def test_restore_that_fails_leaves_nothing(
    controller: Controller, tmp_path: Path, failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = controller("first")
    deployed(first)
    made = state_backup.backup(tmp_path / "state.sealed", TO, [first / "srv/keys"], nothing)
    assert len(made.parts) == 4
    first.rename(tmp_path / "gone")
    second = controller("second")
    before = {str(it) for it in second.rglob("*")}
    real, calls = Path.rename, []

    def rename(self: Path, target: Path) -> Path:
        if self.name.endswith(".restored"):
            calls.append(self)
            if len(calls) == failing + 1:
                raise OSError("the disk is full")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(OSError, match="the disk is full"):
        state_backup.restore(tmp_path / "state.sealed", BY, nothing)
    assert {str(it) for it in second.rglob("*") if it.name != "site"} == before
    assert not list(tmp_path.glob("first/srv/keys"))


@pytest.mark.parametrize(
    ("place", "path"),
    [("checkout", "../../etc/x"), ("checkout", "/etc/x"), ("elsewhere", "etc/x"), ("elsewhere", "/srv/../etc/x"),
     ("state", "x"), ("other", "x")],
)  # fmt: skip
def test_places_that_no_backup_has_are_refused(controller: Controller, tmp_path: Path, place: str, path: str) -> None:
    """A backup is not signed: who has the public key can make one."""
    controller("first")
    folder = tmp_path / "made"
    (folder / "parts").mkdir(parents=True)
    (folder / "parts/0").write_text("x")
    part = Part(number=0, place=place, path=path, files=1, size=1)
    manifest = Manifest(taken="now", state="/s", checkout="/c", parts=(part,))
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    actions.seal(str(folder), str(tmp_path / "state.sealed"), TO, force=False, tick=nothing)
    with pytest.raises(BadInput, match="where none belongs"):
        state_backup.restore(tmp_path / "state.sealed", BY, nothing)


def test_what_cannot_be_backed_up_or_restored_is_one_line(controller: Controller, tmp_path: Path) -> None:
    first = controller("first")
    with pytest.raises(BadInput, match="there is no state in"):
        state_backup.backup(tmp_path / "a", TO, [], nothing)
    deployed(first)
    with pytest.raises(BadInput, match="nobody could open it"):
        state_backup.backup(tmp_path / "a", [], [], nothing)
    with pytest.raises(BadInput, match="to include"):
        state_backup.backup(tmp_path / "a", TO, [tmp_path / "nowhere"], nothing)
    assert not (tmp_path / "a").exists()
    (tmp_path / "other").mkdir()
    actions.seal(str(tmp_path / "other"), str(tmp_path / "b"), TO, force=False, tick=nothing)
    with pytest.raises(BadInput, match="is not a backup"):
        state_backup.show(tmp_path / "b", BY, nothing)
    with pytest.raises(DualtrackError):
        state_backup.show(tmp_path / "b", [Sm2Identity(libcrypto.generate())], nothing)
    assert ELSEWHERE == "elsewhere"
