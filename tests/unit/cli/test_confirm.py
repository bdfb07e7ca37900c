"""One rule before changes: shown and asked, `--yes` and `--dry-run`, and nothing changed without an answer."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer

from dualtrack.cli import commands, confirm, play, spot
from dualtrack.cli.groups import BY_NAME
from dualtrack.core.errors import Refused
from dualtrack.core.output import form
from dualtrack.core.paths import ROOT
from tests.conftest import CLI

#: Words for the same that earlier releases had. `sync run` and `writeback push` check what is there, and change more.
OLD = {"--apply", "--write", "--check"}
OTHER = {("sync", "run"), ("writeback", "push")}


COMMANDS: dict[tuple[str, ...], Any] = dict(commands())


def options(path: tuple[str, ...]) -> set[str]:
    return {name for it in COMMANDS[path].params if not getattr(it, "hidden", False) for name in it.opts}


def test_no_command_has_another_word_for_it() -> None:
    assert {path for path in COMMANDS if options(path) & OLD} == OTHER


def test_a_no_and_no_answer_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(*_: Any, **__: Any) -> bool:
        raise typer.Abort

    monkeypatch.setattr(typer, "prompt", ended)
    with pytest.raises(Refused, match="nobody answered"):
        confirm.confirmed("Continue?")
    monkeypatch.setattr(typer, "prompt", lambda *_, **__: False)
    with pytest.raises(Refused, match="not confirmed"):
        confirm.confirmed("Continue?")
    monkeypatch.setattr(typer, "prompt", lambda *_, **__: True)
    confirm.confirmed("Continue?")


@pytest.mark.parametrize(
    ("yes", "dry_run", "json", "shows"),
    [
        (False, False, False, False),
        (True, False, False, False),
        (True, True, False, True),
        (False, False, True, True),
        (True, False, True, False),
    ],
)
def test_when_a_command_only_shows(yes: bool, dry_run: bool, json: bool, shows: bool) -> None:
    assert confirm.only_shows(yes=yes, dry_run=dry_run, json=json) is shows


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a stack's directory, which `spot` takes for the stack's own."""
    folder = tmp_path / "stack"
    shutil.copytree(ROOT / "terraform/stacks/emulator", folder, ignore=shutil.ignore_patterns(".terraform", "*.auto.*"))
    monkeypatch.setattr(spot.variables, "folder", lambda _: folder)
    return folder / "pools.auto.tfvars.json"


def apply(*words: str) -> None:
    command = BY_NAME["spot"].load()
    try:
        command.main(["apply", "--max-age", "100000", *words], standalone_mode=False)
    finally:
        form.reset()


def test_spot_apply_asks_before_it_writes(
    stack: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(typer, "prompt", lambda text, *_, **__: asked.append(text) or False)
    apply("--dry-run")
    assert "+++ pools.auto.tfvars.json (planned)" in capsys.readouterr().err
    assert (asked, stack.exists()) == ([], False)
    with pytest.raises(Refused):
        apply()
    assert (len(asked), stack.exists()) == (1, False)
    capsys.readouterr()
    apply("--json")
    assert (len(asked), stack.exists()) == (1, False)
    shown = json.loads(capsys.readouterr().out)
    apply("--json", "--yes")
    assert (len(asked), stack.exists()) == (1, True)
    written = json.loads(capsys.readouterr().out)
    assert (shown["applied"], written["applied"], shown.keys()) == (False, True, written.keys())
    stack.unlink()
    apply("--yes")
    assert (len(asked), stack.exists()) == (1, True)
    apply()  # nothing would change: nothing is asked
    assert len(asked) == 1


def call(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([CLI, *words], input="", capture_output=True, text=True, check=False, timeout=60)


def test_old_ways_to_write_a_plan_say_the_new_one() -> None:
    done = call("spot", "plan", "--max-age", "100000", "--dry-run")
    assert "`spot plan --dry-run` is now `spot apply --dry-run`" in done.stderr
    assert "--write" not in call("spot", "plan", "--help").stdout


def test_spot_apply_without_an_answer_writes_nothing() -> None:
    done = call("spot", "apply", "--max-age", "100000", "--demand", "17")
    assert done.returncode == 5
    assert "nobody answered: nothing was changed (--yes does it" in done.stderr


@pytest.mark.parametrize(
    ("said", "code", "wrong"),
    [("n\n", 5, 0), ("\n", 5, 0), ("what\nn\n", 5, 1), ("x\n" * 9, 2, 2), ("x\n", 5, 1), ("what\nYES\n", 0, 1)],
)
def test_an_answer_that_cannot_be_read_is_asked_for_again_but_not_for_ever(
    tmp_path: Path, said: str, code: int, wrong: int
) -> None:
    command = [CLI, "init", "--host", "web-1=192.0.2.11", "--facts", tmp_path / "facts.yml"]
    done = subprocess.run(command, input=said, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr.count("Error: ")) == (code, wrong), done.stderr
    assert (tmp_path / "facts.yml").exists() == (code == 0)


def test_play_asks_on_real_hosts_only(tmp_path: Path) -> None:
    from dualtrack.inventory import deployment

    lab = [deployment.COMMON, ROOT / "inventories/lab", tmp_path / "lab"]
    assert play._real(lab) == []
    assert play._real([*lab, tmp_path / "aws", tmp_path / "local"]) == ["aws", "local"]
