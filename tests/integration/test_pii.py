"""`dualtrack pii` among real processes: its runbook, Ctrl-C, and a full disk."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest

from dualtrack.errors import Exit
from tests.conftest import CLI, Cli
from tests.support.personal_data import texts


def test_runbook(tmp_path: Path) -> None:
    Cli(tmp_path).runbook("mask-personal-data.md")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ended_early_it_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    os.mkfifo(tmp_path / "in")
    running = subprocess.Popen([CLI, "pii", "mask", "in", "-o", "out"], cwd=tmp_path, stderr=subprocess.PIPE)
    with (tmp_path / "in").open("wb") as file:
        file.write(b"13812345678\n")
        file.flush()
        said = b""
        while running.poll() is None:
            # A signal that comes just before a blocking read is seen after it: Ctrl-C is pressed again then.
            running.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                _, said = running.communicate(timeout=5)
    assert running.returncode in (Exit.INTERRUPTED, -number), said
    assert [it.name for it in tmp_path.iterdir()] == ["in"]
    assert b"Traceback" not in said


def test_full_disk() -> None:
    data = "".join(it.text for it in texts(seed=4, count=200)).encode()
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [CLI, "pii", "mask", "-", "-o", "-"], input=data * 40, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == Exit.EXTERNAL
    assert done.stderr.count(b"\n") == 1
