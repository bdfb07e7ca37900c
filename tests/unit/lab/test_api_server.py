"""The HTTP side of the emulated API: how much of a request is read, what is malformed, and who keeps it waiting."""

from __future__ import annotations

import datetime
import hashlib
import itertools
import random
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest import mock

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from dualtrack.core.aws import Keys
from dualtrack.lab import api_server, credentials, signature
from dualtrack.lab.api_server import Limits, MotoHandler, Server
from dualtrack.lab.guard import Guard

KEYS = Keys("AKIAIOSFODNN7EXAMPLE", "secret")
ROLE = credentials.of_instance(KEYS, "i-1")
HOSTS = {"127.0.0.1:5000", "localhost:5000"}
LIMITS = Limits()
LONG = signature.LONGEST_BODY
SIZES = (0, 1, LONG, LONG + 1, 3 * LONG)


class Body:
    """A body that counts what is read of it; it is as long as it is read."""

    def __init__(self, size: int) -> None:
        self.left, self.read_bytes = size, 0

    def read(self, size: int = -1) -> bytes:
        count = self.left if size < 0 else min(size, self.left)
        self.left -= count
        self.read_bytes += count
        return b"x" * count


def signed(service: str, keys: Keys, size: int, *, body: bool, presigned: bool = False, minutes: int = 0) -> AWSRequest:
    """Return a request that is signed; with ``body`` a digest of it is, too, otherwise no word of the body is said."""
    request = AWSRequest(method="POST", url="http://127.0.0.1:5000/b/k", data=b"" if presigned else b"x" * size)
    signer: Any = S3SigV4QueryAuth if presigned else S3SigV4Auth if service == "s3" else SigV4Auth
    now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=minutes)
    with mock.patch("botocore.auth.get_current_datetime", return_value=now):
        if body and service != "s3":
            request.headers["X-Amz-Content-Sha256"] = hashlib.sha256(b"x" * size).hexdigest()
        signer(Credentials(keys.id, keys.secret), service, "us-east-1").add_auth(request)
    return request


def headers(request: AWSRequest) -> dict[str, str]:
    """Return a request's headers as text; botocore has some of them as bytes."""
    pairs: Any = request.headers.items()
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in pairs}


def environ(request: AWSRequest, body: Body, declared: str) -> dict[str, Any]:
    """Return what the server makes of a request; ``declared`` is its Content-Length, or `chunked`."""
    path = str(request.url).removeprefix("http://127.0.0.1:5000")
    found: dict[str, Any] = {
        "REQUEST_METHOD": request.method, "HTTP_HOST": "127.0.0.1:5000", "REQUEST_URI": path,
        "PATH_INFO": path.partition("?")[0], "wsgi.input": body,
    }  # fmt: skip
    found |= {"wsgi.input_terminated": True} if declared == "chunked" else {"CONTENT_LENGTH": declared}
    texts = headers(request)
    return found | {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in texts.items()}


#: What is wrong with a request: its keys, minutes that its clock is off, and a change after it was signed.
WRONG: dict[str, tuple[Keys, int, tuple[str, str]]] = {
    "an unknown key": (Keys("AKIAAAAAAAAAAAAAAAAA", "x"), 0, ("", "")),
    "temporary keys that nobody issued": (Keys("ASIAAAAAAAAAAAAAAAAA", "x"), 0, ("", "")),
    "temporary keys of another lab": (credentials.of_instance(Keys("AKIA", "other"), "i-1"), 0, ("", "")),
    "one letter more": (Keys(f"{ROLE.id}A", ROLE.secret), 0, ("", "")),
    "one letter less": (Keys(ROLE.id[:-1], ROLE.secret), 0, ("", "")),
    "the operator's key with another secret": (Keys(KEYS.id, "x"), 0, ("", "")),
    "temporary keys with another secret": (Keys(ROLE.id, "x"), 0, ("", "")),
    "an old signature": (KEYS, -60 * 24 * 8, ("", "")),
    "a signature of tomorrow": (KEYS, 60 * 24, ("", "")),
    "another host": (KEYS, 0, ("HTTP_HOST", "web.test")),
    "another path": (KEYS, 0, ("REQUEST_URI", "/b/other")),
    "no signature": (KEYS, 0, ("HTTP_AUTHORIZATION", "")),
    "a header that is not signed": (KEYS, 0, ("HTTP_X_AMZ_ACL", "public-read")),
}
NEEDS_BODY = {"the operator's key with another secret", "temporary keys with another secret", "another path"}


