"""The client of the API, against a server on loopback with a real certificate."""

from __future__ import annotations

import http.server
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dualtrack.core.errors import BadInput, DualtrackError, External, Refused
from dualtrack.security.pki import authority
from dualtrack.serving import client
from dualtrack.serving.client import Client, End
from tests.support.api_testbed import DONE, USAGE, Answer, Gateway, event, piece, streamed, whole


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    it = Gateway(tmp_path)
    yield it
    it.end()


END = End(track="local", engine="sovereign-1", finish="stop", prompt_tokens=5, completion_tokens=2)


def test_text_comes_in_pieces_and_then_what_is_known_of_it(gateway: Gateway) -> None:
    said = gateway.chat(
        streamed(piece(""), piece("Grüß"), piece(" Gott"), piece(None, "stop"), USAGE, DONE), max_tokens=9
    )
    assert said == ["Grüß", " Gott", END]
    [(path, key, body)] = gateway.asked
    assert (path, key) == ("/v1/chat/completions", "Bearer dt-secret")
    assert body == {
        "model": "smollm2", "messages": [{"role": "user", "content": "Hello"}], "stream": True,
        "stream_options": {"include_usage": True}, "max_tokens": 9,
    }  # fmt: skip


def test_the_stream_may_be_cut_between_any_two_bytes(gateway: Gateway) -> None:
    stream = piece("日本") + piece("語", "stop") + USAGE + DONE
    assert gateway.chat(streamed(*(bytes([it]) for it in stream))) == ["日本", "語", END]


def test_each_piece_is_there_before_the_next_is_made(gateway: Gateway) -> None:
    seen = threading.Event()

    def answer(to: http.server.BaseHTTPRequestHandler) -> None:
        first, rest = streamed(piece("one"), complete=False), piece("two") + DONE
        first(to)
        seen.wait(60)
        to.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(rest), rest))

    gateway.answer = answer
    said = gateway.client().chat("smollm2", "Hello")
    assert next(said) == "one"
    seen.set()
    assert next(said) == "two"


@pytest.mark.parametrize(
    ("answer", "pieces", "said"),
    [
        (streamed(piece("a"), complete=False), ["a"], "does not answer|broke off"),
        (streamed(piece("a")), ["a"], "broke off"),
        (streamed(piece("a"), event(error={"message": "out of\nmemory"})), ["a"], "broke off: out of memory"),
        (streamed(piece("a"), event(error="gone")), ["a"], "broke off: gone"),
        (streamed(piece("a"), b"data: {nonsense\n\n"), ["a"], "not OpenAI"),
        (streamed(b'data: {"choices": [{"delta": {"content": 1}}]}\n\n'), [], "not OpenAI"),
        (streamed(b'data: {"choices": [{"delta": {"content": "\xff"}}]}\n\n'), [], "not OpenAI"),
        (streamed(b"data: " + b"[" * 100_000 + b"\n\n"), [], "not OpenAI"),
        (streamed(b"x" * (2 << 20)), [], "more than 1 MiB"),
        (whole(b"{}"), [], "does not stream"),
        (whole(b"", status=204), [], "204"),
        (whole(b"", status=302, Location="https://elsewhere/"), [], "302"),
        (lambda to: to.wfile.write(b"nonsense\r\n\r\n"), [], "does not answer"),
        (lambda _: None, [], "does not answer"),
    ],
)
def test_bad_answers_are_one_line(gateway: Gateway, answer: Answer, pieces: list[str], said: str) -> None:
    gateway.answer = answer
    got: list[str | End] = []
    with pytest.raises(External, match=said) as found:
        got.extend(gateway.client().chat("smollm2", "Hello"))
    assert got == pieces
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("status", "kind", "hint"),
    [(401, Refused, "key list"), (403, Refused, "key list"), (404, BadInput, ""), (400, BadInput, ""),
     (429, External, "again in 7 s"), (503, External, ""), (500, External, "")],
)  # fmt: skip
def test_refusals_say_what_the_gateway_says(
    gateway: Gateway, status: int, kind: type[DualtrackError], hint: str
) -> None:
    body = json.dumps({"error": {"message": "no\nsuch thing", "type": "x", "code": None}}).encode()
    with pytest.raises(kind, match=f"127.0.0.1 answers {status}: no such thing") as found:
        gateway.chat(whole(body, status, **{"Retry-After": "7"}))
    assert hint in str(found.value)
    for other in (b"<html>", b"[]", b"\xff", b"", b'{"error": {}}', b'{"error": 1}'):
        with pytest.raises(kind, match=f"answers {status}"):
            gateway.chat(whole(other, status))


