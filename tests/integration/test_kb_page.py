"""The page of the knowledge base in a real browser, without a rule of accessibility that it breaks, in both languages.

Documents hold what would run in a page that took them for HTML. What a model answers is asked in tests/e2e.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import use
from tests.support.knowledge_service import Service, asked

HOSTILE = """\
# 年假 <img src=x onerror="window.attacked = 1">

员工每年有十五天年假。<script>window.attacked = 2</script><svg onload="window.attacked = 3">

Staff have fifteen days of leave a year. [link](javascript:window.attacked=4)
"""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service of one hostile document."""
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents/leave.md").write_text(HOSTILE)
    asked({
        "type": "ingest", "base": str(tmp_path / "kb"), "source": str(tmp_path / "documents"), "collection": "hr",
        "labels": ["everyone"],
    })  # fmt: skip
    with Service(tmp_path / "service", tmp_path / "kb", {"bo": ["everyone"]}) as made:
        yield made


@pytest.fixture
def address(service: Service) -> Iterator[str]:
    """The service on a port of loopback."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        threading.Thread(target=forward, args=(door, service.socket), daemon=True).start()
        yield f"http://127.0.0.1:{door.getsockname()[1]}/"


def forward(door: socket.socket, to: Path) -> None:
    """Pass connections on to a Unix socket, until the door is closed."""

    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    while True:
        try:
            there, _ = door.accept()
        except OSError:
            return
        here = socket.socket(socket.AF_UNIX)
        here.connect(str(to))
        for pair in ((there, here), (here, there)):
            threading.Thread(target=pump, args=pair, daemon=True).start()


def test_the_page_is_used_in_both_languages(service: Service, address: str, tmp_path: Path) -> None:
    found = use(address, service.token("bo"), "年假有几天", "hr/leave.md", folder=tmp_path)
    assert set(found) == {"zh-CN", "en-US"}
    for language, said in found.items():
        assert said["violations"] == [], language
        assert said["complaints"] == [], language
        assert "window.attacked" in said["source"]
    pictures = sorted(it.name for it in tmp_path.glob("*.png"))
    assert pictures == ["search-en-US.png", "search-zh-CN.png"]
