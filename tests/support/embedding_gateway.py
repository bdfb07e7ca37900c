"""An endpoint of embeddings on loopback that gives each text numbers of its own, or what a test tells it to."""

from __future__ import annotations

import contextlib
import http.server
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualtrack.knowledge import models
from tests.support.api_testbed import Gateway

DIMENSION = 48


def vector(text: str) -> list[float]:
    """Return numbers that another text does not have."""
    return [float(it) for it in np.random.default_rng(list(text.encode())).normal(size=DIMENSION).round(4)]


@contextlib.contextmanager
def serving(folder: Path, monkeypatch: pytest.MonkeyPatch, host: str = "127.0.0.1") -> Iterator[Gateway]:
    """Serve for the block; its API key is in the environment, and nobody waits before a request is tried again."""
    monkeypatch.setenv("DUALTRACK_API_KEY", "dt-secret")
    monkeypatch.setattr("dualtrack.core.proc.pause", lambda _: None)
    found = Gateway(folder, host)
    found.answer = right(found)
    try:
        yield found
    finally:
        found.end()


def reply(handler: http.server.BaseHTTPRequestHandler, body: bytes, status: int = 200) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def rows(texts: list[str]) -> list[dict[str, Any]]:
    return [{"object": "embedding", "index": at, "embedding": vector(it)} for at, it in enumerate(texts)]


def right(gateway: Gateway) -> Any:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        found = rows(gateway.asked[-1][2]["input"])
        reply(handler, json.dumps({"object": "list", "data": found[::-1], "usage": {"prompt_tokens": 1}}).encode())

    return answer


def described(gateway: Gateway, directory: Path, **more: Any) -> models.Model:
    options = {"tokens": 64, **more}
    models.describe(directory, gateway.url, gateway.folder / "ca.pem", "encoder", **options)
    return models.load(directory)
