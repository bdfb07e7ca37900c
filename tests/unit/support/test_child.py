"""What the tests themselves wait with: a child that dies or falls silent ends the test, with what it said."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.support.child import read_until

Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a program whose output is read; ended with the test."""
    children: list[subprocess.Popen[str]] = []

    def one(code: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-uc", code]
        children.append(subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return children[-1]

    yield one
    for child in children:
        child.kill()
        child.communicate()


def test_first_line_and_the_rest_for_whoever_reads_next(start: Start) -> None:
    child = start("print('8080'); print('more')")
    assert read_until(child, child.stdout) == "8080\n"
    assert child.communicate(timeout=60)[0] == "more\n"


def test_until_all_of_it_was_said(start: Start) -> None:
    child = start("print('a'); print('b'); print('c'); input()")
    assert read_until(child, child.stdout, "b", "a") == "a\nb\n"


def test_child_that_dies_ends_the_test(start: Start) -> None:
    child = start("print('half', end=''); raise SystemExit(3)")
    with pytest.raises(pytest.fail.Exception, match="ended with 3 after it had said 'half'"):
        read_until(child, child.stdout)


def test_child_that_falls_silent_ends_the_test(start: Start) -> None:
    child = start("print('a'); input()")
    with pytest.raises(pytest.fail.Exception, match=r"to say b, with no progress for 0.5 s; last seen: a"):
        read_until(child, child.stdout, "b", stall=0.5)


def test_bench_ends_when_its_peer_is_not_there() -> None:
    """It used to wait for its own page server, for ever."""
    code = (
        "import sys; sys.path.insert(0, 'tests/bench'); import ec2_pages, measure\n"
        "with ec2_pages.served(10) as url: measure.measure('peer', ['/nowhere/ansible-inventory', url])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert (
        done.stderr.strip() == "peer cannot be measured: /nowhere/ansible-inventory is not there (make bench makes it)"
    )


def test_bench_ends_when_its_page_server_dies() -> None:
    code = (
        "import sys; sys.path.insert(0, 'tests/bench'); import ec2_pages\nwith ec2_pages.served(-1) as url: print(url)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "the page server did not start" in done.stderr
