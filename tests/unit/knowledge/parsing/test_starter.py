"""Processes that read documents: each has its own document and nothing of another's, and none is left over."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from dualtrack.knowledge.parsing.starter import MOST_SAID, Gone, Starter
from tests.conftest import wait

#: What a process does with its document, by the word that it is told.
READER = r"""
import os, re, sys, time
from dualtrack.knowledge.parsing import starter

def memory():
    for line in open("/proc/self/maps"):
        span, rights, *_ = line.split()
        if rights.startswith("rw") and "[v" not in line:
            first, last = (int(it, 16) for it in span.split("-"))
            with open("/proc/self/mem", "rb", buffering=0) as file:
                file.seek(first)
                yield file.read(last - first)

def read(word):
    data = sys.stdin.buffer.read()
    if word == "pid":
        print(os.getpid(), flush=True)
        os.close(1)
        os.close(2)
        time.sleep(600)
    if word == "marks":
        found = {it for part in memory() for it in re.findall(rb"MARK-[0-9a-f]{32}", part)}
        sys.stdout.buffer.write(b" ".join(sorted(found)))
    elif word == "open":
        print(*sorted(os.listdir("/proc/self/fd")))
    elif word == "die":
        os.kill(os.getpid(), 9)
    elif word == "raise":
        raise ValueError("no such thing")
    elif word == "much":
        sys.stdout.buffer.write(data * 4)
    elif word == "warns":
        sys.stderr.write("a cell is not a date\n" * 100_000)
    else:
        sys.stdout.buffer.write(data)
    return 7 if word == "seven" else 0

def prepare(word):
    if word == "unknown":
        raise ImportError(word)
    return ["a roof"]

if __name__ == "__main__":
    starter.serve(int(sys.argv[2]), prepare, read)
"""
MOST = 1 << 20


@pytest.fixture
def starter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Starter]:
    (tmp_path / "reader.py").write_text(READER)
    monkeypatch.syspath_prepend(tmp_path)
    made = Starter("reader")
    yield made
    made.end()


def run(starter: Starter, word: str, data: bytes = b"", seconds: float = 60) -> tuple[int, bytes, bytes]:
    return starter.run(word, data, seconds=seconds, most=MOST)


def test_each_gets_its_document_and_answers(starter: Starter) -> None:
    large = os.urandom(MOST)
    assert [run(starter, "echo", it)[:2] for it in (b"one", large, b"")] == [(0, b"one"), (0, large), (0, b"")]
    assert run(starter, "seven", b"x")[:2] == (7, b"x")
    assert run(starter, "open")[1].split() == [b"0", b"1", b"2", b"3"]  # the last is the directory that is listed


def test_nothing_of_one_document_is_in_the_process_of_another(starter: Starter) -> None:
    marks = [b"MARK-" + os.urandom(16).hex().encode() for _ in range(5)]
    for it in marks:
        assert run(starter, "marks", it * 1000)[1] == it


@pytest.mark.parametrize(("word", "code", "said"), [("die", -9, b""), ("raise", 1, b"ValueError: no such thing")])
def test_process_that_ends_badly_is_told_and_the_next_one_reads(
    starter: Starter, word: str, code: int, said: bytes
) -> None:
    found, answer, errors = run(starter, word)
    assert (found, answer) == (code, b"")
    assert said in errors
    assert run(starter, "echo", b"x")[:2] == (0, b"x")


def test_answer_that_is_too_long_ends_it(starter: Starter) -> None:
    with pytest.raises(TimeoutError):
        run(starter, "much", bytes(MOST))
    assert run(starter, "echo", b"x")[:2] == (0, b"x")


def test_what_is_said_too_long_is_cut(starter: Starter) -> None:
    code, _, said = run(starter, "warns")
    assert (code, len(said)) == (0, MOST_SAID)


def test_process_that_does_not_end_is_killed(starter: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that has closed its answer, and waits."""
    seen: list[tuple[bytes, bytes]] = []
    drained = starter.run.__globals__["_drained"]

    def noted(*given: object) -> tuple[bytes, bytes]:
        seen.append(drained(*given))
        return seen[-1]

    monkeypatch.setitem(starter.run.__globals__, "_drained", noted)
    with pytest.raises(TimeoutError):
        run(starter, "pid", seconds=3)
    [(said, _)] = seen
    wait(lambda: not Path(f"/proc/{int(said)}").exists(), 20, "the process's end")
    assert run(starter, "echo", b"x")[:2] == (0, b"x")


def test_what_is_missing_is_told_once_it_runs(starter: Starter) -> None:
    assert starter.missing == []
    run(starter, "echo")
    assert starter.missing == ["a roof"]


def test_process_ends_with_who_asked(starter: Starter) -> None:
    """Also where nobody kills its server: the connection is closed, as by a client that was killed."""
    link = starter.connected("pid")
    read, write = os.pipe()
    with os.fdopen(os.open(os.devnull, os.O_RDWR)) as nothing:
        socket.send_fds(link, [b"pid"], [nothing.fileno(), write, nothing.fileno()])
    os.close(write)
    with os.fdopen(read) as said:
        number = int(said.readline())
    link.close()
    wait(lambda: not Path(f"/proc/{number}").exists(), 20, "the process's end")


def test_without_its_server_it_says_so_and_starts_another(starter: Starter) -> None:
    with pytest.raises(Gone, match="unknown"):
        run(starter, "unknown")
    assert run(starter, "echo", b"x")[:2] == (0, b"x")
