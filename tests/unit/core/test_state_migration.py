"""The state of a deployment moves out of the lab's directory once, and is never in two places or half in one."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from pathlib import Path

import pytest

from dualtrack.core import paths, state_migration
from dualtrack.core.errors import External, Refused
from dualtrack.core.files import alone
from tests.conftest import CLI


def files(place: Path) -> dict[str, str]:
    """Every file with its text, without lock files."""
    found = {it.relative_to(place).as_posix(): it for it in sorted(place.rglob("*")) if it.is_file()}
    return {name: it.read_text() for name, it in found.items() if not name.endswith(".lock")}


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A lab's directory with the state of a deployment in it."""
    lab = tmp_path / ".lab"
    for name in (
        "tofu/aws/terraform.tfstate", "tofu/aws/.run.lock", "pki/ca.pem", "pools/aws/state.json",
        "pools/aws/.state.lock", "access/grants.json", "knowledge/base", "audit-keys/gateway-1.pub", "context.json",
        "verified.json",
        "tracks.json", "ssh/known_hosts", "ssh/id_ed25519", "hosts.d/gateway-1.json", "serving/engine.key",
    ):  # fmt: skip
        (lab / name).parent.mkdir(parents=True, exist_ok=True)
        (lab / name).write_text(f"{name}\n")
    for environment in ("aws", "lab", "local"):
        (lab / "inventories" / environment).mkdir(parents=True)
        (lab / "inventories" / environment / "hosts-cloud.json").write_text(
            json.dumps({"args": f"-o UserKnownHostsFile={lab}/ssh/known_hosts -o HostKeyAlias=x"})
        )
    (lab / "inventories/aws/group_vars").mkdir()
    (lab / "inventories/aws/group_vars/pool_spot.yml").write_text("a: 1\n")
    return lab


def expected(lab: Path, state: Path) -> tuple[dict[str, str], dict[str, str]]:
    """What stays and what the state is, from a lab in which nothing has moved."""
    before = files(lab)
    moved = {name: text for name, text in before.items() if name.split("/")[0] in paths.STATE_ENTRIES}
    for environment in ("aws", "local"):
        name = f"inventories/{environment}/hosts-cloud.json"
        moved[name] = moved[name].replace(f"{lab}/ssh/known_hosts", f"{state}/known_hosts")
    stays = {name: text for name, text in before.items() if name not in moved}
    return stays, {**moved, "known_hosts": "ssh/known_hosts\n"}


def test_state_moves_once_and_the_lab_stays(lab: Path, tmp_path: Path) -> None:
    state = tmp_path / ".state"
    stays, moved = expected(lab, state)
    assert state_migration.move(lab, state) == list(paths.STATE_ENTRIES)
    assert (files(lab), files(state)) == (stays, moved)
    assert state_migration.move(lab, state) == []


@pytest.mark.parametrize("cut", range(len(paths.STATE_ENTRIES)))
def test_a_move_that_was_cut_is_continued(lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int) -> None:
    state, rename, left = tmp_path / ".state", Path.rename, cut
    stays, moved = expected(lab, state)

    def fails(path: Path, target: Path) -> Path:
        nonlocal left
        if path.parent == lab:
            if left == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            left -= 1
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(External, match="No space left"):
        state_migration.move(lab, state)
    monkeypatch.undo()
    assert state_migration.move(lab, state) == list(paths.STATE_ENTRIES[cut:])
    assert (files(lab), files(state)) == (stays, moved)


@pytest.mark.parametrize("file", ["tofu/aws/.run.lock", "pools/aws/.state.lock", ".tracks.json.lock"])
def test_nothing_moves_while_a_program_uses_it(lab: Path, tmp_path: Path, file: str) -> None:
    (lab / file).touch()
    before = files(lab)
    with alone(lab / file, "taken"), pytest.raises(Refused, match=rf"in use: process {os.getpid()}"):
        state_migration.move(lab, tmp_path / ".state")
    assert files(lab) == before
    assert not (tmp_path / ".state").exists()


def test_an_entry_in_both_places_is_nobodys_guess(lab: Path, tmp_path: Path) -> None:
    before = files(lab)
    (tmp_path / ".state/pki").mkdir(parents=True)
    with pytest.raises(Refused, match="two places: pki"):
        state_migration.move(lab, tmp_path / ".state")
    assert files(lab) == before


@pytest.mark.parametrize("kind", ["bytes", "directory", "dangling link"])
def test_damaged_inventories_move_as_they_are(lab: Path, tmp_path: Path, kind: str) -> None:
    path = lab / "inventories/aws/hosts-cloud.json"
    path.unlink()
    if kind == "bytes":
        path.write_bytes(b"\xff\xfe")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    assert state_migration.move(lab, tmp_path / ".state") == list(paths.STATE_ENTRIES)
    assert os.path.lexists(tmp_path / ".state/inventories/aws/hosts-cloud.json")


def test_a_relative_link_leads_to_the_same_place(lab: Path, tmp_path: Path) -> None:
    (lab / "pki").rename(tmp_path / "elsewhere")
    (lab / "pki").symlink_to("../elsewhere")
    state_migration.move(lab, tmp_path / "deep/state")
    assert (tmp_path / "deep/state/pki/ca.pem").read_text() == "pki/ca.pem\n"
    assert not os.path.lexists(lab / "pki")


def test_host_keys_are_added_to_those_that_are_there(lab: Path, tmp_path: Path) -> None:
    state = tmp_path / ".state"
    state.mkdir()
    (state / "known_hosts").write_text("newer\n")
    state_migration.move(lab, state)
    assert (state / "known_hosts").read_text() == "newer\nssh/known_hosts\n"


def test_of_several_commands_one_moves_it_and_the_others_are_silent(lab: Path) -> None:
    env = {name: it for name, it in os.environ.items() if not name.startswith("DUALTRACK_")}
    env["DUALTRACK_LAB_DIR"] = str(lab)
    (lab / "context.json").unlink()
    running = [
        subprocess.Popen([CLI, "use"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    said = [it.communicate(timeout=120)[1] for it in running]
    assert [it.returncode for it in running] == [0] * 6
    assert sorted(text.count("\n") for text in said) == [0] * 5 + [1]


def test_where_the_state_is(tmp_path: Path) -> None:
    default = paths.ROOT / ".state"
    assert paths.state_dir(paths.ROOT / ".lab", None) == paths.state_dir(paths.ROOT / ".lab", "") == default
    assert paths.state_dir(tmp_path, None) == tmp_path / "state"
    assert paths.state_dir(tmp_path, "/srv/state") == Path("/srv/state")


def call(lab: Path, **more: str) -> subprocess.CompletedProcess[str]:
    env = {name: it for name, it in os.environ.items() if not name.startswith("DUALTRACK_")}
    env |= {"DUALTRACK_LAB_DIR": str(lab), **more}
    return subprocess.run([CLI, "use"], env=env, capture_output=True, text=True, check=False)


def test_the_program_moves_it_and_says_so_once(lab: Path, tmp_path: Path) -> None:
    (lab / "context.json").write_text('{"stack": "aws"}')
    given = call(lab, DUALTRACK_STATE_DIR=str(tmp_path / "other"))
    assert (given.stdout, given.stderr) == ("emulator (default)\n", "")  # that is another deployment's
    first, second = call(lab), call(lab)
    assert first.stdout == second.stdout == "aws (dualtrack use)\n"
    assert (first.stderr.count("\n"), f"is now in {lab}/state\n" in first.stderr, second.stderr) == (1, True, "")
