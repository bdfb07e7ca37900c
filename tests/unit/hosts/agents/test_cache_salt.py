"""What vLLM gets to know a prompt by: the tenant's salt, whatever a client says, and its own without a tenant."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.hosts.agents import cache_salt
from dualtrack.hosts.agents.cache_salt import Message, Receive, Salt, Send

CHAT = "/v1/chat/completions"


def through(pieces: list[bytes], *, path: str = CHAT, caller: str | None = "ab12") -> tuple[bytes, dict[bytes, bytes]]:
    """Return the body and the headers that vLLM sees of a request in pieces."""
    seen: list[tuple[bytes, dict[bytes, bytes]]] = []

    async def app(scope: Message, receive: Receive, _: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        seen.append((body, dict(scope["headers"])))

    async def send(_: Message) -> None:
        raise AssertionError

    left = [{"type": "http.request", "body": it, "more_body": True} for it in pieces]
    left.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Any:
        return left.pop(0)

    headers = [(b"content-length", str(sum(map(len, pieces))).encode())]
    if caller is not None:
        headers.append((cache_salt.HEADER, caller.encode()))
    asyncio.run(Salt(app)({"type": "http", "method": "POST", "path": path, "headers": headers}, receive, send))
    return seen[0]


VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda it: st.lists(it), max_leaves=5)


@given(
    st.dictionaries(st.sampled_from(["model", "messages", "cache_salt", "user", "\u4e2d"]), VALUES), st.integers(0, 30)
)
def test_the_salt_is_the_tenants_and_the_rest_as_it_was(found: dict[str, Any], cut: int) -> None:
    body = json.dumps(found).encode()
    said, headers = through([body[:cut], body[cut:]])
    assert json.loads(said) == {**found, "cache_salt": "ab12"}
    assert headers[b"content-length"] == str(len(said)).encode()


@pytest.mark.parametrize("caller", [None, "", "a/b", "x" * 129, "a@b"])
def test_without_a_tenant_nothing_is_shared(caller: str | None) -> None:
    salts = {json.loads(through([b'{"cache_salt": "guess"}'], caller=caller)[0])["cache_salt"] for _ in range(3)}
    assert len(salts) == 3
    assert all(len(it) == 32 for it in salts)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_request_is_left_to_vllm(body: bytes) -> None:
    assert through([body])[0] == body


def test_other_paths_are_left_alone() -> None:
    assert through([b'{"a": 1}'], path="/v1/models")[0] == b'{"a": 1}'


def test_a_client_that_has_gone_is_not_passed_on() -> None:
    async def app(*_: object) -> None:
        raise AssertionError

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(_: Message) -> None:
        raise AssertionError

    asyncio.run(Salt(app)({"type": "http", "method": "POST", "path": CHAT, "headers": []}, receive, send))
