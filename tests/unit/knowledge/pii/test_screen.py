"""Which requests hold personal data, as a gateway asks: in any part of them, and where it cannot be told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtrack.core.errors import BadInput
from dualtrack.knowledge.pii import body, screen
from dualtrack.knowledge.pii.worker import MOST_MEMORY, Worker

PHONE = "13800138000"
#: Letters alone: whatever they say, no number is in it.
WORDS = st.text("abcdefgh ", max_size=12)
VALUES = st.recursive(
    WORDS | st.booleans() | st.none(), lambda it: st.lists(it, max_size=4) | st.dictionaries(WORDS, it, max_size=4),
    max_leaves=12,
)  # fmt: skip


def places(found: object) -> int:
    """Return how many places a value has where something may be put."""
    if isinstance(found, dict):
        return 1 + sum(map(places, found.values()))
    return 1 + sum(map(places, found)) if isinstance(found, list) else 1


def put(found: object, at: int, what: object) -> object:
    """Return a value with something in one of its places instead."""
    if at == 0:
        return what
    at -= 1
    rows = list(found.items()) if isinstance(found, dict) else list(enumerate(found))  # type: ignore[call-overload]
    for key, value in rows:
        if at < (count := places(value)):
            changed = {key: put(value, at, what)}
            return {**dict(rows), **changed} if isinstance(found, dict) else [
                changed.get(it, one) for it, one in rows
            ]  # fmt: skip
        at -= count
    raise AssertionError


@settings(deadline=None)
@given(VALUES, st.data())
def test_wherever_it_is(found: object, data: st.DataObject) -> None:
    assert not body.holds(json.dumps(found).encode())
    at = data.draw(st.integers(0, places(found) - 1))
    for what in (PHONE, int(PHONE), {f"a {PHONE}": None}, ["x", {"y": f"call +86 {PHONE} now"}]):
        changed = put(found, at, what)
        assert body.holds(json.dumps(changed).encode())
        escaped = json.dumps(changed).replace(PHONE, "".join(f"\\u{ord(it):04x}" for it in PHONE))
        if not isinstance(what, int):
            assert body.holds(escaped.encode())


@pytest.mark.parametrize("sent", [b"", b"{", b"\xff", b'"\\ud800"', b"[" * 100_000, b'{"a": 1} x', b"{'a': 1}"])
def test_what_cannot_be_read_cannot_be_called_clean(sent: bytes) -> None:
    assert body.holds(sent)


Started = tuple[screen.Screen, tuple[str, int]]


@contextlib.asynccontextmanager
async def started() -> AsyncIterator[Started]:
    """Yield what answers, and where."""
    answering = screen.Screen()
    await answering.start()
    try:
        async with await asyncio.start_server(answering.answer, "127.0.0.1", 0) as server:
            yield answering, server.sockets[0].getsockname()
    finally:
        await answering.end()


async def asked(where: tuple[str, int], *sent: bytes) -> bytes:
    """Return the answer to what is sent, piece after piece."""
    reader, writer = await asyncio.open_connection(*where)
    for it in sent:
        writer.write(it)
        await writer.drain()
    found = await reader.read()
    writer.close()
    return found


def question(found: object) -> bytes:
    sent = json.dumps(found).encode()
    return len(sent).to_bytes(8, "big") + sent


def stopped(worker: Worker) -> int:
    """Stop a process, so that it answers nothing, and return its number."""
    assert worker.pid
    os.kill(worker.pid, signal.SIGSTOP)
    return worker.pid


#: Bodies for either process.
SHORT, LONG = "a b c", "a b c " * screen.SHORT


def test_a_question_on_the_wire() -> None:
    async def questions() -> None:
        async with started() as (_, where):
            for text, said in (("b", b"0"), (PHONE, b"1"), (LONG, b"0"), (LONG + PHONE, b"1")):
                whole = question({"a": text})
                assert await asked(where, whole) == said
                step = 1 if len(whole) < 100 else 10_000
                pieces = (whole[it : it + step] for it in range(0, len(whole), step))
                assert await asked(where, *pieces) == said
            assert await asked(where, (1 << 40).to_bytes(8, "big")) == b"1"

    asyncio.run(questions())


def test_who_waits_too_long_gets_no_answer_and_the_next_one_gets_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    async def questions() -> None:
        async with started() as (answering, where):
            for text, worker in ((SHORT, answering.short), (LONG, answering.long)):
                stopped(worker)
                with monkeypatch.context() as patch:
                    patch.setattr(screen, "PATIENCE_S", 0.5)
                    # Of two one has its turn, the other one waits. What does not come whole has no answer either.
                    waiting = [asked(where, question([text, PHONE])), asked(where, question([text, PHONE]))]
                    assert await asyncio.gather(*waiting, asked(where, question(text)[:-1])) == [b""] * 3
                assert await asked(where, question(text)) == b"0"

    asyncio.run(questions())


def test_short_bodies_do_not_wait_for_long_ones() -> None:
    async def questions() -> None:
        async with started() as (answering, where):
            process = stopped(answering.long)
            long = [asyncio.create_task(asked(where, question(LONG))) for _ in range(5)]
            for _ in range(5):
                assert await asked(where, question(SHORT)) == b"0"
            assert not any(it.done() for it in long)
            os.kill(process, signal.SIGCONT)
            assert await asyncio.gather(*long) == [b"0"] * 5

    asyncio.run(questions())


def test_a_body_that_takes_too_long_ends_the_process_and_the_next_one_is_looked_at(tmp_path: Path) -> None:
    limits = "worker.MOST_S, worker.BYTES_A_SECOND = 0.25, 1 << 40"
    words = [sys.executable, "-c", f"from dualtrack.knowledge.pii import worker; {limits}; worker.main()"]
    for bodies, code, said in (
        (["a b c", PHONE, "a b c"], 0, b"010"),
        (["a b c", "a@b.c " * 1_000_000, "a b c"], -signal.SIGPROF, b"0"),
    ):
        sent = tmp_path / "bodies"
        sent.write_bytes(b"".join(map(question, bodies)))
        with sent.open("rb") as given:
            done = subprocess.run(words, stdin=given, stdout=subprocess.PIPE, check=False, timeout=120)
        assert (done.returncode, done.stdout) == (code, said)


@pytest.mark.parametrize("asking", [True, False])
def test_a_process_that_is_killed(asking: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def questions() -> None:
        async with started() as (answering, where):
            for text, worker in ((SHORT, answering.short), (LONG, answering.long)):
                process = stopped(worker)
                waiting = asyncio.create_task(asked(where, question(text))) if asking else None
                if waiting:  # until it has its turn, and the process has been asked
                    while not worker.busy:
                        await asyncio.sleep(0.01)
                os.kill(process, signal.SIGKILL)
                if waiting:
                    assert await waiting == b"1"
                else:  # whether its end is known by then, or not
                    await asked(where, question(text))
                assert await asked(where, question(text)) == b"0"
                assert await asked(where, question([text, PHONE])) == b"1"
                assert worker.pid != process

    asyncio.run(questions())
    assert "Unknown child process" not in caplog.text


def test_who_says_no_length_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "LENGTH_S", 0.1)
    monkeypatch.setattr(screen, "PATIENCE_S", 600)

    async def questions() -> None:
        async with started() as (_, where):
            assert await asked(where, b"\0" * 7) == b""
            assert await asked(where, question(SHORT)) == b"0"

    asyncio.run(questions())


def test_a_process_has_not_all_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    # What is asked is the memory: on a busy machine 54 MB are looked at for longer than a gateway would wait.
    monkeypatch.setattr(screen, "PATIENCE_S", 600.0)

    async def questions() -> None:
        async with started() as (answering, where):
            for it in (answering.short, answering.long):
                assert it.pid
                assert resource.prlimit(it.pid, resource.RLIMIT_AS) == (MOST_MEMORY, MOST_MEMORY)
            # Lists without a comma: of two bytes each becomes a hundred.
            lists = (b"[" * 90 + b"]" * 90 + b",") * 300_000
            sent = b"[" + lists + b"1]"
            assert await asked(where, len(sent).to_bytes(8, "big") + sent) == b"1"
            assert await asked(where, question(LONG)) == b"0"

    asyncio.run(questions())


def test_it_takes_the_socket_that_systemd_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "screen.sock"))
        made.listen()
        monkeypatch.setattr(screen, "PASSED", os.dup(made.fileno()))
        assert screen.passed() is None  # nobody has passed one
        monkeypatch.setenv("LISTEN_FDS", "1")
        monkeypatch.setenv("LISTEN_PID", "1")
        assert screen.passed() is None  # it is another process's
        monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
        with screen.passed() as found:  # type: ignore[union-attr]
            assert found.getsockname() == str(tmp_path / "screen.sock")
    monkeypatch.delenv("LISTEN_PID")
    with pytest.raises(BadInput, match="a port is missing"):
        screen.serve("127.0.0.1", None)