def test_models(gateway: Gateway) -> None:
    gateway.answer = whole(b'{"object": "list", "data": [{"id": "smollm2", "object": "model"}, {"id": "r1"}]}')
    assert gateway.client().models() == ("smollm2", "r1")
    assert gateway.asked[0][:2] == ("/v1/models", "Bearer dt-secret")
    for body in (b"[]", b"{}", b'{"data": [{}]}', b" " * (client.ANSWER_BYTES + 1)):
        gateway.answer = whole(body)
        with pytest.raises(External):
            gateway.client().models()


def test_another_authority_is_not_believed_and_hears_no_key(gateway: Gateway, tmp_path: Path) -> None:
    other = authority.ensure(tmp_path / "other")
    with pytest.raises(External, match="another certificate"):
        Client(gateway.url, Path(other.certificate), "dt-secret").models()
    with pytest.raises(External, match="another certificate"):
        Client(gateway.url.replace("127.0.0.1", "localhost"), gateway.folder / "ca.pem", "dt-secret").models()
    assert gateway.asked == []


def test_nobody_there(gateway: Gateway) -> None:
    gateway.end()
    with pytest.raises(External, match="does not answer"):
        gateway.client().models()


@pytest.mark.parametrize(
    "url", ["http://h", "h", "https://", "https://h:x", "https://h:99999", "https://u@h", "https://h?q"]
)
def test_addresses_that_are_none(url: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="not an address"):
        Client(url, tmp_path, "k")


def test_authority_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No such file"):
        Client("https://h", tmp_path / "none.pem", "k")
    (tmp_path / "ca.pem").write_text("nonsense")
    with pytest.raises(BadInput, match="not a certificate"):
        Client("https://h", tmp_path / "ca.pem", "k")


def test_which_key_counts(tmp_path: Path) -> None:
    for name in ("given", "chat.key"):
        (tmp_path / name).write_text(f"dt-{name}\n")
        (tmp_path / name).chmod(0o600)
    given, beside = tmp_path / "given", tmp_path / "chat.key"
    environment = {"DUALTRACK_API_KEY": "dt-environment"}
    assert client.find_key(given, environment, beside) == "dt-given"
    assert client.find_key(None, environment, beside) == "dt-environment"
    assert client.find_key(None, {}, beside) == "dt-chat.key"
    for nothing in (None, tmp_path / "none"):
        with pytest.raises(BadInput, match="no API key is given"):
            client.find_key(None, {}, nothing)
    beside.chmod(0o644)
    with pytest.raises(Refused, match="chmod 600"):
        client.find_key(None, {}, beside)


@pytest.mark.parametrize("text", ["", "\n", "a b", "a\nX-Other: b", "ü", "\x1b", "a" * 513, "a\0"])
def test_keys_that_are_none_go_into_no_header(text: str) -> None:
    with pytest.raises(BadInput, match="holds no API key"):
        client.checked_key(text, "there")


def test_prompts() -> None:
    assert client.read_prompt("Hello", io.BytesIO(b"no")) == "Hello"
    assert client.read_prompt("-", io.BytesIO("Grüß\n".encode())) == "Grüß\n"
    for text, data in (("", b""), (" ", b""), ("-", b" \n"), ("-", b"\xff"), ("-", b"x" * (client.PROMPT_BYTES + 1))):
        with pytest.raises(BadInput, match="prompt"):
            client.read_prompt(text, io.BytesIO(data))


def test_a_prompt_that_no_json_can_hold(gateway: Gateway) -> None:
    with pytest.raises(BadInput, match="UTF-8"):
        list(gateway.client().chat("smollm2", "\udcff"))


def test_the_only_model_needs_no_name() -> None:
    assert client.chosen("", ["a"]) == "a"
    assert client.chosen("x", ["a", "b"]) == "x"
    with pytest.raises(BadInput, match="there are a, b"):
        client.chosen("", ["a", "b"])
    with pytest.raises(BadInput, match="there is none"):
        client.chosen("", [])


def test_what_people_read() -> None:
    assert END.line == "sovereign-1 on the local track: 5 tokens read, 2 written"
    nothing = End(track="", engine="", finish="length", prompt_tokens=0, completion_tokens=0)
    assert nothing.line == "an engine on the unknown track: 0 tokens read, 0 written, cut off at the limit"
