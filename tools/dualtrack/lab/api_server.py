"""The HTTP side of the emulated API and of the metadata service: what is malformed is refused, what is slow is ended.

werkzeug's development server waits for ever for a request, starts a thread for each connection, and answers some
malformed requests with HTML, some with a traceback and some with nothing.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import socket
import sys
import threading
import time
from collections.abc import Callable
from email import errors
from functools import partial
from http import HTTPStatus
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

import msgspec
from moto.server import MotoRequestHandler  # type: ignore[attr-defined]
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from dualtrack.lab.guard import ADMIT

log = logging.getLogger("labd")
REQUEST_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ ([\x21-\x7e]+) HTTP/1\.([01])\r?\n")
HOST = re.compile(r"[A-Za-z0-9_.-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")
LENGTH = re.compile("[0-9]{1,18}")
#: What Python's parser finds in headers; it also parses a body, which is not there.
DEFECTS = (errors.FirstHeaderLineIsContinuationDefect, errors.InvalidHeaderDefect, errors.MalformedHeaderDefect,
           errors.MissingHeaderBodySeparatorDefect)  # fmt: skip
#: What a refusal says in S3's form, which all clients of AWS print.
ERROR = (
    '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{}</Code><Message>{}</Message><RequestId>0</RequestId></Error>'
)
BUSY = (
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/xml\r\nConnection: close\r\n\r\n"
    + ERROR.format("SlowDown", "Too many connections are open.")
).encode()


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a connection may take.

    ``patience`` is how many seconds the server waits for a client altogether, ``lingering`` how many it waits after the
    answer, ``rate`` the bytes that give back a second of it once the headers have come, ``discarded`` how many
    bytes of a body are read that nobody wants, ``head`` how many bytes the headers of a request may have, about,
    ``connections`` how many there are at once.
    """

    patience: float = 20.0
    lingering: float = 2.0
    rate: float = 16384.0
    discarded: int = 1 << 24
    head: int = 1 << 17  # one line of it is 64 KiB at most
    connections: int = 256


