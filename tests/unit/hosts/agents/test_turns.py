"""Whoever asks for embeddings waits for a bounded amount of others' work, whatever these ask.

The queue is the real one, and so is what reads requests and writes answers. The model below it is slow, and counts.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.core.paths import ROOT
from dualtrack.hosts.agents import embeddings, triton, triton_engine, turns
from dualtrack.hosts.agents.triton_engine import REQUEST_TOKENS, Front, Settings

SETTINGS = Settings(
    library="/nowhere", name="minilm", port=8003, context=256, pooling="mean", latency_ms=120, rate=50, tokens=32,
    threads=1, batch=4, delay_ms=0, instances=1,
    probe={"prompt": "What is the capital of France?", "expected": "Paris"}, drain_s=3,
)  # fmt: skip
PROBE = {
    "model": "minilm", "query": SETTINGS.probe["prompt"], "documents": [*triton_engine.OTHERS, "Paris"], "top_n": 1,
}  # fmt: skip
ONE = json.dumps({"model": "minilm", "input": "hello"}).encode()


class Slow(Front):
    """The service with a model that takes a step of the loop for each text, and remembers what it was given."""

    def __init__(self) -> None:
        child: Any = None
        it = triton.Triton("model", Path("/nowhere"), child, {})
        it.batch = SETTINGS.batch
        super().__init__(SETTINGS, "k" * 40, it)
        self.begun: list[int] = []
        #: Where in it the piece with a text was begun.
        self.at: dict[str, int] = {}
        self.most = self.now = 0

    async def part(self, texts: Sequence[str]) -> tuple[list[array[float]], int]:
        units = sum(turns.tokens(it, SETTINGS.context) for it in texts)
        self.at[texts[0]] = len(self.begun)
        self.begun.append(units)
        self.now += units
        self.most = max(self.most, self.now)
        for _ in texts:
            await asyncio.sleep(0)
        self.now -= units
        return [array("f", [1.0, 0.0]) for _ in texts], units


def waits() -> bool:
    return False


def limits(schema: dict[str, Any]) -> list[Any]:
    """Return the largest values that a field of the published document may have, by its schema."""
    if "oneOf" in schema:
        return [value for it in schema["oneOf"] for value in limits(it)]
    if "enum" in schema:
        return list(schema["enum"])
    if "maxItems" in schema:
        # As many as there may be, and as long as all of them together may be.
        size = turns.BYTES_OF_A_TOKEN * (REQUEST_TOKENS // schema["maxItems"] - turns.ENDS)
        long = turns.BYTES_OF_A_TOKEN * (SETTINGS.context - turns.ENDS)
        return [["x" * size] * schema["maxItems"], ["y" * long] * (REQUEST_TOKENS // SETTINGS.context)]
    if "maxProperties" in schema:
        return [{f"k{number}": "x" * 512 for number in range(schema["maxProperties"])}]
    return [{"string": "x" * 600, "boolean": True}[schema["type"]]]


DOCUMENT = json.loads((ROOT / "roles/gateway/files/openapi.json").read_text())
FIELDS = DOCUMENT["components"]["schemas"]["Embedding"]["properties"]
EACH = [(name, value) for name, it in FIELDS.items() if name != "model" for value in limits(it)]
ASKED = [
    {"model": "minilm", "input": "x", **dict(some)}
    for count in (1, 2)
    for some in itertools.combinations(EACH, count)
    if len({name for name, _ in some}) == count
]


def test_every_field_is_asked_at_its_limits() -> None:
    assert {name for name, _ in EACH} == set(FIELDS) - {"model"}
    assert len(ASKED) > len(EACH)


@pytest.mark.parametrize("body", ASKED, ids=lambda it: "+".join(sorted(set(it) - {"model"})))
def test_another_tenant_and_the_probe_are_answered_meanwhile(body: dict[str, Any]) -> None:
    async def run() -> None:
        front = Slow()
        hog = asyncio.ensure_future(front.embeddings(json.dumps(body).encode(), "hog", waits))
        for _ in range(3):
            await asyncio.sleep(0)
        begun = len(front.begun)
        await front.embeddings(ONE, "other", waits)
        # Nothing of the hog was begun before it but what waited already.
        assert front.at["hello"] - begun <= turns.AT_ONCE
        begun = len(front.begun)
        await front.rerank(json.dumps(PROBE).encode(), "", waits)
        assert front.at[SETTINGS.probe["prompt"]] == begun
        data = json.loads(await hog)["data"]
        assert [it["index"] for it in data] == list(range(len(data)))
        assert front.most <= front.turns.room + front.batch_units  # the probe has no turn
        assert not front.turns.waiting
        assert front.turns.used == 0

    asyncio.run(run())


def test_many_requests_of_one_tenant_are_one_turn() -> None:
    async def run() -> None:
        front = Slow()
        body = json.dumps({"model": "minilm", "input": ["word " * 8] * 200}).encode()
        hogs = [asyncio.ensure_future(front.embeddings(body, "hog", waits)) for _ in range(20)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        begun = len(front.begun)
        await front.embeddings(ONE, "other", waits)
        assert front.at["hello"] - begun <= turns.AT_ONCE
        assert not any(it.done() for it in hogs)
        await asyncio.gather(*hogs)

    asyncio.run(run())


def test_what_nobody_waits_for_is_not_begun() -> None:
    async def run() -> None:
        front = Slow()
        left = False
        body = json.dumps({"model": "minilm", "input": ["word " * 8] * 500}).encode()
        asked = asyncio.ensure_future(front.embeddings(body, "hog", lambda: left))
        while len(front.begun) < 3:
            await asyncio.sleep(0)
        left, begun = True, len(front.begun)
        with pytest.raises(turns.Gone):
            await asked
        assert len(front.begun) <= begun + turns.AT_ONCE
        assert not front.turns.waiting
        assert front.turns.used == 0

    asyncio.run(run())


def test_a_piece_that_fails_ends_the_others_of_its_request() -> None:
    async def run() -> None:
        it = turns.Turns(10)
        begun: list[int] = []

        async def do(number: int) -> int:
            begun.append(number)
            await asyncio.sleep(0)
            if number == 3:
                raise triton.Wrong("no")
            return number

        with pytest.raises(triton.Wrong):
            await turns.shared(it, "a", [(5, number) for number in range(100)], do, waits)
        assert len(begun) < 8
        assert await turns.shared(it, "a", [(50, 1), (1, 2)], do, waits) == [1, 2]
        assert (it.used, it.waiting) == (0, {})

    asyncio.run(run())


def test_a_request_of_too_many_tokens_is_refused_in_the_form_that_clients_know() -> None:
    body = json.dumps({"model": "minilm", "input": ["x" * 600] * 512}).encode()
    front = Slow()
    with pytest.raises(embeddings.Refused, match=f"a request at most {REQUEST_TOKENS}") as found:
        asyncio.run(front.embeddings(body, "hog", waits))
    assert not front.begun
    said = json.loads(embeddings.error(found.value.status, str(found.value), found.value.param, found.value.code))
    assert (found.value.status, said["error"]["param"]) == (400, "input")
    assert (said["error"]["type"], said["error"]["code"]) == ("invalid_request_error", "max_tokens_per_request")


@given(st.lists(st.integers(1, 300), max_size=60), st.integers(1, 20), st.integers(1, 200))
def test_pieces_are_all_texts_in_order_and_bounded(sizes: list[int], count: int, room: int) -> None:
    found = turns.pieces(sizes, count, room)
    assert [number for it in found for number in range(it.start, it.stop)] == list(range(len(sizes)))
    for it in found:
        assert 0 < it.stop - it.start <= count
        assert it.stop - it.start == 1 or sum(sizes[it]) <= room
