"""The command line's promises: help everywhere, one typed document with --json, errors of one line, a quick start."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from dualtrack.cli import commands
from dualtrack.core.errors import Exit
from tests.conftest import CLI, ROOT

COMMANDS = dict(commands())
#: What prints no table of its own, and a document with --json all the same.
DOCUMENTS = {("up",), ("verify",), ("lab", "up"), ("lab", "host", "add"), ("mirror", "build"), ("spot", "plan")}


def prints_table(function: Callable[..., object], seen: set[str] | None = None) -> bool:
    """Tell whether a command's code calls `table`, itself or by way of its module's other functions."""
    seen = set() if seen is None else seen
    calls = {node.func.id for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function))))
             if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}  # fmt: skip
    if "table" in calls:
        return True
    for name in calls - seen:
        seen.add(name)
        called = inspect.unwrap(function).__globals__.get(name)
        if inspect.isfunction(called) and called.__module__ == function.__module__ and prints_table(called, seen):
            return True
    return False


#: What prints a table for people prints a document with --json.
TABLES = DOCUMENTS | {
    path for path, command in COMMANDS.items() if command.callback and prints_table(inspect.unwrap(command.callback))
}


def run(folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    merged = {**os.environ, "DUALTRACK_LAB_DIR": str(folder), **env}
    return subprocess.run([CLI, *words], env=merged, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_and_option_is_explained(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    assert len(command.help or "") > 20
    for option in command.params:
        if option.param_type_name == "option" and option.name != "help":
            assert option.help, f"{' '.join(path)}: {option.name} has no help"


@pytest.mark.parametrize("path", sorted(TABLES), ids=" ".join)
def test_what_prints_tables_takes_json(path: tuple[str, ...]) -> None:
    assert "--json" in {name for option in COMMANDS[path].params for name in option.opts}


def test_the_tables_were_found() -> None:
    assert {
        ("status",),
        ("doctor",),
        ("pools", "status"),
        ("lab", "status"),
        ("drill", "spot"),
        ("access", "matrix"),
    } <= TABLES
    assert ("lab", "ssh") not in TABLES


@pytest.mark.parametrize("words", [("status",), ("lab", "status"), ("doctor",)], ids=" ".join)
def test_json_is_one_typed_document_on_stdout(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = run(tmp_path, *words, "--json")
    assert re.fullmatch(r"dualtrack\.[a-z-]+/\d+", json.loads(done.stdout)["schema"])
    assert done.returncode in {Exit.OK, Exit.MISSING}


def test_status_with_nothing_up_says_what_to_do(tmp_path: Path) -> None:
    done = run(tmp_path, "status")
    assert done.returncode == 0
    assert "make up" in done.stderr
    assert json.loads(run(tmp_path, "status", "--json").stdout)["hosts"] == []


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("nonsense",), 2),
        (("lab", "nonsense"), 2),
        (("status", "--nonsense"), 2),
        (("cloud", "up", "--stack", "mars"), 2),
        (("inventory", "--track", "moon"), 2),
        (("inventory", "--format", "toml"), 2),
        (("inventory", "--facts", "/nonexistent.yml"), 2),
        (("local", "up", "--facts", "/nonexistent.yml"), 2),
        (("local", "up", "--facts", "/"), 2),
        (("lab", "ssh", "nobody"), 2),
        (("lab", "host", "add", "x"), 4),
        (("inventory", "--endpoint", "http://127.0.0.1:1"), 4),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_errors_have_their_exit_code_and_no_traceback(tmp_path: Path, words: tuple[str, ...], code: int) -> None:
    done = run(tmp_path, *words)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert done.stderr.strip()


def test_damaged_state_is_named_not_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "tracks.json").write_text("{broken")
    done = run(tmp_path, "status")
    assert (done.returncode, "tracks.json is damaged" in done.stderr) == (Exit.BAD_INPUT, True)


def test_no_colour_in_a_pipe(tmp_path: Path) -> None:
    for words in (("doctor",), ("--help",)):
        assert "\x1b[" not in run(tmp_path, *words).stdout


def test_start_imports_nothing_heavy() -> None:
    """Start-up stays quick because what is slow is imported by the command that needs it."""
    code = "import sys, dualtrack.cli; print(' '.join(sys.modules))"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert not loaded & {
        "boto3",
        "botocore",
        "paramiko",
        "rich",
        "msgspec",
        "yaml",
        "moto",
        "cryptography",
        "ansible",
        "pytest",
    }


def test_completion_script_is_printed(tmp_path: Path) -> None:
    done = run(tmp_path, "--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert "_DUALTRACK_COMPLETE" in done.stdout


def test_setup_installs_every_program_that_doctor_asks_for() -> None:
    from dualtrack.lab.doctor import PROGRAMS

    script = (ROOT / "ci/setup.sh").read_text()
    assert dict(re.findall(r"([a-z0-9_-]+):([a-z0-9-]+)(?=[ ;\\])", script)) == PROGRAMS


def test_make_lists_every_target() -> None:
    listed = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    named = {line.split()[0] for line in listed.splitlines()}
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.M))
    assert phony is not None
    assert set(phony[1].split()) == targets
    assert named == targets
