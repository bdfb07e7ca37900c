"""`dualtrack pii` among real processes: its runbook, Ctrl-C, and a full disk."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dualtrack.core import waiting
from dualtrack.core.errors import Exit
from tests.conftest import CLI, Cli
from tests.support.personal_data import Maker, texts


def test_runbook(tmp_path: Path) -> None:
    Cli(tmp_path).runbook("mask-personal-data.md")


def test_identifiers_beside_numerals_and_in_names_of_files(tmp_path: Path) -> None:
    made = Maker(36)
    values = [made.mobile(), made.id_card(), made.card()]
    forms = ["张三{}", "{}一份", "打{}三次", "合同_{}.pdf", "file_{}", "①{}", "1.{}", "T{}"]
    (tmp_path / "in").write_text("\n".join(form.format(value) for value in values for form in forms))
    done = subprocess.run([CLI, "pii", "mask", "in"], cwd=tmp_path, capture_output=True, check=True, text=True)
    assert not [it for it in values if it in done.stdout]
    assert done.stdout.splitlines()[::8] == ["张三[phone]", "张三[id_card]", "张三[bank_card]"]


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
    data = "".join(it.text for it in texts(seed=4, count=200)).replace("\0", "").encode()
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [CLI, "pii", "mask", "-", "-o", "-"], input=data * 40, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == Exit.EXTERNAL
    assert done.stderr.count(b"\n") == 1


def screened(port: int, body: bytes) -> bytes:
    """Return what the service answers; nothing where none is there."""
    try:
        with socket.create_connection(("127.0.0.1", port)) as link:
            link.sendall(len(body).to_bytes(8) + body)
            return link.recv(1)
    except ConnectionError:
        return b""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("asking", ["nobody", "one long body", "many short bodies"])
def test_the_service_leaves_no_process_behind(number: signal.Signals, asking: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = subprocess.Popen([CLI, "pii", "screen", "--port", str(port)], stderr=subprocess.PIPE)
    try:
        waiting.until(lambda: screened(port, b'"a"') == b"0", "the service to answer", stall=30)
        assert screened(port, b'"13812345678"') == b"1"
        children = [int(it) for it in Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()]
        assert len(children) == 2
        with socket.socket() as link, ThreadPoolExecutor() as clients:
            if asking == "one long body":  # what takes a process a second
                body = b'"' + b"a@b.cn " * (4 << 20) + b'"'
                link.connect(("127.0.0.1", port))
                link.sendall(len(body).to_bytes(8) + body)
            elif asking == "many short bodies":  # the signal meets the service in any of its tasks
                answered = [0] * 4
                for one in range(len(answered)):
                    clients.submit(_ask_until_it_ends, port, answered, one)
                waiting.until(lambda: min(answered) > 20, "each client to be answered", stall=30)
            running.send_signal(number)
            _, said = running.communicate(timeout=60)
        assert running.returncode in (Exit.INTERRUPTED, -number), said
        assert b"Traceback" not in said
        waiting.until(lambda: not any(map(_runs, children)), "the processes to end", stall=30)
    finally:
        running.kill()
        running.wait()


def _ask_until_it_ends(port: int, answered: list[int], one: int) -> None:
    while screened(port, b'"13812345678"'):
        answered[one] += 1


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False
