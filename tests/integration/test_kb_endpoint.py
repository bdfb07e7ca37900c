"""Vectors by a model behind OpenAI's `/v1/embeddings`: a real one, another under its name, answers that are none."""

from __future__ import annotations

import http.server
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from dualtrack.core.errors import BadInput, DualtrackError, External, Refused
from dualtrack.knowledge import models
from dualtrack.tracks import knowledge
from tests.conftest import Cli
from tests.support import embedding_endpoint
from tests.support.api_testbed import Gateway, whole
from tests.support.embedding_gateway import DIMENSION, described, reply, right, rows, serving, vector
from tests.support.packages import within_reach

PEOPLE = "people:\n  - {name: ada, uid: 4001, roles: [user]}\n"


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    with serving(tmp_path, monkeypatch) as found:
        yield found


def test_texts_go_together_and_come_back_in_order(gateway: Gateway, tmp_path: Path) -> None:
    model = described(gateway, tmp_path / "model", passage="p: ", query="q: ", query_model="asker")
    found = model.passages(["one", "two", "three"])
    wanted = np.array([vector(f"p: {it}") for it in ("one", "two", "three")], np.float32)
    assert np.allclose(found, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=1e-6)
    path, key, body = gateway.asked[-1]
    assert (path, key, body["model"], body["input"][1:]) == (
        "/v1/embeddings", "Bearer dt-secret", "encoder", ["p: one", "p: two", "p: three"]
    )  # fmt: skip
    model.question("one")
    assert (gateway.asked[-1][2]["model"], gateway.asked[-1][2]["input"][1:]) == ("asker", ["q: one"])


def test_what_is_longer_than_the_model_reads_is_cut(gateway: Gateway, tmp_path: Path) -> None:
    model = described(gateway, tmp_path / "model")
    for text in ("wombat " * 100, "袋熊" * 100, "\U0001f43e" * 100):
        model.passages(["short", text])
        [_, short, cut] = gateway.asked[-1][2]["input"]
        assert (short, text.startswith(cut), model.count(cut) <= model.room < model.count(text)) == (
            "short",
            True,
            True,
        )
        assert len(cut.encode()) > models.TOKEN_BYTES * (model.room - 2)
    assert model.shortened == 3


def test_another_model_under_the_same_name_is_told(gateway: Gateway, tmp_path: Path) -> None:
    model = described(gateway, tmp_path / "model")

    def other(handler: http.server.BaseHTTPRequestHandler) -> None:
        found = rows([f"other {it}" for it in gateway.asked[-1][2]["input"]])
        reply(handler, json.dumps({"data": found}).encode())

    gateway.answer = other
    with pytest.raises(External, match="is not the one that its card was written for"):
        model.passages(["one"])
    gateway.answer = right(gateway)
    assert model.passages(["one"]).shape == (1, DIMENSION)


def test_vectors_of_another_length_are_told(gateway: Gateway, tmp_path: Path) -> None:
    model = described(gateway, tmp_path / "model")

    def shorter(handler: http.server.BaseHTTPRequestHandler) -> None:
        found = rows(gateway.asked[-1][2]["input"])
        for it in found:
            it["embedding"] = it["embedding"][:32]
        reply(handler, json.dumps({"data": found}).encode())

    gateway.answer = shorter
    with pytest.raises(External, match=r"makes 32 numbers, and its card says 48 \(dualtrack kb endpoint"):
        model.passages(["one"])


def test_answers_that_are_none(gateway: Gateway, tmp_path: Path) -> None:
    """Generated: each part of a right answer removed, repeated, and made something else; and none of them is taken."""
    model, chance = described(gateway, tmp_path / "model"), random.Random(11)
    texts = ["one", "two", "three"]
    whole = json.dumps({"data": rows([models.PROBE, *texts])})
    values = ["1e39", "-1e400", "null", '"x"', "[]", "{}", "true", "NaN", '"\\ud800"', "[" * 2000]
    wrong = [b"", b"x", b"[]", b"\xff" * 100, b'{"data": []}', b" " * (5 << 20), whole.encode()[:-2]]
    for _ in range(120):
        data = json.loads(whole)
        row = chance.choice(data["data"])
        what = chance.randrange(5)
        if what == 0:
            data["data"].remove(row)
        elif what == 1:
            data["data"].append(row)
        elif what == 2:
            row["index"] = chance.choice([-1, 4, 1 << 40, "0", None, next(it for it in range(4) if it != row["index"])])
        elif what == 3:
            row["embedding"] = chance.choice([[], [0.0] * DIMENSION, row["embedding"][1:], None, "text", [[1.0]]])
        text = json.dumps(data)
        if what == 4:
            number = str(row["embedding"][chance.randrange(DIMENSION)])
            text = text.replace(number, chance.choice(values), 1)
        wrong.append(text.encode())
    for body in wrong:
        gateway.answer = lambda handler, body=body: reply(handler, body)
        with pytest.raises(DualtrackError) as error:
            model.passages(texts)
        assert "\n" not in str(error.value)
    for status, kind in ((401, Refused), (400, BadInput), (429, External), (500, External), (302, External)):
        gateway.asked.clear()
        gateway.answer = lambda handler, status=status: reply(handler, b'{"error": {"message": "no"}}', status)
        with pytest.raises(kind) as error:
            model.passages(texts)
        assert kind is not BadInput or "--tokens" in str(error.value)
        assert len(gateway.asked) == (models.TRIES if kind is External else 1)


