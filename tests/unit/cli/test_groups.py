"""The lazy group: what is imported when, and that hosts can import what they run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

import pytest
from typer.core import TyperCommand

from dualtrack.cli import commands
from dualtrack.cli.examples import EXAMPLES
from dualtrack.cli.groups import BY_NAME, ENTRIES, PANELS, Entry
from tests.conftest import CLI, ROOT

#: What a lock file's packages are imported as, where that is not their name.
IMPORTED = {
    "faiss-cpu": "faiss", "markdown-it-py": "markdown_it", "python-dateutil": "dateutil", "python-docx": "docx",
    "cffi": "_cffi_backend",
}  # fmt: skip
ONLY = """
import importlib, sys
from pathlib import Path

class Absent:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top not in {allowed}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
from dualtrack.cli.groups import BY_NAME
BY_NAME[{group!r}].load()
"""


def packages(*locks: str) -> set[str]:
    """Return what can be imported with the packages of lock files."""
    names = {name for lock in locks for name in re.findall(r"^([a-z0-9_.-]+)==", (ROOT / lock).read_text(), re.M)}
    return {IMPORTED.get(name, name.replace("-", "_")) for name in names} | {"dualtrack"}


@pytest.mark.parametrize(
    ("group", "locks"),
    [
        ("store", ()),
        ("audit", ()),
        ("kb", ("requirements/knowledge.txt",)),
        ("pii", ("requirements/knowledge.txt",)),
        ("sync", ("requirements/knowledge.txt",)),
        ("writeback", ("requirements/knowledge.txt",)),
    ],
)
def test_hosts_have_what_their_groups_import(group: str, locks: tuple[str, ...]) -> None:
    code = ONLY.format(allowed=packages("requirements/store.txt", *locks), group=group)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "env"),
    [
        (("--version",), {}),
        (("--help",), {}),
        ((), {"_DUALTRACK_COMPLETE": "complete_bash", "COMP_WORDS": "dualtrack p", "COMP_CWORD": "1"}),
    ],
    ids=("version", "help", "completion"),
)
def test_the_top_level_imports_no_commands(words: tuple[str, ...], env: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", CLI, *words],
        env={**os.environ, **env}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout
    loaded = set(re.findall(r"dualtrack\.\S+$", done.stderr, re.M))
    assert loaded <= {
        "dualtrack.cli", "dualtrack.cli.examples",
        "dualtrack.cli.groups", "dualtrack.cli.renamed", "dualtrack.core",
        "dualtrack.core.characters", "dualtrack.core.errors", "dualtrack.core.output",
    }  # fmt: skip


def test_a_group_imports_its_own_modules_only() -> None:
    code = "import sys; from dualtrack.cli.groups import BY_NAME; BY_NAME['keys'].load(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    commands = {name for name in done.stdout.split() if name.startswith("dualtrack.cli.")}
    assert {it for it in commands if it.rpartition(".")[2] in {entry.module for entry in ENTRIES}} == {
        "dualtrack.cli.keys"
    }


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_the_list_of_commands_says_what_their_help_says(entry: Entry) -> None:
    command = entry.load()
    assert command.name == entry.name
    if isinstance(command, TyperCommand):
        assert " ".join(command.help.split("\n\n")[0].split()) == entry.help


def test_every_module_of_commands_is_named_once() -> None:
    shared = {
        "__init__", "groups", "options", "formats", "watching", "names", "confirm", "bring_up", "context",
        "examples", "renamed", "completion", "host_launcher", "chinese",
    }  # fmt: skip
    modules = {path.stem for path in (ROOT / "tools/dualtrack/cli").glob("*.py")} - shared
    named = {name for it in ENTRIES for name in (it.module, *it.more)}
    assert len(BY_NAME) == len(ENTRIES)
    assert modules - {"lab_aws"} == named


def test_what_is_misspelled_is_suggested() -> None:
    done = subprocess.run([CLI, "stats"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "status" in done.stderr


def test_every_command_is_in_one_panel_in_the_order_of_the_list() -> None:
    assert [name for names in PANELS.values() for name in names] == [it.name for it in ENTRIES]


def test_the_help_has_panels_in_order() -> None:
    shown = subprocess.run([CLI, "--help"], capture_output=True, text=True, check=True).stdout
    places = [shown.index(f" {panel} ─") for panel in PANELS]
    assert places == sorted(places)


def test_flags_take_no_value_in_help() -> None:
    shown = subprocess.run([CLI, "audit", "verify", "--help"], capture_output=True, text=True, check=True).stdout
    assert "--json" in shown
    assert "bool" not in shown.lower()


@pytest.mark.parametrize("path", EXAMPLES)
def test_examples_call_a_command_as_it_can_be_called(path: str) -> None:
    _, *words = shlex.split(EXAMPLES[path])
    first, *names = path.split()
    command = BY_NAME[first].load()
    for name in names:
        command = command.commands[name]
    assert words[: len(names) + 1] == path.split()
    assert command.epilog == f"Example: {EXAMPLES[path]}"
    command.make_context(path, words[len(names) + 1 :])


def test_names_of_arguments_are_in_upper_case() -> None:
    names = [it.metavar for _, command in commands() for it in command.params if it.param_type_name == "argument"]
    assert all(name and name.upper() == name for name in names), names
