"""Old names of commands and options work, are hidden, and say the new name on stderr only."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dualtrack.cli import commands, renamed
from dualtrack.cli.groups import BY_NAME
from tests.conftest import CLI

CURRENT: dict[tuple[str, ...], Any] = dict(commands())
OPTIONS = [(path, old, new) for path, names in renamed.OPTIONS.items() for old, new in names.items()]


def call(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([CLI, *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("old", "new"), renamed.COMMANDS.items())
def test_an_old_command_says_its_new_name_and_does_the_same(old: str, new: str) -> None:
    by_old, by_new = call(*old.split(), "--help"), call(*new.split(), "--help")
    assert by_old.stderr == f"dualtrack: `{old}` is now `{new}`; the old name goes with the next release\n"
    assert by_new.stderr == ""
    assert by_old.returncode == by_new.returncode == 0
    assert tuple(old.split()) not in CURRENT
    listed = call(*old.split()[:-1], "--help").stdout
    assert f" {old.split()[-1]} " not in listed
    assert f" {new.split()[-1]} " in listed
    group = BY_NAME[old.split()[0]].load()
    assert group.commands[old.split()[-1]].params == group.commands[new.split()[-1]].params


@pytest.mark.parametrize(("path", "old", "new"), OPTIONS)
def test_an_old_option_says_its_new_name(path: str, old: str, new: str) -> None:
    names = {name: option for option in CURRENT[tuple(path.split())].params for name in option.opts}
    assert old not in names
    value = () if names[new].is_flag else ("7",)
    done = call(*path.split(), old, *value, "--help")
    assert done.stderr == f"dualtrack: `{old}` is now `{new}`; the old name goes with the next release\n"
    assert done.returncode == 0
    assert "Usage" in done.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--old", "x"], ["--new", "x"]),
        (["--old=x"], ["--new=x"]),
        (["-oyaml"], ["--new=yaml"]),
        (["-o", "yaml"], ["--new", "yaml"]),
        (["--older", "x"], ["--older", "x"]),
        (["-i", "x", "--", "--old"], ["-i", "x", "--", "--old"]),
        (["-", "--new", "x"], ["-", "--new", "x"]),
    ],
    ids=str,
)
def test_only_the_options_that_were_renamed_are_changed(words: list[str], expected: list[str]) -> None:
    said: list[tuple[str, str]] = []
    assert (
        renamed.current(words, {"--old": "--new", "-o": "--new"}, lambda old, new: said.append((old, new))) == expected
    )
    assert bool(said) == (words != expected)


def test_stdout_and_exit_codes_are_those_of_the_new_name(tmp_path: Path) -> None:
    for number, name in enumerate(("begin", "init")):
        done = call("audit", name, tmp_path / str(number), "--host", "h")
        assert done.returncode == 0
        assert done.stdout.startswith("-----BEGIN PUBLIC KEY-----\n")
    old, new = (call("audit", name, tmp_path / "none", "--json") for name in ("seal", "sign"))
    assert (old.returncode, old.stdout) == (new.returncode, new.stdout)
    assert old.stderr.splitlines()[1:] == new.stderr.splitlines()


def test_completion_prints_no_notice() -> None:
    words = "dualtrack audit begin --"
    env = {**os.environ, "_DUALTRACK_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "3"}
    assert subprocess.run([CLI], env=env, capture_output=True, text=True, check=False).stderr == ""
