"""Which requests hold personal data, as a gateway asks: in any part of them, and where it cannot be told."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtrack.knowledge.pii import screen

PHONE = "13800138000"
#: Letters alone: whatever they say, no number is in it.
WORDS = st.text("abcdefgh ", max_size=12)
VALUES = st.recursive(
    WORDS | st.booleans() | st.none(), lambda it: st.lists(it, max_size=4) | st.dictionaries(WORDS, it, max_size=4),
    max_leaves=12,
)  # fmt: skip


def places(found: object) -> int:
    """Return how many places a value has where something may be put."""
    if isinstance(found, dict):
        return 1 + sum(map(places, found.values()))
    return 1 + sum(map(places, found)) if isinstance(found, list) else 1


def put(found: object, at: int, what: object) -> object:
    """Return a value with something in one of its places instead."""
    if at == 0:
        return what
    at -= 1
    rows = list(found.items()) if isinstance(found, dict) else list(enumerate(found))  # type: ignore[call-overload]
    for key, value in rows:
        if at < (count := places(value)):
            changed = {key: put(value, at, what)}
            return {**dict(rows), **changed} if isinstance(found, dict) else [
                changed.get(it, one) for it, one in rows
            ]  # fmt: skip
        at -= count
    raise AssertionError


@settings(deadline=None)
@given(VALUES, st.data())
def test_wherever_it_is(found: object, data: st.DataObject) -> None:
    assert not screen.holds(json.dumps(found).encode())
    at = data.draw(st.integers(0, places(found) - 1))
    for what in (PHONE, int(PHONE), {f"a {PHONE}": None}, ["x", {"y": f"call +86 {PHONE} now"}]):
        changed = put(found, at, what)
        assert screen.holds(json.dumps(changed).encode())
        escaped = json.dumps(changed).replace(PHONE, "".join(f"\\u{ord(it):04x}" for it in PHONE))
        if not isinstance(what, int):
            assert screen.holds(escaped.encode())


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'"\\ud800"', b"[" * 100_000, b'{"a": 1} x', b"{'a': 1}"])
def test_what_cannot_be_read_cannot_be_called_clean(body: bytes) -> None:
    assert screen.holds(body)


async def asked(*sent: bytes) -> bytes:
    server = await asyncio.start_server(screen._answer, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for it in sent:
            writer.write(it)
            await writer.drain()
        found = await reader.read()
        writer.close()
        return found


def test_a_question_on_the_wire(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "PATIENCE_S", 0.2)
    for body, said in ((b'{"a": "b"}', b"0"), (f'{{"a": "{PHONE}"}}'.encode(), b"1")):
        whole = len(body).to_bytes(8, "big") + body
        assert asyncio.run(asked(whole)) == said
        assert asyncio.run(asked(*(whole[it : it + 1] for it in range(len(whole))))) == said
        # What does not come whole has no answer: who asks takes that for personal data.
        assert asyncio.run(asked(whole[:-1])) == b""
    assert asyncio.run(asked((1 << 40).to_bytes(8, "big"))) == b"1"