@pytest.mark.attack(
    "another account", "sends bodies without the secret of a key", "prevented", "refused before it is read"
)
@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_refused_is_not_read(wrong: str) -> None:
    keys, minutes, (name, value) = WRONG[wrong]
    app = mock.Mock(side_effect=AssertionError("the application was asked"))
    guard = Guard(app, partial(credentials.secret_of, KEYS), HOSTS)
    forms = [("s3", True, False), ("s3", True, True), ("ec2", True, False), ("ec2", False, False)]
    for (service, digest, presigned), size, chunked in itertools.product(forms, SIZES, (False, True)):
        if presigned and name in {"REQUEST_URI", "HTTP_AUTHORIZATION"}:
            continue  # the signature is in its address
        for declared in ["chunked"] if chunked else [str(size), "999999999999", "-1", "x"]:
            request, body = signed(service, keys, 0, body=digest, presigned=presigned, minutes=minutes), Body(size)
            given = environ(request, body, declared) | ({name: value} if name else {})
            start = mock.Mock()
            guard(given, start)
            assert start.call_args[0][0][:3] in ({"403", "413"} if wrong in NEEDS_BODY and not digest else {"403"})
            most = LONG + 1 if wrong in NEEDS_BODY and not digest else 0
            assert body.read_bytes <= most, (service, size, declared)
            if declared == "999999999999":
                assert body.read_bytes == 0


@pytest.mark.parametrize("keys", [KEYS, ROLE], ids=["operator", "instance"])
@pytest.mark.parametrize("size", SIZES)
def test_what_is_signed_is_answered_and_read_whole(keys: Keys, size: int) -> None:
    for service, digest, presigned in (("s3", True, False), ("s3", False, True), ("ec2", True, False)):
        app = mock.Mock(return_value=[b"ok"])
        body = Body(size)
        given = environ(signed(service, keys, size, body=digest, presigned=presigned), body, str(size))
        assert Guard(app, partial(credentials.secret_of, KEYS), HOSTS)(given, mock.Mock()) == [b"ok"]
        assert len(app.call_args[0][0]["wsgi.input"].read()) == body.read_bytes == size


@dataclass
class Running:
    """A server with a small application behind the guard."""

    port: int
    server: Server

    def connect(self, data: bytes = b"") -> socket.socket:
        found = socket.create_connection(("127.0.0.1", self.port), 30)
        found.sendall(data)
        return found

    def ask(self, data: bytes) -> bytes:
        """Send bytes and nothing after them; return the answer."""
        with self.connect(data) as client:
            client.shutdown(socket.SHUT_WR)
            return read_all(client)


def read_all(client: socket.socket) -> bytes:
    """Return what a server sends until it closes the connection."""
    found = b""
    try:
        while block := client.recv(65536):
            found += block
    except ConnectionResetError:
        pass
    return found


def ok(_: dict[str, Any], start: Any) -> list[bytes]:
    start("200 OK", [("Content-Length", "2")])
    return [b"ok"]


@contextmanager
def serving(limits: Limits = LIMITS) -> Iterator[Running]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        guard = Guard(ok, partial(credentials.secret_of, KEYS), {f"127.0.0.1:{port}", f"localhost:{port}"})
        server = api_server.make_server("127.0.0.1", port, guard, MotoHandler, listening.fileno())
        server.limits = limits
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        try:
            yield Running(port, server)
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def api() -> Iterator[Running]:
    with serving() as found:
        yield found


def authorized(service: str = "ec2", moment: str = "") -> str:
    moment = moment or f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%SZ}"
    return (
        f"Authorization: AWS4-HMAC-SHA256 Credential={KEYS.id}/{moment[:8]}/us-east-1/{service}/aws4_request, "
        f"SignedHeaders=host;x-amz-date, Signature={'0' * 64}\r\nX-Amz-Date: {moment}\r\n"
    )


LINES = (
    "", " ", "\x00", "GET", "GET /", "GET  / HTTP/1.1", "GET / HTTP/1.1 x", "GET / HTTP/2.0", "GET / HTTP/0.9",
    "GET / HTTP/1.10", "GET / http/1.1",
    "GET / FTP/1.1", "G\xc8T / HTTP/1.1", "GET /\xff HTTP/1.1", "GET /\x00 HTTP/1.1",
    "GET http://[/ HTTP/1.1", "GET http://[::1/ HTTP/1.1", "GET http:// HTTP/1.1", "GET http:///x HTTP/1.1",
    "GET ftp://x/ HTTP/1.1", "GET x HTTP/1.1", "GET ?a=b HTTP/1.1", "CONNECT x:1 HTTP/1.1", "PRI * HTTP/2.0",
    "GET http://a@b/ HTTP/1.1", "\x16\x03\x01\x02\x00\x01", "GET /\rHost: x HTTP/1.1", "(GET) / HTTP/1.1",
)  # fmt: skip
HEADERS = (
    "Host: [", "Host: [::1", "Host: ", "Host: a b",
    "Host: \xff\xfe", "Host: a\x00b", "Host: a@b", "Host: a/b", "Host: x,y",
    "no colon", "Name : x", ": x", "\x00", "\xff\xfe", "Content-Length: -1", "Content-Length: x",
    "Content-Length: 1, 1",
    "Content-Length: \xb2", "Content-Length: +1", "Content-Length: 99999999999999999999", "Content-Length: 0x10",
    "Transfer-Encoding: gzip", "Transfer-Encoding: chunked, gzip", "Transfer-Encoding: xchunked", "Transfer-Encoding: ",
    "Content-Length: 1\r\nContent-Length: 2", "Content-Length: 1\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
)  # fmt: skip
CHUNKS = (
    "zz\r\n",
    "-5\r\nabc\r\n0\r\n\r\n",
    "5\r\nab",
    "5\r\nabcdefgh\r\n0\r\n\r\n",
    "",
    "\r\n",
    "0",
    "1\r\na\r\n",
    "g\r\n",
)


