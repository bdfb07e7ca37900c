"""Whether a host answers, and whether this account may look at all."""

from __future__ import annotations

import shlex
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dualtrack.remote.host_keys import CannotLook, answers


@pytest.fixture
def greeter() -> Iterator[int]:
    """The port of a server that greets as ssh does."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            connection, _ = server.accept()
            connection.sendall(b"SSH-2.0-x\r\n")

        threading.Thread(target=greet, daemon=True).start()
        yield server.getsockname()[1]


def test_a_greeting_is_an_answer(greeter: int) -> None:
    assert answers("127.0.0.1", greeter)


def test_a_closed_port_is_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert not answers("127.0.0.1", port)


@pytest.mark.parametrize(
    ("said", "may"),
    [
        ('setting the network namespace "x" failed: Operation not permitted', False),
        ("mkdir /run/netns failed: Permission denied", False),
        ("bash: must be root", False),
        ("nc: connect to 192.0.2.1 port 22 (tcp) failed: Connection refused", True),
        ('Cannot open network namespace "x": No such file or directory', True),
        ("", True),
    ],
)
def test_a_way_that_this_account_may_not_take_says_nothing_of_the_host(said: str, may: bool) -> None:
    """What has ended is not waited for: ten minutes here would be the test's."""
    proxy = f"sh -c {shlex.quote(f'echo {shlex.quote(said)} >&2; exit 1')}"
    if may:
        assert not answers("192.0.2.1", proxy=proxy, timeout=600)
    else:
        with pytest.raises(CannotLook, match=r"denied|not permitted|root"):
            answers("192.0.2.1", proxy=proxy, timeout=600)


@pytest.mark.parametrize("said", ["", "SS", "220 mail"])
def test_who_says_something_else_or_nothing_does_not_answer_and_the_program_is_ended(said: str, tmp_path: Path) -> None:
    script = f"echo $$ > {tmp_path}/id; printf {shlex.quote(said)}; exec sleep 600"
    assert not answers("192.0.2.1", proxy=f"sh -c {shlex.quote(script)}", timeout=0.5)
    assert not Path(f"/proc/{(tmp_path / 'id').read_text().strip()}").exists()


def test_a_proxy_carries_the_connection(greeter: int) -> None:
    assert answers("127.0.0.1", greeter, proxy="nc %h %p")
