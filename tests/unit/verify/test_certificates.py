"""Checks of certificates on hosts: red when one ends soon, and when its service has another one."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import create_server

import pytest
import testinfra

from dualtrack.security.pki import authority
from dualtrack.verify import certificates

HOST = testinfra.get_host("local://")
NOW = datetime.now(UTC)


@contextmanager
def shown(found: authority.Issued) -> Iterator[int]:
    """Show a certificate on a port of this machine, as a service does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(found.certificate, found.key)
    with create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    stream, _ = listening.accept()
                except OSError:
                    return
                with stream:
                    try:
                        context.wrap_socket(stream, server_side=True).close()
                    except OSError:
                        continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]


@pytest.mark.parametrize(
    ("issuer", "left", "good"),
    [("ours", 8, True), ("ours", 6.9, False), ("ours", -1, False), ("theirs", 1.1, True), ("theirs", 0.9, False)],
)
def test_ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, issuer: str, left: float, good: bool) -> None:
    monkeypatch.setattr(authority, "ORGANISATION", "dualtrack" if issuer == "ours" else "elsewhere")
    found = authority.issue(tmp_path, "gateway", "gateway-1", now=NOW)
    said = certificates.ending(HOST, found.certificate, now=found.ends - timedelta(days=left))
    assert (said == "") is good
    assert good or said.endswith("dualtrack pki renew" if issuer == "ours" else "have its authority renew it")


def test_a_service_that_did_not_load_the_new_one_is_seen(tmp_path: Path) -> None:
    before = authority.issue(tmp_path, "engine", "gpu-1", ["gpu-1"], now=NOW - timedelta(days=21))
    with shown(before) as port:
        assert "dualtrack pki renew" not in certificates.served(HOST, before.certificate, "127.0.0.1", port)
        after = authority.issue(tmp_path, "engine", "gpu-1", ["gpu-1"])
        assert "shows another certificate" in certificates.served(HOST, after.certificate, "127.0.0.1", port)
    with shown(after) as port:
        assert certificates.served(HOST, after.certificate, "127.0.0.1", port) == ""


def test_a_unit_that_has_another_one_is_seen(tmp_path: Path) -> None:
    found = authority.issue(tmp_path, "keeper", "log-1")
    assert "systemctl restart none.service" in certificates.loaded(HOST, found.certificate, "none.service")
