"""Commands that change hosts: one at a time, whichever two they are. The tracks of one `up` still run side by side."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dualtrack import cli
from dualtrack.cli import bring_up, pki_renew, play, tracks
from dualtrack.cli.bring_up import changing
from dualtrack.core.task_graph import Task
from tests.conftest import CLI

COMMANDS = (
    "up", "down", "cloud up", "cloud join", "cloud down", "local up", "local down", "cloud up --stack aws",
)  # fmt: skip


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(bring_up, "STATE", tmp_path / "state")
    return tmp_path / "state"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_waits_for_another_one_and_ctrl_c_ends_the_wait(state: Path, tmp_path: Path, command: str) -> None:
    """Nothing was done by then: not even the lab has a directory."""
    env = {**os.environ, "DUALTRACK_STATE_DIR": str(state), "DUALTRACK_LAB_DIR": str(tmp_path / "lab")}
    with changing("up --full"):
        process = subprocess.Popen([CLI, *command.split()], env=env, stderr=subprocess.PIPE, text=True)
        assert process.stderr
        try:
            said = next((it for it in process.stderr if not it.startswith("stack: ")), "")
            assert said.startswith("waiting for `dualtrack up --full`, which runs since ")
            assert f"(process {os.getpid()})" in said
            process.send_signal(signal.SIGINT)
            _, rest = process.communicate()
        finally:
            process.kill()
            process.wait()
    assert (process.returncode, rest) == (130, "dualtrack: interrupted; nothing was changed\n")
    assert not (tmp_path / "lab").exists()
    assert [it.name for it in state.iterdir()] == [".changing.lock"]


@pytest.mark.parametrize("words", [("down", "--dry-run"), ("local", "down", "--dry-run"), ("cloud", "variables")])
def test_what_changes_nothing_waits_for_nobody(state: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    env = {**os.environ, "DUALTRACK_STATE_DIR": str(state), "DUALTRACK_LAB_DIR": str(tmp_path / "lab")}
    with changing("up"):
        done = subprocess.run([CLI, *words], env=env, capture_output=True, text=True, check=False)
    assert "waiting" not in done.stderr
    assert done.returncode == 0


def test_the_tracks_of_one_up_run_side_by_side(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each waits for the other one: they would wait for ever one after the other."""
    both = threading.Barrier(2, timeout=60)

    def one(*_: object, **__: object) -> Any:
        both.wait()
        assert (state / ".changing.lock").read_bytes().startswith(b'{"command":"up"')
        return SimpleNamespace(track="x", changed=False, hosts=1, passed=1, unchanged=True)

    names = ("root file system", "mirror", "AWS provider")
    monkeypatch.setattr(tracks, "_setup_tasks", lambda: [Task(it, lambda _: None) for it in names])
    monkeypatch.setattr(tracks.control, "up", lambda _: None)
    monkeypatch.setattr(tracks.cloud_track, "up", one)
    monkeypatch.setattr(tracks.local_track, "up", one)
    shown: list[Any] = []
    monkeypatch.setattr(tracks, "show_settled", lambda results, _: shown.extend(results))
    tracks.up(facts=None, full=False, json=True)
    assert len(shown) == 2
    assert (state / ".changing.lock").read_bytes() == b""


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch, state: Path) -> list[bytes]:
    """What the lock says while a playbook runs."""
    seen: list[bytes] = []

    def configure(*_: object, **__: object) -> Any:
        path = state / ".changing.lock"
        seen.append(path.read_bytes() if path.exists() else b"")
        return SimpleNamespace(changed={}, seconds=1)

    monkeypatch.setattr(play.deployment, "inventories", lambda: [Path("common"), Path("lab")])
    monkeypatch.setattr(play.deployment, "generated", lambda: [SimpleNamespace(hosts=["h1"])])
    monkeypatch.setattr(play.unchanged, "forget_matching", lambda *_: None)
    monkeypatch.setattr(play.ansible_runner, "configure", configure)
    return seen


@pytest.mark.parametrize(("check", "name"), list(itertools.product([False, True], ["base", "renew-certificates"])))
def test_a_playbook_takes_its_turn_where_it_changes_something(
    configured: list[bytes], monkeypatch: pytest.MonkeyPatch, check: bool, name: str
) -> None:
    words = ["dualtrack", "play", name, *(["--dry-run"] if check else ["--yes"])]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    assert [it.startswith(b'{"command":"play %b"' % name.encode()) for it in configured] == [not check]


@pytest.mark.parametrize(("option", "runs"), [("--dry-run", []), ("--yes", [True])])
def test_a_renewal_of_certificates_takes_its_turn(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, runs: list[bool]
) -> None:
    seen: list[bool] = []

    def renew(*_: object) -> Any:
        seen.append((state / ".changing.lock").read_bytes().startswith(b'{"command":"pki renew"'))
        return SimpleNamespace(unused=[], result=SimpleNamespace(seconds=1))

    due = [SimpleNamespace(wanted=True, host="h1", line="gateway h1")]
    monkeypatch.setattr(pki_renew.certificates, "standings", lambda _: due)
    monkeypatch.setattr(pki_renew.certificates, "renew", renew)
    monkeypatch.setattr(pki_renew.certificates, "clean", lambda _: [])
    monkeypatch.setattr(sys, "argv", ["dualtrack", "pki", "renew", "--pki", str(tmp_path), option])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert (ended.value.code or 0, seen) == (0, runs)
