"""What the command line does when its streams are not a terminal's: closed pipes, other character sets, Ctrl-C."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CLI, ROOT, wait


@pytest.mark.parametrize("words", [("pii", "kinds"), ("--help",), ("pii", "kinds", "--json")])
def test_a_closed_pipe_is_not_a_finding(words: tuple[str, ...]) -> None:
    process = subprocess.Popen([CLI, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")


WORKING = """
import pathlib, sys
import dualtrack.cli
from dualtrack.core import output
from dualtrack.core.errors import BadInput, Findings

def work():
    for number in range(2000):
        {prints}
    pathlib.Path("done").touch()
    {ends}

dualtrack.cli.app = work
dualtrack.cli.main()
"""
PRINTS = {
    "a line": "output.echo(f'removed {number}')",
    "a line without the end": "output.echo('.', nl=False)",
    "a document": "output.document('it', {'number': number})",
    "a record": "output.records('it')({'number': number})",
    "a table": "number % 100 or output.table(('one', 'two'), [('a', 'b')] * 100)",
    "bytes": "sys.stdout.buffer.write(b'x' * 100)",
}


ENDS = {"": 0, "raise Findings('two things are wrong')": 1, "raise BadInput('it is wrong')": 2}


@pytest.mark.parametrize("to", ["2>&1 | head -n 1", "2>&1 | true", "2>/dev/full | head -n 1"])
@pytest.mark.parametrize("ends", ENDS)
def test_a_command_whose_reader_leaves_both_streams_does_all_of_its_work(tmp_path: Path, ends: str, to: str) -> None:
    (tmp_path / "program.py").write_text(WORKING.format(prints="output.echo(f'{number}', err=number % 2)", ends=ends))
    script = f"{sys.executable} program.py {to} >/dev/null; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert (done.returncode, (tmp_path / "done").exists()) == (ENDS[ends], True), done.stderr


@pytest.mark.parametrize(
    ("ends", "code", "said"),
    [("", 0, ""), ("raise Findings('two things are wrong')", 1, "dualtrack: two things are wrong\n")],
)
@pytest.mark.parametrize("prints", PRINTS.values(), ids=PRINTS)
def test_a_command_whose_reader_leaves_does_all_of_its_work(
    tmp_path: Path, prints: str, ends: str, code: int, said: str
) -> None:
    program = WORKING.format(prints=prints, ends=ends)
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.read(1)
    process.stdout.close()
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err, (tmp_path / "done").exists()) == (code, said, True)


def test_what_is_printed_once_and_was_not_read_is_an_error(tmp_path: Path) -> None:
    env = {
        **os.environ, "DUALTRACK_STATE_DIR": str(tmp_path / "state"),
        "DUALTRACK_ACCESS": str(ROOT / "inventories/access.yml"),
    }  # fmt: skip
    process = subprocess.Popen(
        [CLI, "access", "token", "chen"],
        cwd=tmp_path,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 4
    assert err == "dualtrack: whoever reads our output has not read the token (it is not printed again)\n"


@pytest.mark.parametrize("ends", ["watching.changes(lambda: next(count), output.echo, 0)", "hosts.events(watch=True)"])
def test_what_only_shows_ends_with_its_reader(tmp_path: Path, ends: str) -> None:
    program = f"""
import itertools
from types import SimpleNamespace
import dualtrack.cli
from dualtrack.cli import hosts, watching
from dualtrack.core import output

numbers = itertools.count()
count = map(str, numbers)
def event():
    return hosts.Event(at="2026", source="s", what="w", about=str(next(numbers)), text="t")
hosts.recorded.events = lambda: [event()]
hosts.time.sleep = lambda _: None
dualtrack.cli.app = lambda: {ends.replace("watch=True", "since='', watch=True, interval=0, json=False")}
dualtrack.cli.main()
"""
    process = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 0


def test_characters_that_the_terminal_lacks_are_written_as_escapes() -> None:
    env = {**os.environ, "PYTHONIOENCODING": "ascii", "LANG": "zh_CN.UTF-8"}
    done = subprocess.run([CLI, "--help"], env=env, capture_output=True, text=True, timeout=60, check=True)
    assert "\\u" in done.stdout


def test_ctrl_c_at_a_question_is_an_interruption(tmp_path: Path) -> None:
    """Typed into a terminal, where ``init`` asks for its first answer."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "DUALTRACK_STATE_DIR": str(tmp_path / "state")}
    words = ["setsid", "--ctty", CLI, "init", "--facts", tmp_path / "facts.yml"]
    process = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    said = b""
    while b"[y/N]: " not in said:
        said += os.read(ours, 1024)
    try:
        while True:
            # Python's reader of lines misses a signal between its look at them and its wait for a key: type it again.
            os.write(ours, b"\x03")
            while select.select([ours], [], [], 2)[0]:
                said += os.read(ours, 1024)
    except OSError:  # the terminal's other side is closed
        pass
    assert process.wait(60) == 130, said.decode()
    assert b"nothing was changed" in said
    os.close(ours)


PROGRAM = """
import dualtrack.cli
from dualtrack.core import proc

dualtrack.cli.app = lambda: proc.run(["sh", "-c", "echo $$ > child; exec sleep 600"], timeout=600)
dualtrack.cli.main()
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_signal_ends_what_a_command_started(tmp_path: Path, number: signal.Signals, code: int) -> None:
    child = tmp_path / "child"
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    wait(lambda: child.is_file() and child.read_text().strip(), what="the child")
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, "interrupted; the next run continues from here" in err) == (code, True)
    assert not Path(f"/proc/{child.read_text().strip()}").exists()
