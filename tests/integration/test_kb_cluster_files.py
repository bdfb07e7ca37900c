"""Files that say where a cluster is, and those that they name: what is wrong is refused, and nobody is asked."""

from __future__ import annotations

import http.server
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from dualtrack.core.errors import BadInput, DualtrackError, External, Refused
from dualtrack.knowledge import cluster
from dualtrack.knowledge.cluster import adapter
from dualtrack.knowledge.cluster.milvus import Milvus
from dualtrack.remote.opensearch import Answer
from dualtrack.security.pki import authority
from tests.conftest import Cli
from tests.support import hostile
from tests.support.api_testbed import Gateway, whole


@pytest.fixture(params=["opensearch", "milvus"])
def said(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Return what a file says of a cluster where nobody is."""
    mine = authority.issue(tmp_path / "pki", "knowledge", "kb", ["kb"])
    found: dict[str, Any] = {
        "kind": request.param, "ca_file": str(mine.authority), "certificate": str(mine.certificate),
        "certificate_key": str(mine.key),
    }  # fmt: skip
    if request.param == "opensearch":
        return {**found, "urls": ["https://127.0.0.1:1"]}
    (tmp_path / "token").write_text("knowledge:secret")
    (tmp_path / "token").chmod(0o600)
    return {**found, "url": "https://127.0.0.1:1", "token_file": str(tmp_path / "token")}


@pytest.fixture(autouse=True)
def nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    def pause(_: float) -> None:
        raise AssertionError("somebody waits")

    monkeypatch.setattr("dualtrack.core.proc.pause", pause)


def taken(path: Path, said: object) -> adapter.Adapter:
    path.write_text(json.dumps(said))
    return cluster.connected(cluster.load(path))


def refused(what: Callable[[], object], match: str) -> None:
    with pytest.raises((BadInput, Refused), match=match) as error:
        what()
    assert str(error.value).isprintable()
    assert hostile.SECRET not in str(error.value)


def test_urls(said: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "cluster.json"
    for url in (*hostile.URLS, "https://h/path"):
        changed = {"url": url} if "url" in said else {"urls": ["https://127.0.0.1:1", url]}
        refused(lambda changed=changed: taken(file, {**said, **changed}), "where a cluster is: .*(the URL)")
    for url in ("https://h", "https://H:65535/", "https://[::1]:1", "https://例子.cn", "https://[2001:db8::1]"):
        taken(file, {**said, **({"url": url} if "url" in said else {"urls": [url]})})


def test_names_of_indexes(said: dict[str, Any], tmp_path: Path, chance: random.Random) -> None:
    file = tmp_path / "cluster.json"
    between = "_" if said["kind"] == "milvus" else "-"
    for name in ("k", "knowledge", f"k{between}1", "k" * 61):
        taken(file, {**said, "index": name})
        at = chance.randrange(len(name) + 1)
        for wrong in ("\n", "\r", " ", "\0", "/", "K", "é", "１", "*", ",", "\u2028", "k" * 61):
            refused(lambda at=at, name=name, wrong=wrong: taken(
                file, {**said, "index": name[:at] + wrong + name[at:]}), "where a cluster is")  # fmt: skip
            refused(lambda name=name, wrong=wrong: taken(file, {**said, "index": name + wrong}), "where a cluster is")


def test_files_that_are_named(said: dict[str, Any], tmp_path: Path) -> None:
    """None of them is left out where its name is empty: that would believe whom the system believes."""
    file, others = tmp_path / "cluster.json", [*hostile.no_files(tmp_path / "files")]
    broken = tmp_path / "broken"
    for field in (it for it in said if it.endswith("_file") or it.startswith("certificate")):
        if field != "token_file":  # beside a certificate it may be missing
            refused(lambda field=field: taken(file, {**said, field: ""}), "where a cluster is")
        for other in others:
            refused(
                lambda field=field, other=other: taken(file, {**said, field: str(other)}), "cannot read|not a regular"
            )
        for data in (b"", b"\n", b"nonsense\nmore", b"\xff\xff", b"\0"):
            broken.write_bytes(data)
            broken.chmod(0o600)
            refused(lambda field=field: taken(file, {**said, field: str(broken)}), "cannot be used|no token")


def test_a_key_with_a_passphrase(said: dict[str, Any], tmp_path: Path) -> None:
    """Nobody is asked for it."""
    key = load_pem_private_key(Path(said["certificate_key"]).read_bytes(), None)
    locked, other = tmp_path / "locked.key", authority.issue(tmp_path / "pki", "knowledge", "other", ["other"])
    for form in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL):
        locked.write_bytes(key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"x")))
        refused(lambda: taken(tmp_path / "cluster.json", {**said, "certificate_key": str(locked)}), "has a passphrase")
    refused(
        lambda: taken(tmp_path / "cluster.json", {**said, "certificate_key": str(other.key)}),
        "cannot be used.*MISMATCH",
    )


def test_the_file_itself(said: dict[str, Any], tmp_path: Path) -> None:
    """Also where it was right a moment ago: it is read again by every command."""
    for path in hostile.no_files(tmp_path / "files"):
        refused(lambda path=path: cluster.load(path), "cannot read|not a regular file|where a cluster is")
    file, text, deep = tmp_path / "cluster.json", json.dumps(said), 100_000
    for data in (
        "", "[1]", "1", "null", '"x"', "[" * deep, '{"a":' * deep, "[" * deep + "]" * deep, text[:-1], text + "}",
        text + "\0", text[:-1] + ', "replicas": ' + "[" * deep + "]" * deep + "}", '{"kind": []}', '{"kind": null}',
        "{}", text[:-1] + ', "index": "\\ud800"}', text[:-1] + ', "shards": 1e400}', " " * (2 << 20),
    ):  # fmt: skip
        file.write_text(data)
        refused(lambda: cluster.load(file), "where a cluster is|too long")
        refused(lambda: cluster.environment(file), "where a cluster is|too long")
    file.write_bytes(text.encode() + b"\xff")
    refused(lambda: cluster.load(file), "where a cluster is")


def test_by_the_command(said: dict[str, Any], tmp_path: Path) -> None:
    """Refused before its environment is started."""
    cli, file = Cli(tmp_path), tmp_path / "cluster.json"
    for text in ("[" * 100_000, json.dumps({**said, "ca_file": ""}), json.dumps({**said, "index": "knowledge\n"})):
        file.write_text(text)
        done = cli("kb", "cluster", "status", "--cluster", str(file), "--base", str(tmp_path / "kb"), check=False)
        assert (done.returncode, done.stderr.count("\n"), "where a cluster is" in done.stderr) == (2, 1, True), done


def test_tokens(tmp_path: Path) -> None:
    token = tmp_path / "token"
    mine = authority.issue(tmp_path / "pki", "knowledge", "kb", ["kb"])
    where = Milvus(url="https://127.0.0.1:1", ca_file=str(mine.authority), token_file=str(token))
    for good in (b"t", b"user:pass word", b" t \r\n", b"~" * 4096):
        token.write_bytes(good)
        token.chmod(0o600)
        cluster.connected(where)
    for bad in (b"a\nb", b"a\rb", b"a\0b", b"a\x7fb", "é".encode(), b"a\tb", b"\xff", b" ", b"", b"~" * 4097):
        token.write_bytes(bad)
        refused(lambda: cluster.connected(where), "no token for the cluster|too long")
    token.write_bytes(b"t")
    token.chmod(0o640)
    refused(lambda: cluster.connected(where), "others may read")


@pytest.fixture(params=["127.0.0.1", "::1"])
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gateway]:
    try:
        found = Gateway(tmp_path, request.param)
    except OSError:
        pytest.skip("this machine has no such address")
    yield found
    found.end()


def bad_chunk(to: http.server.BaseHTTPRequestHandler) -> None:
    to.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n{}\r\n0\r\n\r\n")


def asking(node: Gateway, place: Path) -> adapter.Adapter:
    mine = authority.issue(place / "pki", "knowledge", "kb", ["kb"])
    said = {
        "urls": [node.url], "ca_file": str(mine.authority), "certificate": str(mine.certificate),
        "certificate_key": str(mine.key),
    }  # fmt: skip
    return taken(place / "cluster.json", said)


def test_a_node_that_says_when_to_ask_again(node: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes, waited = asking(node, tmp_path), list[float]()
    monkeypatch.setattr("dualtrack.core.proc.pause", waited.append)
    fine = whole(b'{"status": "green", "number_of_nodes": 1}')
    for status in (429, 503):
        for again, seconds in (("0", 0.5), ("7", 7.0), ("20", 20.0), ("soon", 0.5), ("-1", 0.5)):
            waited.clear()
            left = iter([whole(b"{}", status, **{"Retry-After": again})] * 2)
            node.answer = lambda handler, left=left: next(left, fine)(handler)
            assert nodes.health() == ("green", 1)
            assert waited == [seconds] * 2
        waited.clear()
        node.answer = whole(b"{}", status, **{"Retry-After": "61"})
        with pytest.raises(External, match=rf"does not answer: .*: {status}"):
            nodes.health()
        assert waited == []


def test_answers_that_are_none(node: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = asking(node, tmp_path)
    monkeypatch.setattr(adapter, "PATIENCE_S", -1.0)
    for body in (b"{", b"\xff", b"[" * 100_000, b'"\\ud800"'):
        node.answer = whole(body)
        with pytest.raises(DualtrackError, match="does not answer") as error:
            nodes.health()
        assert str(error.value).isprintable()
    node.answer = bad_chunk
    with pytest.raises(External, match="does not answer"):
        nodes.health()
    strange = (
        b"",
        b"[]",
        b"null",
        b"1",
        b'"x"',
        b"[[]]",
        b'{"status": []}',
        b'{"hits": 1, "aggregations": {"all": 1}}',
    )
    vector = np.zeros(2, np.float32)
    row = adapter.ClusterRow("00", 0, ("everyone",), vector, "")
    calls: tuple[Callable[[], object], ...] = (
        nodes.health, lambda: [*nodes.documents()], lambda: [*nodes.nearest(vector, frozenset({"x"}), 1)],
        lambda: nodes.remove(["00"]),
    )  # fmt: skip
    for body in (*strange, b'{"number_of_nodes": "x"}', b'{"status": "green", "number_of_nodes": "x"}', b"{}"):
        node.answer = whole(body)
        for call in calls:
            with pytest.raises(External, match="does not answer as OpenSearch does") as error:
                call()
            assert str(error.value).isprintable()
    card: Any = SimpleNamespace(model="m", dimension=2)
    for body in (*strange[:6], b'{"knowledge": []}', b'{"knowledge": {"mappings": {"_meta": 1}}}'):
        node.answer = whole(body)
        with pytest.raises(External, match="does not answer as OpenSearch does"):
            nodes.make(card)
    for said, match in (
        (None, "answer as OpenSearch does"), ([], "answer as OpenSearch does"), ({}, "answer as OpenSearch does"),
        ({"errors": True, "items": [1]}, "answer as OpenSearch does"),
        ({"errors": True, "items": []}, "take a chunk: it does not say why"),
        ({"errors": True, "items": [{"index": {"error": {"reason": "full"}}}]}, "take a chunk: full"),
    ):  # fmt: skip
        monkeypatch.setattr(nodes, "_asked", lambda *_, said=said: Answer(status=200, body=said))
        with pytest.raises(External, match=f"the cluster does not {match}"):
            nodes.add([row])
