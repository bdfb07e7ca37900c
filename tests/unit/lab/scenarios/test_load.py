"""Clients of a drill on the drill's own engine: every request is counted once, by what became of it."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from dualtrack.lab import scenarios
from dualtrack.lab.scenarios.load import Load
from tests.conftest import wait


class Engine:
    """An engine without a model, as a process of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.folder = folder
        self.start()

    def start(self) -> None:
        words = [
            sys.executable,
            "-I",
            str(Path(scenarios.__file__).with_name("echo_engine.py")),
            str(self.folder),
            "127.0.0.1",
            str(self.port),
        ]
        self.process = subprocess.Popen(words)
        wait(self.answers, 30, "the engine")

    def answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    it = Engine(tmp_path)
    yield it
    it.end()


def clients(engine: Engine, **more: object) -> Load:
    return Load(
        lambda: http.client.HTTPConnection("127.0.0.1", engine.port, timeout=5), "key", model="m", rate=100, clients=4,
        **more,  # type: ignore[arg-type]
    )  # fmt: skip


def test_right_and_wrong_answers(engine: Engine) -> None:
    with clients(engine) as load:
        wait(lambda: load.answers["right"] > 20, 30, "right answers")
        (engine.folder / "lie").touch()
        wait(lambda: load.answers["wrong"] > 20, 30, "wrong answers")
    assert set(load.answers) == {"right", "wrong"}
    assert (load.failed, load.repeated) == ({}, 0)
    assert load.tracks.total() == load.answers["right"]
    assert 0 < load.slowest < 5


def test_engine_that_dies_is_failed_requests_or_repeats(engine: Engine) -> None:
    with clients(engine) as load, clients(engine, pauses=(0.1,) * 100) as patient:
        wait(lambda: load.answers["right"] > 5 and patient.answers["right"] > 5, 30, "right answers")
        engine.end()
        wait(lambda: load.failed.total() > 5, 30, "failures")
        engine.start()
        before = patient.answers["right"]
        wait(lambda: patient.answers["right"] > before + 5, 30, "right answers again")
    refused = {"BrokenPipeError", "ConnectionRefusedError", "ConnectionResetError", "RemoteDisconnected"}
    assert set(load.failed) <= refused
    assert (patient.failed, patient.repeated > 0) == ({}, True)


def test_questions_with_a_mark_are_counted_by_the_engine(engine: Engine) -> None:
    with clients(engine) as load, clients(engine, question="marked: x") as marked:
        wait(lambda: load.answers["right"] > 10 and marked.answers["right"] > 10, 30, "right answers")
    assert len((engine.folder / "marked").read_bytes()) == marked.answers.total()
