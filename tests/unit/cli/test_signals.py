"""Signals that end a process: nothing that is half written stays, in particular no plain text of what was sealed."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.conftest import CLI, wait

SIZE = 4 << 20


def run(folder: Path, *words: str, prefix: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*prefix, CLI, *words], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a key, something of a few chunks, and the same sealed."""
    folder = tmp_path_factory.mktemp("signals")
    (folder / "key.pub").write_bytes(run(folder, "keys", "new", "-o", "key").communicate()[0])
    (folder / "large").write_bytes(bytes(SIZE))
    assert run(folder, "seal", "large", "-r", "key.pub", "-o", "sealed").wait() == 0
    return folder


#: What reads stdin, and what comes there.
COMMANDS = {
    "seal": (("seal", "-", "-r", "key.pub", "-o", "again"), "large"),
    "unseal": (("unseal", "-", "-i", "key", "-o", "plain"), "sealed"),
}


def begun(bed: Path, command: str, prefix: tuple[str, ...] = ()) -> tuple[subprocess.Popen[bytes], bytes]:
    """Start a command that waits for the rest of its input, with something written; return it and that rest."""
    words, name = COMMANDS[command]
    process, data = run(bed, *words, prefix=prefix), (bed / name).read_bytes()
    assert process.stdin is not None
    process.stdin.write(data[: SIZE // 2])
    process.stdin.flush()
    wait(lambda: any("partial" in it.name for it in bed.iterdir()))
    return process, data[SIZE // 2 :]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_half_written_stays(bed: Path, command: str, number: signal.Signals) -> None:
    before = {it.name for it in bed.iterdir()}
    process, _ = begun(bed, command)
    process.send_signal(number)
    process.wait(60)
    said = process.communicate(timeout=60)[1]
    assert (process.returncode in (130, -number), said.count(b"\n")) == (True, 1), said
    assert {it.name for it in bed.iterdir()} == before


def test_what_ignores_the_end_of_its_terminal_continues(bed: Path) -> None:
    process, rest = begun(bed, "unseal", prefix=("nohup",))
    process.send_signal(signal.SIGHUP)
    process.communicate(rest, timeout=60)
    assert (process.returncode, (bed / "plain").stat().st_size) == (0, SIZE)
