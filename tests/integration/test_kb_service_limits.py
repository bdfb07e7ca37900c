"""The service of the knowledge base when much is asked, slowly, or given up; and when documents are deleted."""

from __future__ import annotations

import http.server
import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import CLI, wait
from tests.integration.test_kb_service import PEOPLE, QUESTION, build, chat, mark
from tests.support.api_testbed import DONE, USAGE, Answer, Gateway, piece, streamed
from tests.support.knowledge_service import Service

ANSWER = streamed(piece("三天 [1]"), piece(None, "stop"), USAGE, DONE)
CHAT, SEARCH = "/v1/chat/completions", "/v1/search"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    made = Gateway(tmp_path)
    made.answer = ANSWER
    yield made
    made.end()


@pytest.fixture
def service(gateway: Gateway, tmp_path: Path) -> Iterator[Service]:
    base = build(tmp_path / "kb", tmp_path / "documents", [0, 1])
    with Service(tmp_path / "service", base, PEOPLE, gateway=gateway, answers=3) as made:
        yield made


def when(allowed: threading.Event) -> Answer:
    """Answer when it is allowed, and not before."""

    def answer(to: http.server.BaseHTTPRequestHandler) -> None:
        allowed.wait(60)
        ANSWER(to)

    return answer


@pytest.mark.parametrize("stream", [False, True])
def test_others_are_answered_while_answers_are_slow(service: Service, gateway: Gateway, *, stream: bool) -> None:
    """A person has two places, and all have three; whoever searches waits for none of them."""
    allowed = threading.Event()
    gateway.answer = when(allowed)
    with ThreadPoolExecutor() as pool:
        slow = [pool.submit(service.ask, CHAT, chat(stream=stream), name) for name in ("ada", "ada", "bo")]
        try:
            wait(lambda: len(gateway.asked) == 3, 60, "three answers under way")
            assert service.ask("/health")[0] == 200
            assert service.ask(SEARCH, {"question": QUESTION}, "ada")[0] == 200
            assert service.ask(CHAT, chat(), "ada")[0] == 429, "a third one for the same person"
            assert service.ask(CHAT, chat(), "chen")[0] == 503, "a fourth one"
        finally:
            allowed.set()
        assert [it.result()[0] for it in slow] == [200] * 3
    assert service.ask(CHAT, chat(), "ada")[0] == 200


def endless(to: http.server.BaseHTTPRequestHandler) -> None:
    """Answer until nobody listens."""
    to.send_response(200)
    to.send_header("Content-Type", "text/event-stream")
    to.end_headers()
    try:
        for _ in range(1200):
            to.wfile.write(piece("x"))
            to.wfile.flush()
            time.sleep(0.05)
    except OSError:
        pass


def test_whoever_leaves_gives_the_place_back(service: Service, gateway: Gateway) -> None:
    gateway.answer = endless
    for _ in range(4):
        with begun(service, "ada", json.dumps(chat(stream=True)).encode()) as link:
            assert b"data: " in read_until(link, b"data: ")
    gateway.answer = ANSWER
    wait(lambda: service.ask(CHAT, chat(), "ada")[0] == 200, 60, "a place")
    assert service.ask(CHAT, chat(), "ada")[0] == 200


def begun(service: Service, name: str, body: bytes, length: int | None = None) -> socket.socket:
    """Send a request, and of its body what is given."""
    link = socket.socket(socket.AF_UNIX)
    link.settimeout(60)
    link.connect(str(service.socket))
    token = f"Authorization: Bearer {service.token(name)}\r\n" if name else ""
    head = (
        f"POST {CHAT} HTTP/1.1\r\nHost: x\r\n{token}Content-Length: {len(body) if length is None else length}\r\n\r\n"
    )
    link.sendall(head.encode() + body)
    return link


def read_until(link: socket.socket, end: bytes) -> bytes:
    data = b""
    while end not in data and (part := link.recv(1 << 16)):
        data += part
    return data


@pytest.mark.parametrize(("name", "status"), [("ada", b"408"), ("", b"401")])
def test_a_body_that_does_not_come_holds_nothing(service: Service, name: str, status: bytes) -> None:
    """The connection ends with the answer: whoever sends a byte now and then keeps none."""
    with begun(service, name, b"{", 1000) as link:
        data = b""
        while part := link.recv(1 << 16):
            data += part
    assert data.startswith(b"HTTP/1.1 " + status)


def test_after_a_deletion_another_process_answers(service: Service, tmp_path: Path) -> None:
    """Also where nobody asks: what was read is in the memory of the one before."""
    words = ("kb", "delete-person", "--document", "c000/doc.md", "--yes", "--base", str(tmp_path / "kb"))
    assert mark(0) in service.ask(SEARCH, {"question": QUESTION, "count": 50}, "ada")[1]
    subprocess.run([CLI, *words], check=True, capture_output=True)
    assert service.process.wait(60) == 0
    service.begin()
    text = service.ask(SEARCH, {"question": QUESTION, "count": 50}, "ada")[1]
    assert mark(0) not in text
    assert mark(1) in text
