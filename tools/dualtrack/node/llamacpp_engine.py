"""Serves one model with llama.cpp: ready when it answers correctly, ended when nobody waits for an answer any more.

A service on hosts (role serving), with nothing but Python, `model_memory`, and the engine's own module:

    library   directory with the module xllamacpp, unpacked from its wheel
    name      what clients call the model
    file      the GGUF file, below $DUALTRACK_CHECKPOINT (set by `dualtrack-store hold`)
    port      on loopback; the API is OpenAI's, its key is the credential `api-key` of the unit
    context   tokens of one request, prompt and answer; slots: requests that are worked on at once
    threads   of the processor
    probe     {"prompt": …, "expected": …}: the answer to the prompt must have this in it before anybody is served
    drain_s   seconds that requests have to end after SIGTERM
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualtrack.node import model_memory

#: EX_CONFIG of sysexits.h: starting again would not help, so the unit does not. EX_TEMPFAIL: later it may.
HOPELESS, LATER = 78, 75
#: Tokens of the answer to the probe: a fixed prompt and few tokens load the engine least.
PROBE_TOKENS = 16
PROBE_S = 120
BUSY = ("llamacpp:requests_processing", "llamacpp:requests_deferred")


class Hopeless(Exception):
    """The model or the settings are wrong."""


class Later(Exception):
    """Something else has the memory that the model needs."""


@dataclass(frozen=True)
class Settings:
    """What the unit's file says; see above."""

    library: str
    name: str
    file: str
    port: int
    context: int
    slots: int
    threads: int
    probe: dict[str, str]
    drain_s: int


def read(path: Path) -> Settings:
    """Return the settings in a file; Hopeless where one is missing or unknown."""
    try:
        return Settings(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise Hopeless(f"{path}: {error}") from None


def key() -> str:
    """Return the API's key, from the unit's credentials: never in the environment or the command line."""
    try:
        found = Path(os.environ["CREDENTIALS_DIRECTORY"], "api-key").read_text().strip()
    except (KeyError, OSError) as error:
        raise Hopeless(f"the credential api-key cannot be read: {error}") from None
    if not found:
        raise Hopeless("the credential api-key is empty")
    return found


class Engine:
    """An engine that has loaded its model."""

    def __init__(self, settings: Settings, api_key: str, checkpoint: Path) -> None:
        self.settings, self.key = settings, api_key
        file = checkpoint / settings.file
        if not file.is_file():
            raise Hopeless(f"{file} is not there")
        fits(file, settings.context, settings.slots)
        sys.path.insert(0, settings.library)
        try:
            import xllamacpp
        except ImportError as error:
            raise Hopeless(f"the engine in {settings.library} cannot be loaded: {error}") from None
        wanted = xllamacpp.CommonParams()
        wanted.model.path, wanted.model_alias = str(file), {settings.name}
        wanted.hostnames, wanted.port, wanted.api_keys = ["127.0.0.1"], settings.port, [api_key]
        wanted.n_ctx, wanted.n_parallel = settings.context * settings.slots, settings.slots
        for of in (wanted.cpuparams, wanted.cpuparams_batch):
            # Threads that wait for each other spin: beside other load that costs most of the speed.
            of.n_threads, of.poll = settings.threads, 0
        wanted.endpoint_metrics, wanted.ui, wanted.offline = True, False, True
        try:
            self._server = xllamacpp.Server(wanted)
        except Exception as error:
            raise Hopeless(f"{file} cannot be loaded: {error}") from None

    def ask(self, path: str, body: dict[str, Any] | None = None, timeout_s: float = 10) -> str:
        """Return the answer to a request as text; OSError where there is none."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.settings.port}{path}", json.dumps(body).encode() if body else None,
            {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310 - loopback, by http
            return str(answer.read().decode())

    def prove(self) -> None:
        """Ask what is known; Hopeless for another answer. A model may load and answer nonsense."""
        probe = self.settings.probe
        body = {"model": self.settings.name, "prompt": probe["prompt"], "max_tokens": PROBE_TOKENS, "temperature": 0}
        text = json.loads(self.ask("/v1/completions", body, PROBE_S))["choices"][0]["text"]
        if probe["expected"] not in text:
            raise Hopeless(f"the model answers {text!r} to {probe['prompt']!r}: {probe['expected']!r} is not in it")

    def busy(self) -> int:
        """Return how many requests are worked on or wait."""
        return parse_busy(self.ask("/metrics"))

    def drain(self) -> int:
        """Wait until nobody waits for an answer, or the time is over; return how many do then."""
        until = time.monotonic() + self.settings.drain_s
        while (left := self.busy()) and time.monotonic() < until:
            time.sleep(0.2)
        return left


def fits(file: Path, context: int, slots: int) -> None:
    """Print what the model needs of memory; Hopeless where it is more than the host has, Later where others have it."""
    try:
        model = model_memory.read(file)
    except model_memory.BadModel as error:
        raise Hopeless(str(error)) from None
    total, free = model_memory.host_memory()
    enough, text = model_memory.report(model, context, slots, free)
    print(text, flush=True)
    if not model_memory.report(model, context, slots, total)[0]:
        raise Hopeless(f"{file.name} does not fit into this host's memory; see above")
    if not enough:
        raise Later(f"{file.name} does not fit beside what runs here; see above")


def parse_busy(text: str) -> int:
    """Return the requests that are worked on or wait, from the engine's metrics (Prometheus' text format)."""
    found = (line.split() for line in text.splitlines() if line.startswith(BUSY))
    return int(sum(float(words[1]) for words in found))


def notify(text: str) -> None:
    """Tell systemd how it goes; nothing where nobody listens (sd_notify(3))."""
    if not (place := os.environ.get("NOTIFY_SOCKET")):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.connect("\0" + place[1:] if place.startswith("@") else place)
        link.sendall(text.encode())


def main(words: Sequence[str]) -> None:
    """Serve until SIGTERM."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        settings = read(Path(words[0]))
        engine = Engine(settings, key(), Path(os.environ.get("DUALTRACK_CHECKPOINT", "/")))
        engine.prove()
    except (Hopeless, Later) as error:
        print(error, flush=True)
        os._exit(HOPELESS if isinstance(error, Hopeless) else LATER)
    print(f"{settings.name} answers on port {settings.port}", flush=True)
    notify("READY=1")
    ended.wait()
    notify("STOPPING=1")
    left = engine.drain()
    print(f"ended; {left} requests were not" if left else "ended; nobody waited for an answer", flush=True)
    os._exit(1 if left else 0)  # the engine's threads have nothing to tidy up
