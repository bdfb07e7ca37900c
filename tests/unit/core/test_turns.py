"""One command at a time: who waits says for whom, a killed process holds nothing, and Ctrl-C ends the wait."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dualtrack.core import turns
from dualtrack.core.errors import Refused

#: Has its turn, says so, and lets go when its stdin ends; with "child", a program of its own outlives it.
HOLD = """
import subprocess, sys
from pathlib import Path
from dualtrack.core.turns import turn
with turn(Path(sys.argv[1]), sys.argv[2], lambda text: print(text, flush=True)):
    if "child" in sys.argv:
        child = subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, close_fds=False)
        print(child.pid, flush=True)
    print("mine", flush=True)
    sys.stdin.read()
print("over", flush=True)
"""


@contextmanager
def holding(path: Path, command: str, *more: str) -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-c", HOLD, str(path), command, *more]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def test_who_waits_is_told_for_which_command_and_comes_next(tmp_path: Path) -> None:
    """Three in a row, each begun while the one before has its turn."""
    path = tmp_path / "new/lock"
    with holding(path, "up") as first:
        assert line(first) == "mine"
        with holding(path, "cloud up") as second:
            said = line(second)
            assert said.startswith("waiting for `dualtrack up`, which runs since 20")
            assert said.endswith(f" UTC (process {first.pid})")
            first.communicate()
            assert line(second) == "mine"
            with holding(path, "down") as third:
                assert line(third).startswith("waiting for `dualtrack cloud up`, which runs since ")
                second.communicate()
                assert line(third) == "mine"
                assert third.communicate()[0] == "over\n"
    assert path.read_bytes() == b""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_holds_nothing_though_its_programs_go_on(tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "lock"
    with holding(path, "up", "child") as first:
        child = int(line(first))
        assert line(first) == "mine"
        with holding(path, "down") as second:
            assert line(second).startswith("waiting for `dualtrack up`")
            first.send_signal(number)
            try:
                assert line(second) == "mine"
                assert Path(f"/proc/{child}").exists()
            finally:
                subprocess.run(["kill", str(child)], check=True)
            with holding(path, "up") as third:
                assert line(third).startswith("waiting for `dualtrack down`"), "not the one that was killed"


def test_ctrl_c_ends_the_wait(tmp_path: Path) -> None:
    with holding(tmp_path / "lock", "up") as first:
        assert line(first) == "mine"
        with holding(tmp_path / "lock", "down") as second:
            assert line(second).startswith("waiting for")
            second.send_signal(signal.SIGINT)
            assert "Interrupted: interrupted; nothing was changed" in second.communicate()[1]
            assert first.poll() is None


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff", b'{"command":1}', b'{"command":"x","since":"y","process":1}', b"[" * 9000],
    ids=repr,
)
def test_what_a_lock_file_says_is_believed_only_of_its_holder(tmp_path: Path, content: bytes) -> None:
    """A file that a killed process or somebody else left; the kernel names the process that has the lock."""
    path = tmp_path / "lock"
    with holding(path, "up") as first:
        assert line(first) == "mine"
        path.write_bytes(content)
        with holding(path, "down") as second:
            assert line(second) == f"waiting for process {first.pid}"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "other")
    with pytest.raises(Refused, match="is not a regular file"), turns.turn(tmp_path / "lock", "up", print):
        pass
    assert not (tmp_path / "other").exists()


def test_a_block_that_fails_lets_go(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="no"), turns.turn(tmp_path / "lock", "up", pytest.fail):
            raise ValueError("no")
