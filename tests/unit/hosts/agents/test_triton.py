"""How a sentence encoder batches by its budget, and what goes to Triton and comes back.

Triton itself runs in the molecule scenario `serving`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from array import array
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.hosts.agents import embeddings, gateway_engines, triton, triton_engine
from dualtrack.hosts.agents.engine import Later
from dualtrack.hosts.agents.triton import Batching

#: Milliseconds for each batch, as measured for MiniLM in 8 bits with 16 tokens on one core.
CURVE = {1: 7.2e-3, 2: 9.4e-3, 4: 14.9e-3, 8: 26.2e-3, 16: 48.2e-3, 32: 93.1e-3}


@pytest.mark.parametrize(
    ("budget_ms", "rate", "most", "plan"),
    [
        (120, 50, 1, Batching(16, 0, 1)),  # one at a time is busy for 36 percent: nobody needs to wait for others
        (60, 50, 1, Batching(8, 0, 1)),
        (120, 150, 1, Batching(16, 20000, 1)),  # two at a time are busy for 70.5 percent, so four wait for each other
        (120, 500, 4, Batching(16, 6000, 3)),
        (15, 50, 1, Batching(1, 0, 1)),
    ],
)
def test_plan(budget_ms: int, rate: float, most: int, plan: Batching) -> None:
    found, why = triton.plan(CURVE, budget_ms / 1000, rate, most)
    assert found == plan
    assert why == f"answers within {budget_ms} ms at {rate:g}/s"


def test_what_a_host_cannot_do_is_said() -> None:
    found, why = triton.plan(CURVE, 0.12, 5000, 2)
    assert found == Batching(16, 0, 2)
    assert why == "does not answer 5000/s within 120 ms here: 465/s are possible"
    found, why = triton.plan(CURVE, 0.005, 50, 1)
    assert found == Batching(32, 0, 1)  # too late in any case, so as many as there can be
    assert why.endswith("one text alone takes 7 ms")


@given(
    st.dictionaries(st.sampled_from(triton.BATCHES), st.floats(1e-4, 10), min_size=1),
    st.floats(1e-3, 60), st.floats(1, 1e5), st.integers(1, 64),
)  # fmt: skip
def test_whoever_comes_is_answered_within_the_budget(
    curve: dict[int, float], budget_s: float, rate: float, most: int
) -> None:
    found, why = triton.plan(curve, budget_s, rate, most)
    assert 1 <= found.instances <= most
    assert found.batch in curve
    if why.startswith("answers"):
        assert 2 * curve[found.batch] + found.delay_us / 1e6 <= budget_s + 1e-5


TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=5)


@given(TEXTS)
def test_texts_reach_triton_as_they_are(texts: list[str]) -> None:
    body, headers = triton.encode(texts)
    head = int(headers["Inference-Header-Content-Length"])
    [said] = json.loads(body[:head])["inputs"]
    raw, found = body[head:], []
    assert said["shape"] == [len(texts), 1]
    assert said["parameters"]["binary_data_size"] == len(raw)
    while raw:
        [length] = struct.unpack_from("<I", raw)
        found.append(raw[4 : 4 + length].decode())
        raw = raw[4 + length :]
    assert found == texts


def test_answer_is_read() -> None:
    head = json.dumps(
        {"outputs": [{"name": "EMBEDDING", "shape": [2, 3]}, {"name": "TOKENS", "shape": [2, 1]}]}
    ).encode()
    vectors, tokens = triton.decode(len(head), head + struct.pack("<6f2i", 1, 2, 3, 4, 5, 6, 7, 8))
    assert [it.tolist() for it in vectors] == [[1, 2, 3], [4, 5, 6]]
    assert tokens == 15


def test_refusals_are_told_apart() -> None:
    assert str(triton.refusal(400, b'{"error": "too long"}')) == "too long"
    assert isinstance(triton.refusal(400, b"{}"), triton.Wrong)
    assert isinstance(triton.refusal(503, b"<html>"), Later)


def test_settings_of_a_model() -> None:
    found = triton.config("x", Batching(16, 5000, 2), {"context": "256"})
    assert found["max_batch_size"] == 16
    assert found["dynamic_batching"]["max_queue_delay_microseconds"] == 5000
    assert found["instance_group"] == [{"count": 2, "kind": "KIND_CPU"}]
    assert found["parameters"] == {"context": {"string_value": "256"}}
    assert "dynamic_batching" not in triton.config("x", None, {})


def test_gateways_and_engines_know_the_same_other_words() -> None:
    assert gateway_engines.OTHERS == triton_engine.OTHERS


FIELDS = ["model", "input", "query", "documents", "top_n"]


@given(TEXTS, st.booleans())
def test_requests_for_embeddings(texts: list[str], packed: bool) -> None:
    body = {"model": "m", "input": texts, "encoding_format": "base64" if packed else "float", "user": "u"}
    assert embeddings.parse_embeddings(json.dumps(body).encode(), "m") == embeddings.Asked(texts, packed)
    body["input"] = texts[0]
    assert embeddings.parse_embeddings(json.dumps(body).encode(), "m").texts == [texts[0]]


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(FIELDS), inner),
))  # fmt: skip
def test_whatever_is_asked_is_read_or_refused(found: object) -> None:
    for parse in (embeddings.parse_embeddings, embeddings.parse_ranking):
        with contextlib.suppress(embeddings.Refused):
            parse(json.dumps(found).encode(), "m")


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize("query", ["capital", "another question"])
def test_probe_and_other_rankings_run_in_batches_that_the_model_takes(batch: int, query: str) -> None:
    """On a slow host the model takes two texts at once, and the probe has more."""
    settings = SimpleNamespace(name="m", tokens=16, context=512, probe={"prompt": "capital", "expected": "Paris"})
    front = triton_engine.Front(settings, "key", SimpleNamespace(name="model", batch=batch, instances=1))  # type: ignore[arg-type]
    words = [*triton_engine.OTHERS, "Paris"]
    asked: list[list[str]] = []

    async def part(texts: list[str]) -> tuple[list[array[float]], int]:
        assert len(texts) <= batch
        asked.append(list(texts))
        return [array("f", [1.0, 0.0]) for _ in texts], len(texts)

    front.part = part  # type: ignore[assignment, method-assign]
    body = json.dumps({"model": "m", "query": query, "documents": words}).encode()
    answer = json.loads(asyncio.run(front.rerank(body, "tenant", lambda: False)))
    assert sorted(it["index"] for it in answer["results"]) == list(range(len(words)))
    assert sorted(text for some in asked for text in some) == sorted([query, *words])
