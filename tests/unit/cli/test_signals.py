"""Signals that end a process: nothing that is half written stays, in particular no plain text of what was sealed."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.conftest import CLI, wait

SIZE = 64 << 20


def run(folder: Path, *words: str, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*prefix, CLI, *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def parts(folder: Path) -> list[str]:
    return [it.name for it in folder.iterdir() if "partial" in it.name]


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a key, something large, and the same sealed."""
    folder = tmp_path_factory.mktemp("signals")
    (folder / "key.pub").write_text(run(folder, "keys", "new", "-o", "key").communicate()[0])
    with (folder / "large").open("wb") as file:
        file.truncate(SIZE)
    assert run(folder, "seal", "large", "-r", "key.pub", "-o", "sealed").wait() == 0
    return folder


COMMANDS = {
    "seal": ("seal", "large", "-r", "key.pub", "-o", "again"),
    "unseal": ("unseal", "sealed", "-i", "key", "-o", "plain"),
}  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_half_written_stays(bed: Path, command: str, number: signal.Signals) -> None:
    before = {it.name for it in bed.iterdir()}
    process = run(bed, *COMMANDS[command])
    wait(lambda: bool(parts(bed)) or process.poll() is not None)
    process.send_signal(number)
    said = process.communicate(timeout=60)[1]
    assert (process.returncode in (130, -number), said.count("\n")) == (True, 1), said
    assert {it.name for it in bed.iterdir()} == before


def test_what_ignores_the_end_of_its_terminal_continues(bed: Path) -> None:
    process = run(bed, *COMMANDS["unseal"], prefix=("nohup",))
    wait(lambda: bool(parts(bed)) or process.poll() is not None)
    process.send_signal(signal.SIGHUP)
    assert (process.wait(60), (bed / "plain").stat().st_size, parts(bed)) == (0, SIZE, [])
