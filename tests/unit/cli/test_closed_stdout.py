"""A stdout that is closed, or open to read only: commands end before they begin, as their output would be lost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dualtrack.cli import commands, groups
from dualtrack.cli.groups import BY_NAME, WRITES_ELSEWHERE
from dualtrack.core import output
from dualtrack.core.errors import BadInput
from tests.conftest import CLI, ROOT

COMMANDS = dict(commands())


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_ends_before_it_begins(path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own function is never called; those that can write into a file instead look themselves."""
    monkeypatch.setattr(groups, "stdout_is_closed", lambda: True)
    monkeypatch.setattr(output, "stdout_is_closed", lambda: True)
    group, *rest = path
    command = BY_NAME[group].load(rest[0] if rest else "")
    for name in rest:
        command = command.commands[name]
    if " ".join(path) in WRITES_ELSEWHERE:
        assert any("- for stdout" in (option.help or "") for option in command.params)
        return
    with pytest.raises(BadInput, match="stdout is closed"):
        command.invoke(None)


@pytest.mark.parametrize("to", [">&-", "1< /dev/null"])
@pytest.mark.parametrize(
    "words",
    [
        "access token chen --minutes 5", "access break-glass chen --minutes 30 --reason 'gateway is down, ticket 1'",
        "pki show", "pki issue person chen", "pii scan -", "pii kinds --json", "status --json", "keys new -o key",
        "--help", "--version", "pii --help", "pii mask -", "audit prove trail 1 -o -", "use aws",
    ],
)  # fmt: skip
def test_one_line_and_nothing_is_made(tmp_path: Path, words: str, to: str) -> None:
    """In particular no right is given of which nobody learns."""
    done = closed(tmp_path, words, to)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "dualtrack: stdout is closed (send it to a file, or to /dev/null)\n"
    assert list(tmp_path.rglob("*")) == []


def test_what_goes_into_a_file_needs_no_stdout(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    done = closed(tmp_path, "pii mask text -o out", ">&-")
    assert (done.returncode, (tmp_path / "out").read_text()) == (0, "hello")


def test_no_right_stays_of_which_nobody_learns(tmp_path: Path) -> None:
    for form in ("", " --json"):
        words = f"access break-glass chen --minutes 30 --reason 'gateway is down, ticket 1'{form}"
        done = closed(tmp_path, words, "> /dev/full")
        assert (done.returncode, done.stderr.count("\n")) == (4, 1), done.stderr
    listed = closed(tmp_path, "access people --json", "")
    assert json.loads(listed.stdout)["for_a_while"] == []


def closed(folder: Path, words: str, to: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": "/usr/bin:/bin", "DUALTRACK_STATE_DIR": str(folder / "state"),
        "DUALTRACK_ACCESS": str(ROOT / "inventories/access.yml"), "PYTHONPATH": ":".join(sys.path[1:]),
    }  # fmt: skip
    command = ["bash", "-c", f"exec {CLI} {words} {to}"]
    return subprocess.run(command, cwd=folder, env=environment, input="", capture_output=True, text=True, check=False)


@pytest.mark.parametrize("value", ["", " ", "\t", "now+1d", "0"])
@pytest.mark.parametrize(
    ("path", "option"),
    [
        (path, option.opts[0]) for path, command in COMMANDS.items() for option in command.params
        if getattr(option, "metavar", "") == "WHEN"
    ],
    ids=lambda it: it if isinstance(it, str) else " ".join(it),
)  # fmt: skip
def test_an_empty_time_is_none(path: tuple[str, ...], option: str, value: str) -> None:
    group, *rest = path
    with pytest.raises(BadInput, match="is not a time"):
        BY_NAME[group].load().main([*rest, option, value], standalone_mode=False)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("audit record trail", 2, "stdin is closed"), ("serving chat -", 2, "stdin is closed"),
        ("kb delete-person --base kb --yes", 2, "stdin is closed"), ("pii scan -", 2, "stdin is closed"),
        ("pii kinds", 0, ""),
        ("init --facts facts.yml --tfvars x.tfvars", 5, "nobody can answer, as stdin is closed"),
    ],
)  # fmt: skip
def test_a_stdin_that_is_closed_is_one_line_where_it_is_read(tmp_path: Path, words: str, code: int, said: str) -> None:
    done = closed(tmp_path, words, "<&-")
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert said in done.stderr
    assert not (tmp_path / "trail").exists()
