"""Speaking to the store: HTTPS with a certificate of ours, straight or through ssh to the node.

Through ssh the encryption still ends in the store: the node's ssh server carries bytes, and the private key of whoever
speaks stays on this machine.
"""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from dualtrack.core import waiting
from dualtrack.core.errors import External

#: Opens a stream to the store.
Opener = Callable[[], socket.socket]


class Answer(msgspec.Struct, frozen=True):
    """What the store said: HTTP's number, and its JSON (or text) as objects."""

    status: int
    body: Any

    @property
    def reason(self) -> str:
        """Return its own words on what went wrong, or all it said."""
        error = self.body.get("error", self.body) if isinstance(self.body, dict) else self.body
        return str(error.get("reason", error) if isinstance(error, dict) else error)


class _Connection(http.client.HTTPSConnection):
    """A connection over a stream that somebody else opens."""

    def __init__(self, name: str, opener: Opener, context: ssl.SSLContext, timeout: float) -> None:
        super().__init__(name, timeout=timeout, context=context)
        self._name, self._opener, self._tls, self._patience = name, opener, context, timeout

    def connect(self) -> None:
        """Open the stream and encrypt it, under the node's name."""
        stream = self._opener()
        stream.settimeout(self._patience)
        self.sock = self._tls.wrap_socket(stream, server_hostname=self._name)


class Store:
    """One node of the store, called by its ``name`` in its certificate; a context manager."""

    def __init__(
        self, name: str, opener: Opener, authority: Path, *, certificate: Path | None = None, key: Path | None = None,
        timeout: float = 60,
    ) -> None:  # fmt: skip
        self.name = name
        context = ssl.create_default_context(cafile=str(authority))
        if certificate is not None:
            context.load_cert_chain(certificate, key)
        self._connection = _Connection(name, opener, context, timeout)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """Send one request and return the answer, whatever its number; External when nobody answers.

        ``body`` is sent as JSON; bytes as they are, as lines of JSON (`_bulk`).
        """
        data = body if isinstance(body, bytes | None) else msgspec.json.encode(body)
        kind = "application/x-ndjson" if isinstance(body, bytes) else "application/json"
        try:
            self._connection.request(method, path, data, {"Content-Type": kind, **(headers or {})})
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise External(
                f"the search store on {self.name} does not answer: {error or type(error).__name__}"
            ) from None
        try:
            return Answer(answer.status, msgspec.json.decode(text) if text else None)
        except msgspec.DecodeError:
            return Answer(answer.status, text.decode(errors="replace").strip())

    def await_up(self, stall: float) -> None:
        """Wait until the node answers at all, whatever it says; External when it does not within ``stall`` seconds."""
        said = ""

        def answers() -> bool:
            nonlocal said
            try:
                self.call("GET", "/")
            except External as error:
                said = str(error)
                return False
            return True

        waiting.until(answers, f"the search store on {self.name}", stall=stall, last=lambda: said, interval=0.3)


def basic(user: str, password: str) -> dict[str, str]:
    """Return the headers of somebody who signs in by password."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def straight(address: str, port: int, timeout: float = 10) -> Opener:
    """Return what opens a connection over the network."""
    return lambda: socket.create_connection((address, port), timeout=timeout)


def through(words: Sequence[str]) -> Opener:
    """Return what opens a stream through a program that carries bytes: `ssh … -W ADDRESS:PORT`."""

    def opener() -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            # Ends by itself when our end is closed.
            subprocess.Popen(
                list(words),
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        return ours

    return opener
