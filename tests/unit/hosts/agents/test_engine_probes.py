"""Which probes are answered for an engine that is busy, and which are not: a frozen, slow or lying engine is found."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import urllib.error
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from http.client import HTTPResponse
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from dualtrack.hosts.agents.engine import Api, Later
from dualtrack.hosts.agents.engine_probes import MOST_QUESTIONS, PROBE_BYTES, Answer, Probes, Question, serve

ASKED = Question("/v1/completions", b'{"prompt": "The capital of France is"}')
RIGHT, WRONG = b"Paris", b"Timbuktu"
WAIT_S = 0.8


@dataclass(frozen=True)
class Engine(Api):
    """One whose answers wait until it may answer, and whose steps grow by ``pace`` with each look."""

    state: dict[str, Any] = field(
        default_factory=lambda: {"says": RIGHT, "pace": 1, "steps": 0, "others": 3, "asked": 0, "step_s": 0.0}
    )
    free: threading.Event = field(default_factory=threading.Event)

    def send(self, path: str, body: bytes | None, timeout_s: float) -> bytes:
        if path == "/metrics":
            time.sleep(min(self.state["step_s"], timeout_s))
            if self.state["pace"] is None or self.state["step_s"] > timeout_s:
                raise TimeoutError
            self.state["steps"] += self.state["pace"]
            own = 0 if self.free.is_set() else 1
            return f"e:steps {self.state['steps']}\ne:busy {self.state['others'] + own}\n".encode()
        self.state["asked"] += 1
        assert body
        assert self.free.wait(timeout_s)
        if isinstance(said := self.state["says"], int):
            raise urllib.error.HTTPError("http://engine", said, "no", {}, BytesIO(b"no"))  # type: ignore[arg-type]
        if isinstance(said, Exception):
            raise said
        return bytes(said)


@pytest.fixture
def engine() -> Iterator[Engine]:
    found = Engine(os.getpid(), "m", {}, "k" * 40, ("e:busy",))
    yield found
    found.free.set()


@pytest.fixture
def probes(engine: Engine) -> Probes:
    return Probes(engine, "e:steps")


def answered(engine: Engine, probes: Probes, said: Any = RIGHT) -> Answer | None:
    """Have the engine answer once, and be busy from then on."""
    engine.state["says"] = said
    engine.free.set()
    found = probes.answer(ASKED, 30)
    engine.free.clear()
    return found


def test_answers_are_passed_on_right_or_wrong(engine: Engine, probes: Probes) -> None:
    assert answered(engine, probes) == Answer(200, RIGHT)
    assert answered(engine, probes, WRONG) == Answer(200, WRONG)
    assert answered(engine, probes, 500) == Answer(500, b"no")
    assert answered(engine, probes, ConnectionResetError()) is None
    assert engine.state["asked"] == 4


def test_the_last_answer_is_repeated_while_others_are_worked_on(engine: Engine, probes: Probes) -> None:
    assert answered(engine, probes) == Answer(200, RIGHT)
    for _ in range(3):
        assert probes.answer(ASKED, WAIT_S) == Answer(200, RIGHT)
    assert engine.state["asked"] == 2, "one question waits, and no second one"
    # What it answers then is what counts.
    engine.state["says"] = WRONG
    with ThreadPoolExecutor() as pool:
        waits = [pool.submit(probes.answer, ASKED, 30) for _ in range(3)]
        engine.free.set()
        assert {it.result() for it in waits} == {Answer(200, WRONG)}
    engine.free.clear()
    assert probes.answer(ASKED, WAIT_S) == Answer(200, WRONG)


@pytest.mark.parametrize(
    "state", [{"pace": 0}, {"pace": None}, {"others": 0}], ids=["frozen", "no word", "slow on its own"]
)
def test_an_engine_that_does_not_work_gets_no_answer(engine: Engine, probes: Probes, state: dict[str, Any]) -> None:
    assert answered(engine, probes) == Answer(200, RIGHT)
    engine.state.update(state)
    assert probes.answer(ASKED, WAIT_S) is None


def test_an_engine_that_speaks_between_long_steps_works(engine: Engine, probes: Probes) -> None:
    assert answered(engine, probes) == Answer(200, RIGHT)
    engine.state["step_s"] = 1.2
    assert probes.answer(ASKED, 10) == Answer(200, RIGHT)
    engine.state["step_s"] = 2 * WAIT_S
    assert probes.answer(ASKED, WAIT_S) is None


@pytest.mark.parametrize("said", [500, ConnectionResetError()])
def test_a_failure_is_not_repeated(engine: Engine, probes: Probes, said: Any) -> None:
    answered(engine, probes, said)
    assert probes.answer(ASKED, WAIT_S) is None


def test_nothing_is_made_up_for_a_question_that_was_never_answered(engine: Engine, probes: Probes) -> None:
    assert answered(engine, probes) == Answer(200, RIGHT)
    assert probes.answer(Question("/v1/completions", b"another"), WAIT_S) is None


def test_questions_are_bounded(engine: Engine, probes: Probes) -> None:
    answered(engine, probes)
    with ThreadPoolExecutor() as pool:
        other = [Question("/v1/completions", str(number).encode()) for number in range(2 * MOST_QUESTIONS)]
        assert set(pool.map(lambda it: probes.answer(it, WAIT_S), other)) == {None}
    assert engine.state["asked"] == 1 + MOST_QUESTIONS
    assert len(probes._asked) == MOST_QUESTIONS


def ask(engine: Engine, folder: Path, **headers: str) -> tuple[int, bytes]:
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(30)
        link.connect(str(folder / f"{engine.port}.sock"))
        sent = {"Authorization": f"Bearer {engine.key}", "Content-Length": str(len(ASKED.body)), **headers}
        lines = "".join(f"{name}: {text}\r\n" for name, text in sent.items())
        link.sendall(f"POST {ASKED.path} HTTP/1.1\r\n{lines}\r\n".encode() + ASKED.body)
        answer = HTTPResponse(link)
        answer.begin()
        return answer.status, answer.read()


def test_the_socket(engine: Engine, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(tmp_path / f"{engine.port}.sock"))
    end = serve(engine, "e:steps", tmp_path)
    try:
        engine.free.set()
        assert ask(engine, tmp_path) == (200, RIGHT)
        assert ask(engine, tmp_path, Authorization="Bearer other") == (401, b"")
        for length in (str(PROBE_BYTES + 1), "-1", "x", ""):
            assert ask(engine, tmp_path, **{"Content-Length": length}) == (413, b"")
        assert engine.state["asked"] == 1
        engine.free.clear()
        assert ask(engine, tmp_path, Prefer="wait=1") == (200, RIGHT)
        engine.state["pace"] = 0
        assert ask(engine, tmp_path, Prefer="wait=1") == (504, b"")
        assert ask(engine, tmp_path, Prefer=json.dumps("wait")) == (504, b"")
        with pytest.raises(Later, match="cannot be answered"):
            serve(engine, "e:steps", tmp_path / "missing")
        # Another version of the model, under the same name, while one takes over from the other.
        serve(replace(engine, port=engine.port + 1), "e:steps", tmp_path)()
    finally:
        end()
