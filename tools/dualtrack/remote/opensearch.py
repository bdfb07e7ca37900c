"""The one client of the search store: HTTPS with a certificate of ours, straight or through ssh to the node.

`Store` is one node, `SearchStore` a cluster of which the node that answers is asked.

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

from dualtrack.core import https, waiting
from dualtrack.core.errors import BadInput, External, Refused

#: Opens a stream to the store.
Opener = Callable[[], socket.socket]
#: Where a node listens that is named without a port.
PORT = 9200
#: Seconds for an answer: a bulk request waits for the disk of every copy.
ANSWER_S = 120
#: What a store says that will take the same later: too busy, or no node that leads.
LATER = frozenset({429, 502, 503, 504})


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the store said: HTTP's number, and its JSON as objects; what ``is_text`` is not JSON.

    ``after_s`` is the seconds for which it asks to be left alone (Retry-After).
    """

    status: int
    body: Any
    after_s: float = 0.0
    is_text: bool = False

    @property
    def reason(self) -> str:
        """Return its own words on what went wrong, or all it said."""
        error = self.body.get("error", self.body) if isinstance(self.body, dict) else self.body
        return str(error.get("reason", error) if isinstance(error, dict) else error)


class _Connection(http.client.HTTPSConnection):
    """A connection over a stream that somebody else opens."""

    def __init__(self, name: str, opener: Opener, context: ssl.SSLContext, timeout: float) -> None:
        super().__init__(name, 443, timeout=timeout, context=context)  # else the end of an IPv6 address is a port
        self._name, self._opener, self._tls, self._patience = name, opener, context, timeout

    def connect(self) -> None:
        """Open the stream and encrypt it, under the node's name."""
        stream = self._opener()
        stream.settimeout(self._patience)
        self.sock = self._tls.wrap_socket(stream, server_hostname=self._name)


class Silent(External):
    """A node does not answer; ``why`` is what the connection says."""

    def __init__(self, name: str, error: Exception) -> None:
        self.why = str(error) or type(error).__name__
        super().__init__(f"the search store on {name} does not answer: {self.why}")


class Away(External):
    """Nobody answers, or the store cannot take it now: worth another try."""


class Store:
    """One node of the store, called by its ``name`` in its certificate; a context manager.

    ``authority`` is the file of the only authority that is believed, or TLS that is made already. ``most`` is how many
    bytes of an answer are read.
    """

    def __init__(
        self, name: str, opener: Opener, authority: Path | ssl.SSLContext, *, certificate: Path | None = None,
        key: Path | None = None, timeout: float = 60, most: int | None = None,
    ) -> None:  # fmt: skip
        self.name, self._most = name, most
        if isinstance(authority, ssl.SSLContext):
            context = authority
        else:
            context = ssl.create_default_context(cafile=str(authority))
        if certificate is not None:
            context.load_cert_chain(certificate, key)
        self._connection = _Connection(name, opener, context, timeout)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """Send one request and return the answer, whatever its number; Silent when nobody answers.

        ``body`` is sent as JSON; bytes as they are, as lines of JSON (`_bulk`).
        """
        data = body if isinstance(body, bytes | None) else msgspec.json.encode(body)
        kind = "application/x-ndjson" if isinstance(body, bytes) else "application/json"
        try:
            self._connection.request(method, path, data, {"Content-Type": kind, **(headers or {})})
            answer = self._connection.getresponse()
            text = answer.read(self._most)
        except (OSError, http.client.HTTPException, ValueError) as error:  # the last for the size of a chunk
            self._connection.close()
            raise Silent(self.name, error) from None
        after_s = https.retry_after(answer.headers.get("Retry-After", "")) or 0.0
        try:
            return Answer(status=answer.status, body=msgspec.json.decode(text) if text else None, after_s=after_s)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return Answer(
                status=answer.status, body=text.decode(errors="replace").strip(), after_s=after_s, is_text=True
            )

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

    def opener() -> socket.socket:
        stream = socket.create_connection((address, port), timeout=timeout)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a request's head and body are two writes
        return stream

    return opener


