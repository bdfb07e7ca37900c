"""Answers gateways' probes for an engine that works on other requests first, so that a full engine is not a failure.

llama.cpp reads prompts one after the other; vLLM takes a probe when one of its slots is free. A part of the services on
hosts with the role serving (`llamacpp_engine`, `gpu_engine`), with nothing but Python and `engine`. The
host's HAProxy passes probes, and nothing else, to a socket named by the engine's port, in a directory that it and the
engines alone may enter. Each is asked of the engine, and the engine's answer is passed on, right or wrong. Where none
has come after half of the time that the gateway waits (its header ``Prefer: wait=SECONDS``, RFC 7240), the last answer
is repeated, on these conditions:

- the engine works on other requests, and
- it says, while this probe waits, that its count of steps has grown since it last said so: an engine that is frozen,
  or slower than one step from one probe to the next, answers nothing.

A question that has no answer yet is not asked twice: later probes wait for the same one.
"""

from __future__ import annotations

import hmac
import math
import re
import socket
import socketserver
import threading
import time
import urllib.error
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from dualtrack.hosts.agents.engine import Api, Later, parse_busy

#: Seconds between two looks at the engine's counts.
LOOK_S = 0.2
#: Seconds that gateways wait, where they do not say: 1 at least, and 10 at most (role gateway).
WAIT_S, LONGEST_WAIT_S = 1, 10
#: Seconds that the engine may take for one question, as for all requests (the host's HAProxy).
ANSWER_S = 600
PROBE_BYTES = 16 << 10
#: By port: two versions of a model may answer to one name on a host, while one takes over from the other.
SOCKETS = Path("/run/dualtrack-engines/probes")
#: Questions that are kept: gateways may have different ones for some time, while a model's probe is changed.
MOST_QUESTIONS = 8
PREFERRED = re.compile(r"wait=([0-9]{1,4})")


@dataclass(frozen=True)
class Question:
    """What a gateway asks."""

    path: str
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What the engine said."""

    status: int
    body: bytes


@dataclass
class _Asked:
    """A question: its last answer, how often it was answered, and whether the engine has it now."""

    last: Answer | None = None
    rounds: int = 0
    waits: bool = False


class Probes:
    """Asks the engine what gateways ask. ``steps`` is the metric that counts the engine's steps."""

    def __init__(self, api: Api, steps: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Ask nothing yet."""
        self._api, self._steps, self._clock = api, steps, clock
        self._asked: dict[Question, _Asked] = {}
        #: How many steps the engine had done when it last said so, and when these had grown.
        self._seen: int | None = None
        self._grown = -math.inf
        self._changed = threading.Condition()

    def answer(self, question: Question, wait_s: float) -> Answer | None:
        """Return the engine's answer, or its last one while it is busy; None where there is none in time."""
        began = self._clock()
        with self._changed:
            if (asked := self._known(question)) is None:
                return None
            rounds = asked.rounds
            if not asked.waits:
                asked.waits = True
                threading.Thread(target=self._ask, args=(question, asked), daemon=True).start()
        while (passed := self._clock() - began) < wait_s:
            with self._changed:
                if self._changed.wait_for(lambda: asked.rounds > rounds, timeout=LOOK_S):
                    return asked.last
                last, own = asked.last, sum(it.waits for it in self._asked.values())
            steps, requests = self._look(wait_s - passed)
            with self._changed:
                if steps is not None:
                    if self._seen is not None and steps > self._seen:
                        self._grown = self._clock()
                    self._seen = steps
                # Another look may take too long: its own answer has the rest of half of the time to come.
                if last and last.status == 200 and self._grown >= began and requests > own:
                    rest = max(0.0, began + wait_s / 2 - self._clock())
                    self._changed.wait_for(lambda: asked.rounds > rounds, timeout=rest)
                    return asked.last
        return None

    def _known(self, question: Question) -> _Asked | None:
        """Return the question's state, a new one for a new question; None where too many wait for an answer."""
        if question not in self._asked and len(self._asked) >= MOST_QUESTIONS:
            if not (over := next((it for it, asked in self._asked.items() if not asked.waits), None)):
                return None
            del self._asked[over]
        return self._asked.setdefault(question, _Asked())

    def _ask(self, question: Question, asked: _Asked) -> None:
        try:
            found: Answer | None = Answer(200, self._api.send(question.path, question.body, ANSWER_S))
        except urllib.error.HTTPError as error:
            with error:
                found = Answer(error.code, error.read(PROBE_BYTES))
        except (OSError, ValueError):
            found = None
        with self._changed:
            asked.last, asked.rounds, asked.waits = found, asked.rounds + 1, False
            self._changed.notify_all()

    def _look(self, wait_s: float) -> tuple[int | None, int]:
        """Return the engine's steps, None where it does not say, and the requests that it works on or that wait.

        It says so between two steps, which take seconds on a processor that others use, too.
        """
        try:
            text = self._api.ask("/metrics", timeout_s=wait_s)
        except (OSError, ValueError):
            return None, 0
        return parse_busy(text, (self._steps,)), parse_busy(text, self._api.busy)


class _Handler(BaseHTTPRequestHandler):
    """One probe."""

    timeout = 5
    server: _Server

    def do_POST(self) -> None:
        said = self.headers.get("Authorization", "").encode()
        length = self.headers.get("Content-Length", "")
        if not hmac.compare_digest(said, f"Bearer {self.server.key}".encode()):
            return self._say(Answer(401, b""))
        if not length.isdecimal() or int(length) > PROBE_BYTES:
            return self._say(Answer(413, b""))
        preferred = PREFERRED.fullmatch(self.headers.get("Prefer", ""))
        wait_s = min(max(int(preferred[1]) if preferred else 0, WAIT_S), LONGEST_WAIT_S)
        found = self.server.probes.answer(Question(self.path, self.rfile.read(int(length))), wait_s)
        return self._say(found or Answer(504, b""))

    def _say(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def address_string(self) -> str:
        return "a gateway"  # a Unix socket has no address

    def log_message(self, *_: object) -> None:
        """Say nothing: the gateways' own records have it."""


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = socket.SOMAXCONN

    def __init__(self, directory: Path, port: int, probes: Probes, key: str) -> None:
        self.probes, self.key = probes, key
        path = directory / f"{port}.sock"
        path.unlink(missing_ok=True)  # of an engine that was killed: this one has its port already
        super().__init__(str(path), _Handler)
        # The directory says who may connect.
        path.chmod(0o666)

    def handle_error(self, *_: object) -> None:
        """Say nothing of a gateway that did not wait."""


def serve(api: Api, steps: str, directory: Path = SOCKETS) -> Callable[[], None]:
    """Answer probes at a socket in ``directory`` and return what ends that; Later where the socket cannot be made."""
    try:
        server = _Server(directory, api.port, Probes(api, steps), api.key)
    except OSError as error:
        raise Later(f"probes of {api.name} cannot be answered: {error}") from None
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def end() -> None:
        server.shutdown()
        server.server_close()

    return end
