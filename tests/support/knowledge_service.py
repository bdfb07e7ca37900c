"""The service of the knowledge base as a process of its own, on a Unix socket, and a journal that keeps its records."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import msgspec

from dualtrack.data.mirror import artifacts
from dualtrack.knowledge.service.people import AUDIENCE
from dualtrack.security.access import tokens
from dualtrack.tracks import knowledge
from tests.conftest import ROOT, wait
from tests.support.api_testbed import Gateway


def asked(*requests: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Ask the program of the knowledge base for several things, one after the other."""
    known = {"model": str(knowledge.model())}
    words = [artifacts.environment("knowledge"), "-P", "-m", "dualtrack.knowledge.program"]
    done = subprocess.run(
        words, capture_output=True, check=True,
        input=b"".join(msgspec.json.encode({**known, **it}) + b"\n" for it in requests),
        env={**os.environ, "PYTHONPATH": str(ROOT / "tools")},
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]


class Connection(http.client.HTTPConnection):
    """A connection to a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("knowledge", timeout=60)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(str(self.path))


class Service:
    """A service that answers from ``base``; ``tools`` is where its program is, the checkout's own without it."""

    def __init__(
        self, folder: Path, base: Path, people: Mapping[str, Iterable[str]], *, gateway: Gateway | None = None,
        tools: Path = ROOT / "tools", **settings: Any,
    ) -> None:  # fmt: skip
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.socket, self.tools = folder / "api.sock", tools
        self.say_who_sees_what(people)
        (folder / "key.pem").write_text(tokens.public(folder))
        (folder / "gateway-key").write_text("dt-secret")
        of_gateway = {
            "gateway": {"url": gateway.url, "ca_file": str(gateway.folder / "ca.pem"), "model": "smollm2"}
        } if gateway else {}  # fmt: skip
        told = {
            "base": str(base), "model": str(knowledge.model()), "people": str(folder / "people.json"),
            "token_key": str(folder / "key.pem"), "socket": str(self.socket), "journal": str(folder / "journal"),
            "per_minute": 1_000_000, **of_gateway, **settings,
        }  # fmt: skip
        (folder / "service.json").write_text(json.dumps(told))

    def __enter__(self) -> Self:
        self.journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.journal.bind(str(self.folder / "journal"))
        self.begin()
        return self

    def begin(self) -> None:
        """Start the process, and wait until it answers."""
        words = ["-P", "-m", "dualtrack.knowledge.service.server", str(self.folder / "service.json")]
        environment = {
            **os.environ, "PYTHONPATH": str(self.tools), "CREDENTIALS_DIRECTORY": str(self.folder),
        }  # fmt: skip
        self.socket.unlink(missing_ok=True)
        self.process = subprocess.Popen([artifacts.environment("knowledge"), *words], env=environment)
        wait(lambda: self.socket.exists() or self.process.poll() is not None, 60, "the service")

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        code = self.process.wait(60)
        self.journal.close()
        assert code == 0

    def say_who_sees_what(self, people: Mapping[str, Iterable[str]]) -> None:
        """Write the file of people, as Ansible does: another file, then the name."""
        (self.folder / "new").write_text(json.dumps({name: sorted(labels) for name, labels in people.items()}))
        (self.folder / "new").replace(self.folder / "people.json")

    def token(self, name: str, operator: str = "") -> str:
        """Return a token of a person, or one that an operator uses in their place."""
        until = datetime.now(UTC) + timedelta(minutes=10)
        return tokens.issue(self.folder, name, [], until=until, audience=AUDIENCE, operator=operator)

    def ask(
        self,
        path: str,
        body: object = None,
        name: str = "",
        *,
        token: str = "",
        method: str = "",
        more: Mapping[str, str] | None = None,
    ) -> tuple[int, str, http.client.HTTPMessage]:
        """Return status, text and headers of an answer; bytes are sent as they are, ``more`` are headers."""
        link = Connection(self.socket)
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        held = token or (self.token(name) if name else "")
        headers = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json", **(more or {})}
        if held:
            headers["Authorization"] = f"Bearer {held}"
        with contextlib.suppress(BrokenPipeError):  # who is refused at once may still be sending
            link.request(method or ("GET" if body is None else "POST"), path, data, headers)
        answer = link.getresponse()
        text = answer.read().decode()
        link.close()
        return answer.status, text, answer.headers

    def records(self) -> list[dict[str, Any]]:
        """Return the records that have come since the last time."""
        self.journal.setblocking(False)
        found = []
        while True:
            try:
                data = self.journal.recv(1 << 20)
            except BlockingIOError:
                return found
            found.append(json.loads(data.partition(b"MESSAGE\n")[2][8:]))
