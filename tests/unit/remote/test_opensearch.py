"""The client of the search store: where nodes are, which one is asked, and what a bad answer means."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from dualtrack.core.errors import BadInput, External, Refused
from dualtrack.remote import opensearch
from dualtrack.remote.opensearch import Answer, Away, Opener, SearchStore, Silent, Store


class Line:
    """TLS without ciphers: a node that answers what it is told to, over a pair of sockets."""

    def wrap_socket(self, stream: socket.socket, **_: Any) -> socket.socket:
        return stream


def node(answer: bytes, **options: Any) -> tuple[Store, list[socket.socket]]:
    theirs: list[socket.socket] = []

    def opener() -> socket.socket:
        ours, other = socket.socketpair()
        other.sendall(answer)
        other.shutdown(socket.SHUT_WR)
        theirs.append(other)
        return ours

    made = Store("fd00::1", opener, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), **options)
    made._connection._tls = Line()  # type: ignore[assignment]
    return made, theirs


def said(head: str, body: bytes) -> bytes:
    return f"HTTP/1.1 {head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def test_an_answer_has_its_document_and_when_to_ask_again() -> None:
    store, theirs = node(said("429 Busy\r\nRetry-After: 7", b'{"error": {"reason": "too much"}}'))
    answer = store.call("GET", "/", {"a": 1})
    assert (answer.status, answer.reason, answer.after_s) == (429, "too much", 7.0)
    asked = theirs[0].recv(1 << 16).decode()
    assert "Host: [fd00::1]" in asked  # the end of the address is not a port
    assert asked.endswith('{"a":1}')


@pytest.mark.parametrize("body", [b"<html>", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_text(body: bytes) -> None:
    answer = node(said("200 OK", body))[0].call("GET", "/")
    assert isinstance(answer.body, str)
    assert answer.is_text
    assert not node(said("200 OK", b'"text in JSON"'))[0].call("GET", "/").is_text


@pytest.mark.parametrize(
    "answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"]
)
def test_a_node_that_speaks_no_http_does_not_answer(answer: bytes) -> None:
    with pytest.raises(Silent, match=r"the search store on fd00::1 does not answer: .") as error:
        node(answer)[0].call("GET", "/")
    assert error.value.why


def test_no_more_is_read_of_an_answer_than_was_said() -> None:
    answer = node(said("200 OK", b"x" * 1000), most=10)[0].call("GET", "/")
    assert answer.body == "x" * 10


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://Node-1", "node-1", 9200),
        ("https://node-1:9300/", "node-1", 9300),
        ("https://[FD00::1]:1", "fd00::1", 1),
    ],
)
def test_a_node_is_where_its_url_says(monkeypatch: pytest.MonkeyPatch, url: str, host: str, port: int) -> None:
    opened: list[tuple[str, int]] = []
    monkeypatch.setattr(opensearch, "Store", lambda name, *_, **__: name)

    def opener(name: str, port: int) -> Opener:
        opened.append((name, port))
        return socket.socket

    assert opensearch.node(url, Path("ca"), None, None, opener) == host  # type: ignore[comparison-overlap]
    assert opened == [(host, port)]


@pytest.mark.parametrize(
    "url",
    ["http://node-1", "node-1:9200", "https://node-1:nine", "https://node-1/x", "https://node-1?x", "https://a b"],
)
def test_what_is_no_url_of_a_node_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match="is not an address of a store: the URL"):
        opensearch.node(url, Path("ca"), None, None, opensearch.straight)


def test_a_password_in_a_url_is_not_shown() -> None:
    with pytest.raises(BadInput, match="is not an address of a store") as error:
        opensearch.node("https://ops:hunter2@node-1", Path("ca"), None, None, opensearch.straight)
    assert "hunter2" not in str(error.value)


class Node:
    def __init__(self, name: str, *answers: Answer | Exception) -> None:
        self.name, self.answers = name, list(answers)

    def call(self, *_: Any) -> Answer:
        found = self.answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Sequence[Node]], SearchStore]:
    (tmp_path / "token").write_text("word\n")

    def made(nodes: Sequence[Node]) -> SearchStore:
        found = {it.name: it for it in nodes}
        monkeypatch.setattr(opensearch, "node", lambda name, *_: found[name])
        return SearchStore(list(found), ca=tmp_path / "ca", token=tmp_path / "token")

    return made


def test_another_node_is_asked_where_one_is_silent_or_busy(cluster: Callable[[Sequence[Node]], SearchStore]) -> None:
    silent = Node("a", Silent("a", OSError("refused")))
    busy, well = (
        Node("b", Answer(status=503, body={"error": "no master"})),
        Node("c", Answer(status=200, body={"x": 1}), Answer(status=200, body={"x": 2})),
    )
    store = cluster([silent, busy, well])
    assert [store.ask("GET", "/"), store.ask("GET", "/")] == [{"x": 1}, {"x": 2}]


def test_a_store_without_a_node_that_answers_is_away(cluster: Callable[[Sequence[Node]], SearchStore]) -> None:
    store = cluster([Node("a", *(Silent("a", OSError("refused")) for _ in range(2)))])
    with pytest.raises(Away, match="cannot be had: the search store on a does not answer: refused"):
        store.ask("GET", "/")


@pytest.mark.parametrize(("status", "body", "kind"), [(403, {}, Refused), (400, {}, External), (200, "hi", External)])
def test_a_refusal_is_not_tried_elsewhere(
    cluster: Callable[[Sequence[Node]], SearchStore], status: int, body: Any, kind: type[Exception]
) -> None:
    store = cluster([Node("a", Answer(status=status, body=body)), Node("b")])
    with pytest.raises(kind) as error:
        store.ask("GET", "/")
    assert not isinstance(error.value, Away)
