"""What `dualtrack kb endpoint` refuses, and what is not a model behind an endpoint: nothing is taken, nothing stays."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualtrack.core.errors import BadInput, External, Refused
from dualtrack.knowledge import models
from dualtrack.tracks import knowledge
from tests.conftest import CLI, Cli
from tests.support import hostile
from tests.support.api_testbed import Gateway
from tests.support.embedding_gateway import DIMENSION, described, reply, right, rows, serving
from tests.support.packages import within_reach

#: Parts of a tokenizer that its library ends a thread for.
PANICS: tuple[dict[str, Any], ...] = (
    {"pre_tokenizer": {"type": "FixedLength", "length": 0}},
    {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}},
)
#: One that it ends the process for.
ABORTS = {
    "version": "1.0", "added_tokens": [], "model": {
        "type": "BPE", "vocab": {"a": 0, "é": 1, "a©": 2}, "merges": [["a", "é"]], "continuing_subword_prefix": "#",
    },
}  # fmt: skip


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    with serving(tmp_path, monkeypatch) as found:
        yield found


def test_a_probe_that_says_nothing_is_not_taken(gateway: Gateway, tmp_path: Path) -> None:
    """Too large, of other lengths, and all 0: whatever a card has, another model is not taken for the one it was."""
    described(gateway, tmp_path / "model")
    path = tmp_path / "model/card.json"
    card = json.loads(path.read_text())
    for number in ("1e300", "-1e300", "1e308", "1e39", "3.4e38", "1.0001", "-2", "1e400", "NaN", "Infinity", "null"):
        for at in (0, 31):
            probe = [str(it) for it in card["endpoint"]["probe"]]
            probe[at] = number
            text = json.dumps({**card, "endpoint": {**card["endpoint"], "probe": "here"}})
            path.write_text(text.replace('"here"', f"[{', '.join(probe)}]"))
            with pytest.raises(BadInput, match="not a card of a model"):
                models.load(tmp_path / "model")
    for probe in ([0.0] * 32, [-it for it in card["endpoint"]["probe"]], [1e-300] * 32, [0.1] * 64):
        path.write_text(json.dumps({**card, "endpoint": {**card["endpoint"], "probe": probe}}))
        with pytest.raises(External, match="is not the one that its card was written for"):
            models.load(tmp_path / "model").passages(["one"])
    strange = (float("nan"), float("inf"), -float("inf"), 0.0, 1e300)
    for number in strange:
        for other in (*strange, 0.5):
            with np.errstate(all="ignore"):
                assert not models.is_alike(np.full(32, number, np.float32), [other] * 32), (number, other)


def refusals(gateway: Gateway, place: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield what is wrong in a description, by options, and what is said of it; the files for it are in ``place``."""
    others = [*hostile.no_files(place)]
    good, issued = (gateway.folder / "ca.pem").read_bytes(), next(gateway.folder.rglob("*.key")).read_bytes()
    (place / "empty").touch()
    for option in ("authority", "tokenizer"):
        for it in others:
            yield {option: it}, "cannot read|not a regular file"
    yield {"authority": place / "empty"}, "not a certificate"
    for at, text in enumerate((
        issued, good + issued, issued + good, b"-----BEGIN PRIVATE KEY-----\n" + good,
        good + b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n", good + b"-----BEGIN OPENSSH PRIVATE KEY-----\n",
        good + b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n",
    )):  # fmt: skip
        (place / f"key-{at}").write_bytes(text)
        yield {"authority": place / f"key-{at}"}, "has a private key in it"
    for at, text in enumerate((b"nonsense", good[:-40], b"\xff")):
        (place / f"bad-{at}").write_bytes(text)
        yield {"authority": place / f"bad-{at}"}, "not a certificate"
    for url in hostile.URLS:
        yield {"url": url}, "not an address of the model.*--name"
    for option, of in (("passage", "passage"), ("query", "question")):
        for text in ("x" * 91, "袋" * 31, "x" * 5000):
            yield {option: text}, f"tokens of a {of}, fewer than"
    for name in ("", "n" * 201):
        yield {"model": name}, "cannot be used"


