"""What every program that runs an engine needs: settings, the key, a question whose answer is known, and a quiet end.

A part of the services on hosts with the role serving (`llamacpp_engine`, `gpu_engine`), with nothing but Python.
"""

from __future__ import annotations

import json
import os
import socket
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

#: EX_CONFIG of sysexits.h: starting again would not help, so the unit does not. EX_TEMPFAIL: later it may.
HOPELESS, LATER = 78, 75
#: Tokens of the answer to the probe: a fixed prompt and few tokens load the engine least.
PROBE_TOKENS = 16
PROBE_S = 120
#: Answers in a row, at LOOK_S, that count no request before an engine ends: its metrics count computations, and the
#: last words of an answer are written after its last token is computed.
QUIET, LOOK_S = 10, 0.2
T = TypeVar("T")


class Hopeless(Exception):
    """The model or the settings are wrong."""


class Later(Exception):
    """Something else has the memory that the model needs."""


def read(path: Path, kind: type[T]) -> T:
    """Return the settings in a file; Hopeless where one is missing or unknown."""
    try:
        return kind(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise Hopeless(f"{path}: {error}") from None


def key() -> str:
    """Return the API's key, from the unit's credentials: it is in no command line."""
    try:
        found = Path(os.environ["CREDENTIALS_DIRECTORY"], "api-key").read_text().strip()
    except (KeyError, OSError) as error:
        raise Hopeless(f"the credential api-key cannot be read: {error}") from None
    if not found:
        raise Hopeless("the credential api-key is empty")
    return found


@dataclass(frozen=True)
class Api:
    """An engine's API on loopback. ``busy`` are the metrics that count requests: those worked on, those that wait."""

    port: int
    name: str
    probe: dict[str, str]
    key: str
    busy: tuple[str, ...]

    def ask(self, path: str, body: dict[str, Any] | None = None, timeout_s: float = 10) -> str:
        """Return the answer to a request as text; OSError where there is none."""
        return self.send(path, json.dumps(body).encode() if body else None, timeout_s).decode()

    def send(self, path: str, body: bytes | None, timeout_s: float) -> bytes:
        """Return the answer to a request as it came; OSError where there is none."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", body,
            {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310 - loopback, by http
            return bytes(answer.read())

    def prove(self) -> None:
        """Ask what is known; Hopeless for another answer. A model may load and answer nonsense."""
        body = {"model": self.name, "prompt": self.probe["prompt"], "max_tokens": PROBE_TOKENS, "temperature": 0}
        text = json.loads(self.ask("/v1/completions", body, PROBE_S))["choices"][0]["text"]
        if self.probe["expected"] not in text:
            raise Hopeless(
                f"the model answers {text!r} to {self.probe['prompt']!r}: {self.probe['expected']!r} is not in it"
            )

    def running(self) -> int:
        """Return how many requests are worked on or wait."""
        return parse_busy(self.ask("/metrics"), self.busy)

    def drain(self, seconds: float) -> int:
        """Wait until nobody waits for an answer, or the time is over; return how many do then."""
        until = time.monotonic() + seconds
        left, quiet = self.running(), 0
        while time.monotonic() < until:
            quiet = 0 if left else quiet + 1
            if quiet == QUIET:
                break
            time.sleep(LOOK_S)
            left = self.running()
        return left


def parse_busy(text: str, names: tuple[str, ...]) -> int:
    """Return the sum of some metrics (Prometheus' text format), whatever their labels are."""
    found = (line for line in text.splitlines() if line.startswith(names))
    return int(sum(float(line.rpartition(" ")[2]) for line in found))


def notify(text: str) -> None:
    """Tell systemd how it goes; nothing where nobody listens (sd_notify(3))."""
    if not (place := os.environ.get("NOTIFY_SOCKET")):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.connect("\0" + place[1:] if place.startswith("@") else place)
        link.sendall(text.encode())
