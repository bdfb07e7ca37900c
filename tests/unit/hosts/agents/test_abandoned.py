"""Requests that their clients have given up do not keep an engine's slots: what is seen of them, and what is done."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path

from dualtrack.hosts.agents import abandoned

#: As Linux 6.1 writes it: listening, established, closed by the client, and that of another port.
TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F41 00000000:0000 0A 00000000:00000000 00:00000000 00000000   999        0 501 1 0000 100 0 0 10 0
   1: 0100007F:1F41 0100007F:A0B2 01 00000000:00000000 00:00000000 00000000   999        0 502 1 0000 20 4 31 10 -1
   2: 0100007F:1F41 0100007F:A0B4 08 00000000:00000001 00:00000000 00000000   999        0 503 1 0000 20 4 31 10 -1
   3: 0100007F:1F42 0100007F:A0B6 08 00000000:00000001 00:00000000 00000000   999        0 504 1 0000 20 4 31 10 -1
   4: 0100007F:A0B4 0100007F:1F41 05 00000000:00000000 00:00000000 00000000   999        0 505 1 0000 20 4 31 10 -1
"""


def test_connections_that_clients_have_closed_are_found() -> None:
    assert abandoned.parse(TABLE, 8001) == {"503"}
    assert abandoned.parse(TABLE, 8002) == {"504"}
    assert abandoned.parse("", 8001) == set()


def test_this_kernel_says_so_as_well() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        taken, _ = server.accept()
        with taken:
            assert abandoned.parse(abandoned.TABLE.read_text(), port) == set()
            client.close()
            assert taken.recv(1) == b""  # by then the kernel knows
            assert len(abandoned.parse(abandoned.TABLE.read_text(), port)) == 1


def test_the_engine_is_stopped_for_one_that_stays_and_not_too_often() -> None:
    now, there, stopped = 100.0, set[str](), list[float]()
    watch = abandoned.Watch(lambda: set(there), lambda: stopped.append(now), lambda: now)
    assert not watch.look()
    there = {"1"}
    assert not watch.look()  # it may be on its way
    there = {"2"}
    assert not watch.look()
    assert watch.look()
    there = {"3"}
    for _ in range(3):
        now += 3
        assert not watch.look()
    now += 1
    assert watch.look()
    assert stopped == [100.0, 110.0]


def test_a_process_is_stopped_for_a_while_and_goes_on() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:

        def state() -> str:
            return Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0]

        seen = set[str]()
        stopping = threading.Thread(target=abandoned.nudge, args=(child.pid, 0.5))
        stopping.start()
        while stopping.is_alive():
            seen.add(state())
        assert "T" in seen
        assert state() != "T"
        child.communicate(b"\n")
    assert child.returncode == 0