def test_nothing_stays_of_a_description_that_fails(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right_ones = {"url": gateway.url, "authority": gateway.folder / "ca.pem", "model": "encoder", "tokens": 64}
    for wrong, said in refusals(gateway, tmp_path / "files"):
        for target in ("new", "a/b"):
            with pytest.raises((BadInput, Refused), match=said) as error:
                models.describe(tmp_path / target, **{**right_ones, **wrong})
            assert str(error.value).isprintable()
            assert hostile.SECRET not in str(error.value)
            assert not [it for it in tmp_path.iterdir() if it.name not in ("files", "pki")]
    # Stopped wherever something is written or loaded.
    for at in ("load", "write_atomically", "made_whole"):
        with monkeypatch.context() as patched:
            patched.setattr(models, at, stopped)
            with pytest.raises(KeyboardInterrupt):
                models.describe(tmp_path / "new", **right_ones)
        assert not [it for it in tmp_path.iterdir() if it.name not in ("files", "pki")]
    for target in ("new", "a/b"):
        models.describe(tmp_path / target, **right_ones)
        assert models.load(tmp_path / target).card.dimension == DIMENSION
    (tmp_path / "empty").mkdir()
    gateway.asked.clear()
    for target in ("new", "empty", "files", ".", "/"):
        with pytest.raises(Refused, match=r"is there already.*name another directory"):
            models.describe(tmp_path / target, **right_ones)
    assert not gateway.asked


def stopped(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_what_is_described_by_the_command_can_be_loaded(gateway: Gateway, tmp_path: Path) -> None:
    """The command loads a tokenizer where the others do."""
    cli, tokenizer = Cli(tmp_path), tmp_path / "tokenizer.json"
    words = described_by(gateway, tmp_path, "--tokenizer", str(tokenizer))
    good = (knowledge.model() / "tokenizer.json").read_bytes()
    for text, more, said in (
        (None, (), "cannot read"), (b"{}", (), "cannot be loaded"), (b"[" * 100_000, (), "cannot be loaded"),
        (good[:-9], (), "cannot be loaded"), (good.replace(b'"[UNK]":', b'"x":'), (), "cannot be used"),
        *((json.dumps({**json.loads(good), **it}).encode(), (), "tokenizer.json cannot be") for it in PANICS),
        (good, ("--query", "\udcff"), "not UTF-8"),
        (good, ("--passage", "袋" * 31), "31 tokens of a passage, fewer than 32"),
    ):  # fmt: skip
        if text is not None:
            tokenizer.write_bytes(text)
        done = cli(*words, *more, check=False)
        assert (done.returncode, said in done.stderr, done.stderr.count("\n")) == (2, True, 1), done.stderr
        assert not (tmp_path / "model").exists()
    tokenizer.write_bytes(good)
    assert "48 numbers" in cli(*words).stdout
    with within_reach("knowledge"):
        assert models.load(tmp_path / "model").count("袋熊") == 2
        assert models.load(tmp_path / "model").digest


def described_by(gateway: Gateway, place: Path, *more: str) -> tuple[str, ...]:
    return (
        "kb", "endpoint", str(place / "model"), "--url", gateway.url, "--ca-file", str(gateway.folder / "ca.pem"),
        "--name", "encoder", "--tokens", "64", *more,
    )  # fmt: skip


def test_a_tokenizer_that_ends_the_process(gateway: Gateway, tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    (tmp_path / "tokenizer.json").write_text(json.dumps(ABORTS))
    before = sorted(tmp_path.iterdir())
    done = cli(*described_by(gateway, tmp_path, "--tokenizer", str(tmp_path / "tokenizer.json")), check=False)
    assert (done.returncode, done.stderr.count("\n")) == (4, 1), done.stderr
    assert "ended by signal 6 (a tokenizer" in done.stderr
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_command_that_is_ended_while_the_model_is_asked(
    gateway: Gateway, tmp_path: Path, number: signal.Signals
) -> None:
    """Its program ends with it: when the model answers at last, nothing is made."""
    cli, asked, ended, answered = Cli(tmp_path), threading.Event(), threading.Event(), threading.Event()
    (tmp_path / "place").mkdir()

    def late(handler: http.server.BaseHTTPRequestHandler) -> None:
        asked.set()
        ended.wait(60)
        with contextlib.suppress(OSError):
            right(gateway)(handler)
        answered.set()

    gateway.answer = late
    words = described_by(gateway, tmp_path / "place")
    with subprocess.Popen([CLI, *words], env={**os.environ, **cli.env}, stderr=subprocess.DEVNULL) as running:
        assert asked.wait(60)
        [program] = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        gone = select.poll()
        gone.register(handle := os.pidfd_open(int(program)), select.POLLIN)
        running.send_signal(number)
        running.wait(60)
    ended.set()
    assert answered.wait(60)
    assert gone.poll(60_000)
    os.close(handle)
    assert not [*(tmp_path / "place").iterdir()]


def test_a_program_whose_command_has_ended_before_it_began() -> None:
    code = "import signal, sys; from dualtrack.core import proc; sys.exit(not proc.end_with_parent(signal.SIGTERM))"
    nobody, to = os.pipe()
    for output, ended in ((subprocess.PIPE, 0), (subprocess.DEVNULL, 0), (to, 0), (to, 1)):
        assert subprocess.run([sys.executable, "-c", code], stdout=output, check=False).returncode == ended
        if output == to and not ended:
            os.close(nobody)
    os.close(to)


def test_files_of_a_model_that_are_none(gateway: Gateway, tmp_path: Path) -> None:
    """Pipes, devices and directories in the places of its files, JSON that is too deep, and addresses by hand."""
    with within_reach("knowledge"):
        described(gateway, tmp_path / "model", tokenizer=knowledge.model() / "tokenizer.json")
        for name in ("card.json", "tokenizer.json", "ca.pem"):
            path = tmp_path / "model" / name
            before = path.read_bytes()
            for make in (
                os.mkfifo, Path.mkdir, lambda it: it.symlink_to("/dev/zero"), lambda it: it.symlink_to("/dev/tty"),
                lambda it: it.symlink_to("nowhere"), lambda it: it.write_bytes(b"[" * 60_000), Path.touch,
            ):  # fmt: skip
                path.unlink()
                make(path)
                with pytest.raises(BadInput) as error:
                    models.load(tmp_path / "model")
                assert str(error.value).isprintable()
                path.rmdir() if path.is_dir() else path.unlink()
                path.write_bytes(before)
                models.load(tmp_path / "model")
    (tmp_path / "model/tokenizer.json").unlink()
    path = tmp_path / "model/card.json"
    card = json.loads(path.read_text())
    for url in hostile.URLS:
        path.write_text(json.dumps({**card, "endpoint": {**card["endpoint"], "url": url}}))
        with pytest.raises(BadInput, match=r"not an address of the model: .*card\.json") as error:
            models.load(tmp_path / "model")
        assert str(error.value).isprintable()
        assert hostile.SECRET not in str(error.value)


@pytest.mark.parametrize("size", [0.0, 1e-20, 1e-6, 1e-3, 1.0])
@pytest.mark.parametrize("zeros", [30, 31, 32, 47])
def test_a_model_whose_vectors_begin_with_nothing(gateway: Gateway, tmp_path: Path, zeros: int, size: float) -> None:
    """It is told from another one, or it is refused; never taken, and mistaken for another one later, or for itself."""

    def answering(word: str) -> Callable[[http.server.BaseHTTPRequestHandler], None]:
        def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
            found = rows([word + it for it in gateway.asked[-1][2]["input"]])
            for it in found:
                it["embedding"][:zeros] = [size * one for one in it["embedding"][:zeros]]
            reply(handler, json.dumps({"data": found}).encode())

        return answer

    gateway.answer = answering("")
    if zeros >= 32 and size < 1e-3:
        with pytest.raises(BadInput, match="begin with 32 numbers that are nearly 0"):
            described(gateway, tmp_path / "model")
        assert not (tmp_path / "model").exists()
        return
    model = described(gateway, tmp_path / "model")
    assert len(model.passages(["one"])) == 1
    gateway.answer = answering("other ")
    with pytest.raises(External, match="is not the one that its card was written for"):
        model.passages(["one"])
