"""Daemons: a signal ends the wait at once and the round in order, and a second one does not wait for the round."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dualtrack.core.daemon import Daemon, run
from dualtrack.core.errors import Refused

LONG_S = 600.0
#: Says that it began a round, and works on it for so long; says when the round and the process ended in order.
PROGRAM = """
import sys, time
from dualtrack.core.daemon import run

def work(daemon):
    for _ in daemon.rounds(float(sys.argv[2])):
        print("begun", flush=True)
        time.sleep(float(sys.argv[1]))
        print("done", flush=True)
    print("ended", flush=True)

run(work)
"""


def started(works_s: float, every_s: float) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(works_s), str(every_s)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_brings_the_round_to_its_end_and_ends_the_wait(number: signal.Signals) -> None:
    process = started(0.5, LONG_S)
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert (out, process.returncode) == ("done\nended\n", 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_does_not_wait_for_the_round(number: signal.Signals) -> None:
    process = started(LONG_S, 0.0)
    while process.poll() is None:  # the second one counts once the first was handled
        process.send_signal(number)
        time.sleep(0.2)
    assert process.stdout is not None
    assert process.stdout.read() == ""
    assert process.returncode != 0
    process.stdout.close()


@pytest.fixture
def soon() -> Callable[[Callable[[], object]], None]:
    def start(work: Callable[[], object]) -> None:
        timer = threading.Timer(0.1, work)
        timer.daemon = True
        timer.start()

    return start


def test_a_wait_ends_at_once(soon: Callable[[Callable[[], object]], None]) -> None:
    begin = time.monotonic()
    with Daemon() as daemon:
        assert not daemon.wait(0.01)
        soon(lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert daemon.wait(LONG_S)
        assert daemon.stopped()
        assert daemon.wait(LONG_S), "and every one after it"
    assert time.monotonic() - begin < LONG_S / 2


def test_handlers_are_as_before_at_the_end() -> None:
    before = [signal.getsignal(it) for it in (signal.SIGTERM, signal.SIGINT)]
    handles = len(list(Path("/proc/self/fd").iterdir()))
    with Daemon():
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert [signal.getsignal(it) for it in (signal.SIGTERM, signal.SIGINT)] == before
    assert len(list(Path("/proc/self/fd").iterdir())) == handles


def test_rounds_go_on_until_it_is_stopped() -> None:
    count = 0
    with Daemon() as daemon:
        for _ in daemon.rounds(0.0):
            count += 1
            if count == 3:
                daemon.stop()
                daemon.stop()
    assert count == 3


def test_an_error_is_a_line_of_the_log_and_the_exit_code(caplog: pytest.LogCaptureFixture) -> None:
    def work(_: Daemon) -> None:
        raise Refused("another one is at work", hint="end it")

    with pytest.raises(SystemExit) as ended:
        run(work)
    assert ended.value.code == 5
    assert [it.message for it in caplog.records] == ["another one is at work (end it)"]