def malformed(port: int) -> dict[str, str]:
    """Return requests by what is malformed about them."""
    host = f"Host: 127.0.0.1:{port}"
    found = {f"line {it!r}": f"{it}\r\n{host}\r\n\r\n" for it in LINES}
    for version in ("1.0", "1.1"):
        lines = {it: it if "Host" in it else f"{host}\r\n{it}" for it in HEADERS}
        found |= {f"header {it!r} {version}": f"POST / HTTP/{version}\r\n{lines[it]}\r\n\r\nab" for it in HEADERS}
    found |= {"no host": "GET / HTTP/1.1\r\n\r\n", "two hosts": f"GET / HTTP/1.1\r\n{host}\r\n{host}\r\n\r\n"}
    for service in ("ec2", "s3"):
        head = f"POST / HTTP/1.1\r\n{host}\r\n{authorized(service)}"
        found |= {f"chunk {it!r} {service}": f"{head}Transfer-Encoding: chunked\r\n\r\n{it}" for it in CHUNKS}
        found |= {f"short body {service}": f"{head}Content-Length: 10\r\n\r\nabc"}
    whole = f"GET / HTTP/1.1\r\n{host}\r\n{authorized()}\r\n"
    cut = random.Random(1).sample(range(1, len(whole) - 2), 25)  # not within the empty line
    return found | {f"cut after {place}": whole[:place] for place in cut}


ERROR = re.compile(
    rb"HTTP/1\.1 400 .*\r\n\r\n<\?xml[^>]*>(<Response><Errors>|<ErrorResponse>)?<Error>(<Type>Sender</Type>)?"
    rb"<Code>\w+</Code><Message>[^<]+</Message>",
    re.S,
)


@pytest.mark.attack("another account", "sends requests that are malformed in any way", "prevented", "400, no traceback")
def test_malformed_requests_are_refused_in_the_form_of_aws(api: Running, capfd: pytest.CaptureFixture[str]) -> None:
    wrong = {}
    for name, data in malformed(api.port).items():
        answer = api.ask(data.encode("latin-1"))
        if not ERROR.match(answer) or answer.count(b"HTTP/1.1 ") != 1:
            wrong[name] = answer[:120]
    assert wrong == {}
    assert capfd.readouterr() == ("", "")


