"""What runs llama.cpp on a host, apart from the engine itself, which the molecule scenario `serving` has."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from dualtrack.node import llamacpp_engine as engine
from dualtrack.node.llamacpp_engine import Engine, Hopeless, Later, Settings, key, notify, parse_busy, read
from tests.support.models import SMOLLM2, gguf

SETTINGS = {
    "library": "/nowhere", "name": "m", "file": "m.gguf", "port": 8001, "context": 64, "slots": 1, "threads": 1,
    "probe": {"prompt": "The capital of France is", "expected": "Paris"}, "drain_s": 3,
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "Expecting"), ("[]", "argument"), (json.dumps({**SETTINGS, "more": 1}), "more"),
        (json.dumps({"name": "m"}), "missing"),
    ],
)  # fmt: skip
def test_settings_that_are_none(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(Hopeless, match=said):
        read(tmp_path / "s.json")


def test_settings(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(json.dumps(SETTINGS))
    assert read(tmp_path / "s.json") == Settings(**SETTINGS)  # type: ignore[arg-type]


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


def test_model_or_engine_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Hopeless, match="is not there"):
        Engine(Settings(**SETTINGS), "k", tmp_path)  # type: ignore[arg-type]
    (tmp_path / "m.gguf").touch()
    with pytest.raises(Hopeless, match="no GGUF file"):
        Engine(Settings(**SETTINGS), "k", tmp_path)  # type: ignore[arg-type]
    gguf(tmp_path / "m.gguf", SMOLLM2)
    with pytest.raises(Hopeless, match="/nowhere cannot be loaded"):
        Engine(Settings(**SETTINGS), "k", tmp_path)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("memory", "raised", "said"),
    [((2**40, 2**40), None, "fits: room for"), ((2**40, 2**20), Later, "beside what runs here"),
     ((2**20, 2**20), Hopeless, "into this host's memory")],
)  # fmt: skip
def test_what_does_not_fit_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    memory: tuple[int, int], raised: type[Exception] | None, said: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(engine.model_memory, "host_memory", lambda: memory)
    path = gguf(tmp_path / "m.gguf", SMOLLM2)
    if raised is None:
        engine.fits(path, 1024, 4)
        assert said in capsys.readouterr().out
        return
    with pytest.raises(raised, match=said):
        engine.fits(path, 1024, 4)
    assert "does not fit: room for 0 tokens" in capsys.readouterr().out


class Answering(Engine):
    """An engine that says what it is told, and gets rid of a request at each look."""

    def __init__(self, text: str = "", busy: int = 0) -> None:
        self.settings, self.key = Settings(**SETTINGS), "k"  # type: ignore[arg-type]
        self.text, self.left = text, busy

    def ask(self, path: str, body: dict[str, Any] | None = None, timeout_s: float = 10) -> str:
        assert timeout_s > 0
        if path == "/metrics":
            self.left = max(self.left - 1, 0)
            return f"# HELP x\nllamacpp:requests_processing {self.left}\nllamacpp:requests_deferred 0\n"
        assert body is not None
        assert (body["prompt"], body["temperature"]) == ("The capital of France is", 0)
        return json.dumps({"choices": [{"text": self.text}]})


def test_who_answers_wrongly_serves_nobody() -> None:
    Answering(" Paris, of course").prove()
    with pytest.raises(Hopeless, match="answers ' Rome' to"):
        Answering(" Rome").prove()


def test_end_waits_for_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(engine.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(engine.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    assert Answering(busy=5).drain() == 0
    assert now[0] < SETTINGS["drain_s"]  # type: ignore[operator]
    assert Answering(busy=1000).drain() > 0
    assert now[0] >= SETTINGS["drain_s"]  # type: ignore[operator]


def test_busy_is_what_is_worked_on_and_what_waits() -> None:
    text = "# TYPE llamacpp:requests_processing gauge\nllamacpp:requests_processing 3\nllamacpp:requests_deferred 4\n"
    assert parse_busy(text) == 7


def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")  # nobody listens
    for place in (str(tmp_path / "notify"), f"@dualtrack-test-{os.getpid()}"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
            listening.bind("\0" + place[1:] if place.startswith("@") else place)
            monkeypatch.setenv("NOTIFY_SOCKET", place)
            notify("READY=1")
            assert listening.recv(100) == b"READY=1"
