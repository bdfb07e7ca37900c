"""Completion from the kept file: the same as from the imported commands, cheap, and never in the way."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dualtrack.cli import completion
from dualtrack.cli.groups import ENTRIES, Entry
from tests.conftest import CLI


def complete(cache: Path, *words: str, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    env = {
        **os.environ, "DUALTRACK_CACHE": str(cache), "_DUALTRACK_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(["dualtrack", *words]), "COMP_CWORD": str(len(words)),
    }  # fmt: skip
    call = [sys.executable, *python, str(CLI)]
    return subprocess.run(call, env=env, capture_output=True, text=True, check=True, timeout=60)


def pairs(real: Any, made: Any) -> Iterator[tuple[Any, Any]]:
    yield real, made
    for name, it in getattr(real, "commands", {}).items():
        yield from pairs(it, made.commands[name])


def offered(command: Any, words: list[str]) -> list[tuple[str, str | None]]:
    with command.make_context(command.name, list(words), resilient_parsing=True) as ctx:
        return [(it.value, it.help) for it in [*command.shell_complete(ctx, "-"), *command.shell_complete(ctx, "")]]


@pytest.mark.parametrize("entry", [it for it in ENTRIES if it.name != "seal"], ids=lambda it: it.name)
def test_what_is_kept_completes_as_the_command_does(entry: Entry) -> None:
    real = entry.load()
    made = completion._made(entry.name, json.loads(json.dumps(completion._spec(real))))
    for one, other in pairs(real, made):
        options = [it for it in one.params if it.param_type_name == "option"]
        given = [[], *([it.opts[0], *(["1"] if not it.is_flag else [])] for it in options)]
        for words in given:
            assert offered(one, words) == offered(other, words), (one.name, words)


def test_the_second_completion_imports_no_command(tmp_path: Path) -> None:
    for words in (("up", "--"), ("kb", "versions", "--"), ("kb", "v")):
        first, second = complete(tmp_path, *words), complete(tmp_path, *words, python=("-X", "importtime"))
        assert first.stdout == second.stdout != ""
        loaded = set(re.findall(r"dualtrack\.\S+$", second.stderr, re.M))
        assert loaded <= {
            "dualtrack.cli", "dualtrack.cli.completion", "dualtrack.cli.examples", "dualtrack.cli.groups",
            "dualtrack.cli.renamed", "dualtrack.core", "dualtrack.core.characters", "dualtrack.core.errors",
            "dualtrack.core.output", "dualtrack.core.paths",
        }  # fmt: skip


@pytest.mark.parametrize(
    "damage", ["", "[]", "{", '{"of": 1}', "null", '{"of": OF, "command": {}}', '{"of": OF, "command": {"options": 1}}']
)
def test_a_damaged_file_is_written_anew(tmp_path: Path, damage: str) -> None:
    expected = complete(tmp_path, "use", "--").stdout
    file = tmp_path / "completion/use.json"
    whole = file.read_text()
    file.write_text(damage.replace("OF", json.dumps(json.loads(whole)["of"])))
    done = complete(tmp_path, "use", "--")
    assert (done.stdout, done.stderr) == (expected, "")
    assert file.read_text() == whole


def test_a_file_of_other_sources_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALTRACK_CACHE", str(tmp_path))
    typed = {"COMP_WORDS": "dualtrack use --", "COMP_CWORD": "2"}
    completion.keep("use", Entry("use", "", "use", "use").load())
    assert completion.kept("use", [], typed)
    monkeypatch.setattr(completion, "sources", lambda: ["others"])
    assert completion.kept("use", [], typed) is None


def test_without_a_cache_directory_commands_are_imported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = complete(tmp_path / "file", "use", "--")
    assert "--json" in done.stdout.split()
    assert done.stderr == ""


def test_values_are_completed_by_the_command(tmp_path: Path) -> None:
    complete(tmp_path, "pools", "status", "--")
    assert complete(tmp_path, "pools", "status", "--stack", "a").stdout.split() == ["aws"]
    assert complete(tmp_path, "use", "e").stdout.split() == ["emulator"]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ({"COMP_WORDS": "dualtrack up --", "COMP_CWORD": "2"}, True),
        ({"COMP_WORDS": "dualtrack up ", "COMP_CWORD": "2"}, False),
        ({"COMP_WORDS": "dualtrack up --facts=a", "COMP_CWORD": "2"}, False),
        ({"COMP_WORDS": "dualtrack ssh a -- -", "COMP_CWORD": "4"}, False),
        ({"COMP_WORDS": "dualtrack up -- b", "COMP_CWORD": "2"}, False),
        ({"COMP_WORDS": "dualtrack up 'a -", "COMP_CWORD": "3"}, False),
        ({"_TYPER_COMPLETE_ARGS": "dualtrack up --f"}, True),
        ({"_TYPER_COMPLETE_ARGS": "dualtrack up --facts "}, False),
        ({"_TYPER_COMPLETE_ARGS": "dualtrack up --f", "_TYPER_COMPLETE_WORD_TO_COMPLETE": ""}, False),
        ({}, False),
    ],
)
def test_what_is_typed(typed: dict[str, str], expected: bool) -> None:
    assert completion.begins_option(typed) is expected
