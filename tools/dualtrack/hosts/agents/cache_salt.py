"""Keeps what vLLM remembers of prompts apart by tenant: nobody can tell by the time what another one has asked.

Loaded by vLLM on hosts with the role serving (`--middleware`), with nothing but Python. vLLM's prefix cache is shared
by all requests with the same salt (`cache_salt`,
https://docs.vllm.ai/en/latest/design/prefix_caching.html#cache-isolation-for-security). Here it is the digest of the
tenant that the gateway sends in a header. What comes without one, and any salt that a client brings, gets a salt of its
own, which nothing else has.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

#: What the gateway sends (role gateway): a keyed digest of the tenant, hexadecimal.
HEADER = b"x-dualtrack-caller"
PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings")
#: Characters of a salt that vLLM takes.
MOST = 128

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def salted(body: bytes, caller: bytes) -> bytes:
    """Return a request's body with its caller's salt; one that is not a JSON object as it is, for vLLM to refuse."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return body
    if not isinstance(found, dict):
        return body
    text = caller.decode("ascii", "ignore")
    known = text.isalnum() and len(text) <= MOST
    found["cache_salt"] = text if known else secrets.token_hex(16)
    return json.dumps(found).encode()


class Salt:
    """An ASGI application around vLLM's."""

    def __init__(self, app: Callable[[Message, Receive, Send], Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on; with another body where it has one that is cached."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] not in PATHS:
            await self.app(scope, receive, send)
            return
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return  # the client has gone
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = list(scope["headers"])
        caller = next((value for name, value in headers if name == HEADER), b"")
        whole = salted(bytes(body), caller)
        headers = [(name, value) for name, value in headers if name not in (b"content-length", b"transfer-encoding")]
        scope = {**scope, "headers": [*headers, (b"content-length", str(len(whole)).encode())]}
        given = False

        async def again() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": whole, "more_body": False}

        await self.app(scope, again, send)
