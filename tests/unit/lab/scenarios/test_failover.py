"""What breaks the contract of the fail-over drill, and what does not."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from dualtrack.core import waiting
from dualtrack.core.paths import ROOT
from dualtrack.lab.scenarios.failover import CLOSE, FAULTS, OPEN, FailoverReport, FaultOutcome
from dualtrack.serving import sse

FINE = FaultOutcome(
    fault="killed", where="cloud", requests=1000, wrong=0, failed={}, lost=0, refused=0, repeated=0, streams=2, cut=2,
    told=2, detected_s=12.0, slowest_s=1.0, back_s=20.0,
)  # fmt: skip


def report(left: int = 0, **changes: Any) -> FailoverReport:
    return FailoverReport(rows=(FINE, replace(FINE, where="local", **changes)), left=left, bound_s=35.0, seconds=1.0)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"refused": 300},
        {"repeated": 9},
        {"streams": 4, "cut": 3, "told": 3},
        {"detected_s": None},
        {"lost": 12},
        {"fault": "lies", "wrong": 500},
        {"fault": "lies", "cut": 0, "told": 0},
        {"fault": "front killed", "told": 0},
    ],
    ids=str,
)
def test_the_contract_holds(changes: dict[str, Any]) -> None:
    assert report(**changes).problems == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"failed": {"status 502": 1}}, "killed (local): 1 failed (status 502)"),
        ({"detected_s": 35.5}, "killed (local): detected after 35.5 s, and 35.0 s are the most"),
        ({"wrong": 1}, "killed (local): 1 wrong answers"),
        ({"lost": 13}, "killed (local): 13 requests were lost, and there are 12 clients"),
        ({"cut": 0, "told": 0}, "killed (local): no stream was cut, of 2: nothing is known of streams"),
        ({"told": 1}, "killed (local): 1 of 2 cut streams ended without an error event"),
        ({"left": 3}, "3 requests that must stay came to the cloud track"),
    ],
    ids=str,
)
def test_the_contract_is_broken(changes: dict[str, Any], said: str) -> None:
    assert report(**changes).problems == (said,)


def test_the_engine_of_the_drill_streams_as_its_clients_read(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [
        sys.executable,
        "-I",
        str(ROOT / "tools/dualtrack/lab/scenarios/echo_engine.py"),
        str(tmp_path),
        "127.0.0.1",
        str(port),
    ]
    with subprocess.Popen(words) as engine:
        try:
            waiting.until(lambda: engine_listens(port), "the engine listens", stall=30)
            link = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            body = msgspec.json.encode({"model": "x", "messages": [], "stream": True, "max_tokens": 3})
            link.request("POST", "/v1/chat/completions", body)
            answer = link.getresponse()
            assert answer.headers.get_content_type() == "text/event-stream"
            *events, done = sse.events([answer.read()])
            assert done == b"[DONE]"
            assert [json.loads(it)["choices"][0]["delta"]["content"] for it in events] == [" 0", " 1", " 2"]
        finally:
            engine.kill()


def engine_listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def test_every_fault_is_once() -> None:
    names = [(fault, where) for fault, where, *_ in FAULTS]
    assert len(set(names)) == len(names)
    assert {where for _, where in names} == {"cloud", "local", "link", "everywhere", "gateway"}


@pytest.mark.parametrize("table", [True, False])
def test_port_is_let_in_once_and_no_more_afterwards(table: bool) -> None:
    """In a network namespace of the test's own, by the commands that a host runs."""
    rules = "table inet dualtrack_firewall { chain input { type filter hook input priority 0; policy drop; }; }"
    begin, end = (CLOSE + OPEN).format(port=8099), CLOSE.format(port=8099)
    shown = "nft list ruleset; echo ---"
    made = f"nft '{rules}'" if table else ""
    script = "\n".join((made, begin, begin, OPEN.format(port=8444), shown, end, shown))
    done = subprocess.run(["unshare", "--net", "sh", "-euc", script], capture_output=True, text=True, check=True)
    during, after, _ = done.stdout.split("---\n")
    assert [(it.count("dport 8099 accept"), it.count("dport 8444 accept")) for it in (during, after)] == (
        [(1, 1), (0, 1)] if table else [(0, 0), (0, 0)]
    )