def test_what_a_server_says_has_no_key_in_it(gateway: Gateway, tmp_path: Path) -> None:
    model = described(gateway, tmp_path / "model")
    for body in (b'{"error": {"message": "no key dt-secret"}}', b'{"error": "Bearer dt-secret"}'):
        for status in (400, 401, 429, 500):
            gateway.answer = whole(body, status)
            with pytest.raises(DualtrackError, match="…") as error:
                model.passages(["one"])
            assert "secret" not in str(error.value)


def test_an_answer_in_pieces_of_no_length(gateway: Gateway, tmp_path: Path) -> None:
    model = described(gateway, tmp_path / "model")
    for size in (b"-5", b"x", b"", b"9" * 70_000):
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        gateway.answer = lambda handler, data=head + size + b"\r\n{}\r\n0\r\n\r\n": handler.wfile.write(data)
        with pytest.raises(External, match="does not answer") as error:
            model.passages(["one"])
        assert str(error.value).isprintable()


def test_cards_of_endpoints(gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = described(gateway, tmp_path / "model")
    with pytest.raises(Refused, match="is there already"):
        described(gateway, tmp_path / "model")
    # Where it answers is not what it is; what it is told is.
    path = tmp_path / "model/card.json"
    card = json.loads(path.read_text())
    for change, same in (({"url": "https://127.0.0.1:9"}, True), ({"model": "other"}, False)):
        path.write_text(json.dumps({**card, "endpoint": {**card["endpoint"], **change}}))
        assert (models.load(tmp_path / "model").digest == first.digest) == same
    for wrong in ({"url": "http://127.0.0.1"}, {"probe": [1.0]}, {"probe": [0.1] * 65}, {"key": "x"}, {"model": ""}):
        path.write_text(json.dumps({**card, "endpoint": {**card["endpoint"], **wrong}}))
        with pytest.raises(BadInput):
            models.load(tmp_path / "model")
    path.write_text(json.dumps(card))
    (tmp_path / "model/tokenizer.json").write_text("{}")
    with pytest.raises(BadInput, match=r"tokenizer\.json cannot be loaded"):
        models.load(tmp_path / "model")
    (tmp_path / "model/tokenizer.json").unlink()
    # What hosts get.
    sent = knowledge.packed(tmp_path / "model")
    assert sorted(it.name for it in sent.iterdir()) == ["ca.pem", "card.json"]
    (tmp_path / "model/ca.pem").unlink()
    with pytest.raises(BadInput, match=r"ca\.pem"):
        knowledge.packed(tmp_path / "model")
    monkeypatch.delenv("DUALTRACK_API_KEY")
    with pytest.raises(BadInput, match="asks for an API key"):
        models.load(tmp_path / "model")


def test_a_server_that_refuses_what_is_longer_than_it_reads(gateway: Gateway, tmp_path: Path) -> None:
    """What is written before questions may be longer than before passages, and the other way round."""
    words = knowledge.model() / "tokenizer.json"
    with within_reach("knowledge"):
        from tokenizers import Tokenizer

        known = Tokenizer.from_file(str(words))
        known.no_truncation()
        known.no_padding()
        counts: dict[Path | None, Callable[[str], int]] = {
            None: lambda text: -(-len(text.encode()) // models.TOKEN_BYTES) + 2,
            words: lambda text: len(known.encode(text).ids),
        }  # fmt: skip
        texts = ["wombat " * 100, "袋熊" * 100, "\U0001f43e" * 100, "a" * 900, "Wombats,\n袋熊 (x)   " * 20, "x", ""]
        for at, (file, (passage, query)) in enumerate(
            (file, it) for file in counts for it in (("", "q: " * 8), ("p: " * 8, ""), ("段落：", "为这个句子" * 3))
        ):

            def answer(handler: http.server.BaseHTTPRequestHandler, count: Callable[[str], int] = counts[file]) -> None:
                longest = max(map(count, gateway.asked[-1][2]["input"]))
                (right(gateway) if longest <= 64 else whole(b"{}", 400))(handler)

            gateway.answer = answer
            model = described(gateway, tmp_path / str(at), passage=passage, query=query, tokenizer=file)
            model.passages(texts)
            for text, sent in zip(texts, gateway.asked[-1][2]["input"][1:], strict=True):
                assert (passage + text).startswith(sent)
                assert sent == passage + text or counts[file](sent) >= 62
            for text in texts:
                model.question(text)
                [_, sent] = gateway.asked[-1][2]["input"]
                assert (query + text).startswith(sent)
                assert sent == query + text or counts[file](sent) >= 62
            assert model.shortened == sum(counts[file](before + it) > 64 for before in (passage, query) for it in texts)
            assert model.shortened


def test_over_ipv6(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(tmp_path, monkeypatch, "::1") as gateway:
        assert described(gateway, tmp_path / "model").passages(["one"]).shape == (1, DIMENSION)
        assert gateway.url.startswith("https://[::1]:")
        gateway.answer = whole(b"{}", 500)
        with pytest.raises(External, match=r"^\[::1\] answers 500"):
            models.load(tmp_path / "model").passages(["one"])
    with pytest.raises(External, match=r"the model at \[::1\]:[0-9]+ does not answer"):
        models.load(tmp_path / "model").passages(["one"])


def test_a_server_that_says_when_to_ask_again(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, waited = described(gateway, tmp_path / "model"), list[float]()
    monkeypatch.setattr("dualtrack.core.proc.pause", waited.append)

    def busy(times: int, status: int, again: str) -> None:
        left = iter([whole(b"{}", status, **{"Retry-After": again})] * times)
        gateway.answer = lambda handler: next(left, right(gateway))(handler)

    for status in (429, 503):
        for again, pauses in (("0", [1, 2]), ("7", [7, 7]), ("60", [60, 60]), ("soon", [1, 2])):
            waited.clear()
            busy(2, status, again)
            assert len(model.passages(["one"])) == 1
            assert waited == pauses
        waited.clear()
        busy(1, status, "61")
        with pytest.raises(External, match=r"\(again in 61 s\)"):
            model.passages(["one"])
        # Somebody waits for what is found.
        busy(1, status, "4")
        with pytest.raises(External, match=r"\(again in 4 s\)"):
            model.question("one")
        assert waited == []
        busy(1, status, "3")
        model.question("one")
        assert waited == [3]
        waited.clear()
        busy(3, status, "5")
        with pytest.raises(External, match=r"\(again in 5 s\)"):
            described(gateway, tmp_path / "other")
        assert waited == [5, 5]


def test_the_page(tmp_path: Path) -> None:
    """By a real model; then its server ends, and another model answers in its place."""
    package, cli = embedding_endpoint.unpacked(tmp_path / "package"), Cli(tmp_path)
    place = tmp_path / "runbook"
    place.mkdir()
    (place / "people.yml").write_text(PEOPLE)
    with embedding_endpoint.serving(package, tmp_path) as found:
        cli.env.update(found)
        cli.runbook("use-an-embedding-endpoint.md")
    base, model, rules = (str(place / it) for it in ("kb", "e5", "rules"))
    asked = ("kb", "search", "leave", "--as", "ada", "--people", str(place / "people.yml"), "--base", base)
    done = cli(*asked, "--model", model, check=False)
    assert (done.returncode, "the model at 127.0.0.1" in done.stderr) == (4, True), done.stderr
    (place / "rules/new.md").write_text("# 新\n\n新的规定。\n")
    with embedding_endpoint.serving(package, tmp_path, "enpt", int(found["URL"].rpartition(":")[2])):
        done = cli("kb", "ingest", rules, "--collection", "rules", "--base", base, "--model", model, check=False)
    assert (done.returncode, "is not the one that its card was written for" in done.stderr) == (4, True), done.stderr
    assert len(cli.json("kb", "versions", "--base", base)["versions"]) == 1