def through(words: Sequence[str]) -> Opener:
    """Return what opens a stream through a program that carries bytes: `ssh … -W ADDRESS:PORT`."""

    def opener() -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            # Ends automatically when our end is closed.
            subprocess.Popen(
                list(words),
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        return ours

    return opener


class SearchStore:
    """A cluster by the addresses of its nodes (https://HOST:PORT); each request goes to one that answers.

    ``ca`` is the only authority that is believed. The caller is known by ``cert`` and ``key`` or, a person, by the
    first line of a file: of ``token``, or of ``password`` together with ``user``. ``opener`` opens a stream to a name
    and port.
    """

    def __init__(
        self, addresses: Sequence[str], *, ca: Path, cert: Path | None = None, key: Path | None = None, user: str = "",
        password: Path | None = None, token: Path | None = None, opener: Callable[[str, int], Opener] = straight,
    ) -> None:  # fmt: skip
        if bool(cert) != bool(key) or bool(user) != bool(password) or sum(map(bool, (cert, user, token))) != 1:
            raise BadInput("name --cert and --cert-key, or --user and --password-file, or --token-file")
        self._headers = basic(user, _first_line(password, "password")) if password is not None else {}
        if token is not None:
            self._headers = {"Authorization": f"Bearer {_first_line(token, 'token')}"}
        self._nodes = [node(it, ca, cert, key, opener) for it in addresses]

    def identity(self) -> str:
        """Return what tells this store from one that was built in its place; '' where it does not say."""
        try:
            found = str(self.ask("GET", "/").get("cluster_uuid", ""))
        except Refused:
            return ""
        return "" if found == "_na_" else found

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Return the answer's document; ``body`` is as in `Store.call`. Away when a later try may succeed."""
        said = ""
        for _ in range(len(self._nodes) + 1):  # once more: a connection that was idle may be closed by now
            asked = self._nodes[0]
            try:
                answer = asked.call(method, path, body, self._headers)
            except External as error:
                said = str(error)
            else:
                if answer.status not in LATER:
                    return _document(answer, asked.name)
                said = f"{asked.name} answers {answer.status}: {answer.reason[:200]}"
            self._nodes.append(self._nodes.pop(0))  # another node may be well
        raise Away(f"the store cannot be had: {said}")


def by_way_of(host: str) -> Callable[[str, int], Opener]:
    """Return what opens streams through the ssh server of ``host``: encrypted from here to the store all the same."""
    # A name that begins with a hyphen is none of a host.
    return lambda name, port: through(["ssh", "-W", f"{name}:{port}", "--", host])


def node(
    address: str, ca: Path, cert: Path | None, key: Path | None, opener: Callable[[str, int], Opener],
    timeout: float = ANSWER_S,
) -> Store:  # fmt: skip
    """Return a node by its address."""
    try:
        at = https.address(address, PORT)
    except ValueError as error:
        named = "what is named" if "@" in address else address  # it may have a password
        wrong = f"{named} is not an address of a store: {error}"
        raise BadInput(wrong, hint="https://HOST:9200, without a path") from None
    try:
        return Store(at.host, opener(at.host, at.port), ca, certificate=cert, key=key, timeout=timeout)
    except FileNotFoundError:
        missing = next((it for it in (ca, cert, key) if it is not None and not it.exists()), ca)
        raise BadInput(f"there is no {missing}", hint="certificates come from `dualtrack pki`") from None
    except OSError as error:  # ssl.SSLError is one
        raise BadInput(f"{cert or ca} or its key cannot be used: {error}") from None


def _first_line(file: Path, what: str) -> str:
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    if not lines or not lines[0]:
        raise BadInput(f"{file} holds no {what}")
    return lines[0]


def _document(answer: Answer, name: str) -> Any:
    if answer.status in (401, 403):
        raise Refused(f"{name} refuses: {answer.reason[:200] or answer.status}")
    if answer.status >= 400:
        raise External(f"{name} answers {answer.status}: {answer.reason[:200]}")
    if not isinstance(answer.body, dict):
        raise External(f"{name} answers with no JSON: is it a search store?")
    return answer.body