class Connection:
    """A socket whose client may keep the server waiting for a limited time; TimeoutError at its end."""

    def __init__(self, sock: socket.socket, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._sock, self._limits, self._clock = sock, limits, clock
        self.left = limits.patience
        self.moving = False  # whether bytes give back time: not those of headers
        self.known = False  # whether a known key signed the request

    def wait(self, call: Callable[[], int]) -> int:
        """Receive or send once; return the number of bytes."""
        if self.left <= 0:
            raise TimeoutError
        begin = self._clock()
        self._sock.settimeout(self.left)
        try:
            count = call()
        finally:
            self.left -= self._clock() - begin
        if self.moving:
            self.left = min(self._limits.patience, self.left + count / self._limits.rate)
        return count

    def linger(self) -> None:
        """Let the client finish sending and read the answer, within limits."""
        self.left, self.moving = min(self.left, self._limits.lingering), False
        left = self._limits.discarded
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
            block = bytearray(1 << 16)
            while left > 0 and (count := self.wait(lambda: self._sock.recv_into(block))):
                left -= count

    def end(self) -> None:
        """Close it from another thread: whoever waits for the client finds it gone."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)


class Inbound(io.RawIOBase):
    """What a client sends."""

    def __init__(self, connection: Connection, sock: socket.socket) -> None:
        self._connection, self._sock = connection, sock
        self.answered = False  # nobody wants the rest
        self.ended = False
        self.head = 0  # bytes that are left for headers

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, block: Any) -> int:
        """Receive bytes; 0 at the end of the stream."""
        count = 0 if self.answered else self._connection.wait(lambda: self._sock.recv_into(block))
        self.ended = self.ended or not count
        if not self._connection.moving:
            self.head -= count
            if self.head < 0:
                raise HTTPException("too many headers")
        return count


class Outbound(io.RawIOBase):
    """What a client gets."""

    def __init__(self, connection: Connection, sock: socket.socket) -> None:
        self._connection, self._sock = connection, sock

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any) -> int:
        """Send all of the data."""
        left = memoryview(data).cast("B")
        count = len(left)
        while left:
            left = left[self._connection.wait(partial(self._sock.send, left)) :]
        return count


class Server(ThreadedWSGIServer):
    """A server with a bound on connections. A new one takes the place of the oldest that no known key has signed."""

    limits = Limits()

    def __init__(self, *words: Any, **named: Any) -> None:
        self._open: dict[socket.socket, Connection] = {}
        self._lock = threading.Lock()
        super().__init__(*words, **named)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection a thread of its own, or refuse it."""
        if self._take(request):
            super().process_request(request, client_address)
            return
        request.setblocking(False)
        with contextlib.suppress(OSError):
            request.send(BUSY)
        self.shutdown_request(request)

    def _take(self, request: socket.socket) -> bool:
        """Count a connection; return whether there is a place for it."""
        with self._lock:
            if len(self._open) >= self.limits.connections:
                old = next((sock for sock, it in self._open.items() if not it.known), None)
                if old is None:
                    return False
                self._open.pop(old).end()
            self._open[request] = Connection(request, self.limits)
        return True

    def connection(self, sock: socket.socket) -> Connection:
        """Return a connection that is open; one that has ended where another took its place."""
        with self._lock:
            return self._open.get(sock) or Connection(sock, self.limits)

    def close_request(self, request: Any) -> None:
        """Forget a connection."""
        with self._lock:
            self._open.pop(request, None)
        super().close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Log a defect of ours; say nothing where the client has gone, or was ended."""
        if not isinstance(sys.exception(), OSError):
            log.exception("a request was not answered")


class Handler(WSGIRequestHandler):
    """One request of a client, without a line in the log."""

    protocol_version = default_request_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        """Open both directions."""
        self.connection = self.request
        self.its = self.server.connection(self.request)
        self._inbound, self._expected, self._unread = Inbound(self.its, self.request), False, True
        self._inbound.head = self.server.limits.head
        self.rfile = io.BufferedReader(self._inbound)
        self.wfile = Outbound(self.its, self.request)  # type: ignore[assignment]

    def finish(self) -> None:
        """Let a client that was refused hear why."""
        if self._unread:
            self.its.linger()
        super().finish()

    def parse_request(self) -> bool:
        """Read the request line and the headers; answer 400 where they are not what HTTP/1.1 defines."""
        self.command, self.requestline, self.request_version = "", "", "HTTP/1.1"
        self.its.moving, self._inbound.head = False, self.server.limits.head
        found = REQUEST_LINE.fullmatch(self.raw_requestline)
        if not found:
            self.send_error(HTTPStatus.BAD_REQUEST, "The request line is malformed.")
            return False
        if not super().parse_request():
            return False
        if reason := self._malformed(found[1].decode(), modern=found[2] == b"1"):
            self.send_error(HTTPStatus.BAD_REQUEST, reason)
            return False
        self.its.moving = True
        self._unread = "Transfer-Encoding" in self.headers or int(self.headers.get("Content-Length", "0")) > 0
        return True

    def _malformed(self, target: str, *, modern: bool) -> str:
        """Return what is malformed; '' where nothing is."""
        # Where the client goes away within them, what has come looks like all.
        if self._inbound.ended or any(isinstance(it, DEFECTS) for it in self.headers.defects):
            return "The headers are malformed."
        hosts, lengths = (self.headers.get_all(name, []) for name in ("Host", "Content-Length"))
        if len(hosts) != 1 if modern else len(hosts) > 1:
            return "A request names one host."
        if any(not HOST.fullmatch(host) for host in hosts):
            return "The name of the host is malformed."
        coding = self.headers.get_all("Transfer-Encoding", [])
        if len(lengths) + len(coding) > 1 or not all(map(LENGTH.fullmatch, lengths)):
            return "The length of the body is malformed."
        if coding and coding[0].strip().lower() != "chunked":
            return "The transfer encoding is not known."
        if not target.startswith("/") and target != "*":
            try:
                there = urlsplit(target)
            except ValueError:
                return "The target is malformed."
            if there.scheme not in {"http", "https"} or not HOST.fullmatch(there.netloc):
                return "The target is malformed."
        return ""

    def handle_expect_100(self) -> bool:
        """Tell a client to send its body when somebody asks for the body, and not before."""
        del self.headers["Expect"]
        self._expected = True
        return True

    def make_environ(self) -> dict[str, Any]:
        """Return what the application is given."""
        environ = super().make_environ()
        environ[ADMIT] = self._admit
        if self._expected:
            environ["wsgi.input"] = _Expected(environ["wsgi.input"], self.wfile)
        return environ

    def _admit(self) -> None:
        self._unread, self.its.known = False, True

    def send_response(self, code: int, message: str | None = None) -> None:
        """Begin an answer: nobody reads the rest of the request afterwards."""
        super().send_response(code, message)
        self._inbound.answered = True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Answer a malformed request as S3 writes errors."""
        body = ERROR.format("InvalidRequest", message or HTTPStatus(code).phrase).encode()
        self.send_response(code)
        for name, value in (("Content-Type", "text/xml"), ("Content-Length", str(len(body))), ("Connection", "close")):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log(self, type: str, message: str, *args: Any) -> None:
        """Say nothing."""

    def log_request(self, *_: object, **__: object) -> None:
        """Say nothing."""


class _Expected(io.RawIOBase):
    """A body that the client sends when it is asked to."""

    def __init__(self, stream: Any, out: Any) -> None:
        self._stream, self._out = stream, out

    def readable(self) -> bool:
        return True

    def readinto(self, block: Any) -> int:
        if self._out is not None:
            self._out.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._out = None
        return int(self._stream.readinto(block))


class MotoHandler(Handler, MotoRequestHandler):
    """A request on the emulated API."""


def make_server(address: str, port: int, app: Any, handler: type[Handler], fd: int | None = None) -> Server:
    """Return a server at an address, or one on a listening socket that is handed over."""
    return Server(address, port, app, handler, fd=fd)
