"""What every program that runs an engine does: settings, the key, the proof, and a quiet end."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dualtrack.hosts.agents import engine
from dualtrack.hosts.agents.engine import Api, Hopeless, key, notify, parse_busy, read

BUSY = ("e:running", "e:waiting")
PROBE = {"prompt": "The capital of France is", "expected": "Paris"}


@dataclass(frozen=True)
class Settings:
    """Some."""

    name: str
    port: int


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "Expecting"), ("[]", "argument"), ('{"name": "", "port": 1, "x": 1}', "x"), ('{"name": ""}', "missing")],
)  # fmt: skip
def test_settings_that_are_none(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(Hopeless, match=said):
        read(tmp_path / "s.json", Settings)


def test_settings(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"name": "m", "port": 1}')
    assert read(tmp_path / "s.json", Settings) == Settings("m", 1)


def test_key_comes_from_the_units_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(Hopeless, match="api-key"):
        key()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(Hopeless, match="api-key"):
        key()
    (tmp_path / "api-key").write_text(" \n")
    with pytest.raises(Hopeless, match="empty"):
        key()
    (tmp_path / "api-key").write_text("secret\n")
    assert key() == "secret"


class Answering(Api):
    """An engine that says what it is told, and gets rid of a request at each look."""

    def __init__(self, text: str = "", busy: int = 0) -> None:
        super().__init__(8001, "m", PROBE, "k", BUSY)
        self.__dict__.update(text=text, left=busy)

    def ask(self, path: str, body: dict[str, Any] | None = None, timeout_s: float = 10) -> str:
        assert timeout_s > 0
        if path == "/metrics":
            self.__dict__["left"] = max(self.__dict__["left"] - 1, 0)
            return f'# HELP x\ne:running{{model="a b"}} {self.__dict__["left"]}\ne:waiting 0\n'
        assert body is not None
        assert (body["prompt"], body["temperature"]) == ("The capital of France is", 0)
        return json.dumps({"choices": [{"text": self.__dict__["text"]}]})


def test_who_answers_wrongly_serves_nobody() -> None:
    Answering(" Paris, of course").prove()
    with pytest.raises(Hopeless, match="answers ' Rome' to"):
        Answering(" Rome").prove()


def test_end_waits_for_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(engine.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(engine.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    assert Answering(busy=5).drain(10) == 0
    assert now[0] < 10
    now[0] = 0.0
    assert Answering(busy=1000).drain(3) > 0
    assert now[0] >= 3


def test_engine_does_not_end_at_the_last_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """The counters may be 0 while the end of an answer is written, and between two requests of one client."""
    monkeypatch.setattr(engine.time, "sleep", lambda _: None)
    counts = [1, 0, 0, 1, *[0] * (engine.QUIET - 1), 2, 1, *[0] * engine.QUIET, 5]
    monkeypatch.setattr(Answering, "running", lambda _: counts.pop(0))
    assert Answering().drain(60) == 0
    assert counts == [5]


def test_busy_is_what_is_worked_on_and_what_waits() -> None:
    text = '# TYPE e:running gauge\ne:running{engine="0",name="a} b"} 3.0\ne:waiting 4\ne:other 9\n'
    assert parse_busy(text, BUSY) == 7


def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")  # nobody listens
    for place in (str(tmp_path / "notify"), f"@dualtrack-test-{os.getpid()}"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
            listening.bind("\0" + place[1:] if place.startswith("@") else place)
            monkeypatch.setenv("NOTIFY_SOCKET", place)
            notify("READY=1")
            assert listening.recv(100) == b"READY=1"