def test_headers_without_a_key_take_a_bounded_memory(api: Running) -> None:
    """However they are cut into lines."""
    limit = LIMITS.head
    head = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{api.port}\r\n"
    for size in (60_000, 20_000, 4_000):
        lines = "".join(f"X-{number}: {'x' * size}\r\n" for number in range(2 * limit // size))
        assert api.ask(f"{head}{lines}\r\n".encode()).startswith(b"HTTP/1.1 431 ")


def test_dates_and_signatures_of_every_kind_are_refused(api: Running, capfd: pytest.CaptureFixture[str]) -> None:
    """Years that no calendar subtracts from, letters that are digits elsewhere, and bytes that are not characters."""
    moments = ["00010101T000000Z", "99991231T235959Z", "20260230T000000Z", "２０２６", "", "0" * 16, "\x00", "-1"]
    signatures = ["0" * 64, "", "%ff%ed%a0%80", "Ａ", "0" * 63, "%00"]
    for moment, sign, key in itertools.product(moments, signatures, (KEYS.id, "%ed%a0%80", "ASIA%00", "a/b")):
        query = (f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={key}/{moment[:8]}/r/s3/aws4_request&X-Amz-Date="
                 f"{moment}&X-Amz-Expires=999999&X-Amz-SignedHeaders=host&X-Amz-Signature={sign}")  # fmt: skip
        answer = api.ask(f"GET /b/k?{query} HTTP/1.1\r\nHost: 127.0.0.1:{api.port}\r\n\r\n".encode())
        assert re.match(rb"HTTP/1\.1 40[03] .*<Code>\w+</Code>", answer, re.S), (moment, sign, key)
    assert capfd.readouterr() == ("", "")


def request(
    port: int, service: str = "ec2", keys: Keys = KEYS, *, method: str = "GET", body: bytes = b"", more: str = ""
) -> bytes:
    """Return the head of a request that is signed, without its body."""
    it = AWSRequest(method=method, url=f"http://127.0.0.1:{port}/", data=body)
    (S3SigV4Auth if service == "s3" else SigV4Auth)(Credentials(keys.id, keys.secret), service, "us-east-1").add_auth(
        it
    )
    texts = headers(it)
    lines = "".join(f"{name}: {value}\r\n" for name, value in texts.items())
    return f"{method} / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{lines}{more}\r\n".encode()


#: What a client sends before it goes silent.
SILENT = {
    "nothing": "", "half a line": "GET / HT", "headers that never end": "GET / HTTP/1.1\r\nX",
    "no body": "POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 9\r\n\r\n",
    "half a body": "POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 9\r\n{auth}\r\nabc",
    "half a chunk": "POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nTransfer-Encoding: chunked\r\n{auth}\r\n5\r\na",
}  # fmt: skip


@pytest.mark.attack(
    "another account", "opens connections and says no more", "prevented", "ended, and others are answered"
)
def test_clients_that_go_silent_are_ended() -> None:
    with serving(Limits(patience=0.3, lingering=0.1)) as api, ExitStack() as stack:
        clients = []
        for text in SILENT.values():
            data = text.format(port=api.port, auth=authorized()).encode()
            clients.append(stack.enter_context(api.connect(data)))
        for name, client in zip(SILENT, clients, strict=True):
            assert b" 200 " not in read_all(client), name  # it returns only because the server closes
        assert api.ask(request(api.port)).endswith(b"ok")


def test_time_is_given_back_for_bodies_and_not_for_headers() -> None:
    """A clock of the test: each byte comes a second after the one before it."""
    now = [0.0]

    def received(moving: bool, count: int) -> int:
        connection = api_server.Connection(mock.Mock(), Limits(patience=10, rate=2), lambda: now[0])
        connection.moving = moving

        def one() -> int:
            now[0] += 1.0
            return count

        for waits in range(1000):
            try:
                connection.wait(one)
            except TimeoutError:
                return waits
        return 1000

    assert received(moving=False, count=1) == received(moving=False, count=1 << 20) == 10
    assert received(moving=True, count=1) == 20
    assert received(moving=True, count=2) == 1000


def test_new_connections_take_the_place_of_the_oldest_that_nobody_signed() -> None:
    with serving(Limits(connections=8)) as api, ExitStack() as stack:
        idle = [stack.enter_context(api.connect(b"POST / HTTP/1.1\r\nX")) for _ in range(40)]
        for _ in range(3):
            assert api.ask(request(api.port)).endswith(b"ok")
        for client in idle[:32]:
            assert read_all(client)[:12] in {b"", b"HTTP/1.1 400"}
        assert len(api.server._open) <= 8


def test_connections_that_were_signed_keep_their_place() -> None:
    """A server that is full of requests by known keys says so to the next client."""
    held, entered = threading.Event(), threading.Semaphore(0)

    def slow(environ: dict[str, Any], start: Any) -> list[bytes]:
        entered.release()
        held.wait(30)
        return ok(environ, start)

    with serving(Limits(connections=2)) as api, ExitStack() as stack:
        api.server.app = Guard(slow, partial(credentials.secret_of, KEYS), {f"127.0.0.1:{api.port}"})
        clients = [stack.enter_context(api.connect(request(api.port, name))) for name in ("ec2", "s3")]
        for _ in clients:
            assert entered.acquire(timeout=30)
        with api.connect() as refused:
            assert read_all(refused).startswith(b"HTTP/1.1 503 ")
        held.set()
        for client in clients:
            assert read_all(client).endswith(b"ok")


@pytest.mark.parametrize(("known", "code"), [(False, b"403"), (True, b"200")])
def test_clients_that_wait_are_told_to_continue_only_when_the_body_is_wanted(
    api: Running, known: bool, code: bytes
) -> None:
    keys = KEYS if known else Keys("AKIAX", "x")
    more = "Content-Length: 4\r\nExpect: 100-continue\r\n"
    head = request(api.port, "s3", keys, method="POST", body=b"body", more=more)
    with api.connect(head) as client:
        first = client.recv(25)
        if known:
            assert first == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.sendall(b"body")
            first = client.recv(25)
        assert first.startswith(b"HTTP/1.1 " + code)
        client.shutdown(socket.SHUT_WR)
        read_all(client)
