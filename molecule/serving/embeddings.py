"""Asks an engine for embeddings from many sides at once: embeddings.py URL KEY-FILE MODEL.

Every answer must be right, requests must have been run together, and what is wrong must be said to who asked it.
"""

import base64
import concurrent.futures
import json
import socket
import struct
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

URL, KEY, MODEL = sys.argv[1], Path(sys.argv[2]).read_text().strip(), sys.argv[3]
TEXTS = [
    f"Sentence {number} is about {word}." for number in range(8) for word in ("cats", "tax law", "routers", "pastry")
]


def ask(path: str, body: object = None, key: str = KEY) -> tuple[int, str]:
    """Return the status and the text of an answer."""
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    wanted = urllib.request.Request(URL + path, data, {"Authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(wanted, timeout=120) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def vectors(texts: object, **more: object) -> list[list[float]]:
    """Return the vectors of texts; they are numbered in order, and as long as 1."""
    status, text = ask("/v1/embeddings", {"model": MODEL, "input": texts, **more})
    assert status == 200, text
    found = json.loads(text)
    assert [it["index"] for it in found["data"]] == list(range(len(found["data"])))
    assert found["usage"]["prompt_tokens"] > 0
    return [it["embedding"] for it in found["data"]]


def near(one: list[float], other: list[float]) -> float:
    """Return the cosine of two vectors, 1 for the same direction."""
    return sum(a * b for a, b in zip(one, other, strict=True))


def counted() -> dict[str, int]:
    """Return the engine's counters."""
    return {name: int(value) for name, value in (line.split() for line in ask("/metrics")[1].splitlines())}


alone = [vectors(it)[0] for it in TEXTS]
assert all(abs(near(it, it) - 1) < 1e-4 for it in alone)

before = counted()
with concurrent.futures.ThreadPoolExecutor(32) as clients:
    together = [found[0] for found in clients.map(vectors, TEXTS * 4)]
after = counted()
runs = after["dualtrack_triton_execution_count"] - before["dualtrack_triton_execution_count"]
texts = after["dualtrack_triton_inference_count"] - before["dualtrack_triton_inference_count"]
assert texts == len(together), f"{texts} texts were run, not {len(together)}"
assert runs < texts / 2, f"{runs} runs for {texts} texts: nothing was run together"
# In 8 bits, a text's vector depends a little on what it is run with.
assert all(near(it, alone[number % len(TEXTS)]) > 0.97 for number, it in enumerate(together))

# A long one among short ones has its own place, and more texts than run at once come back in order.
many = vectors([*TEXTS, "long " * 200, *TEXTS, *TEXTS])
assert all(near(it, alone[number]) > 0.97 for number, it in enumerate(many[: len(TEXTS)]))
[packed] = vectors(TEXTS[0], encoding_format="base64")
assert near(list(struct.unpack(f"<{len(alone[0])}f", base64.b64decode(packed))), alone[0]) > 0.97  # type: ignore[arg-type]

LONG = "long " * 300
NO_TEXTS = (None, "", [], [""], [1, 2], [[1]], {"a": 1}, True, ["x"] * 2049, "\ud800", LONG, ["x", LONG])
NO_BODIES = (b"{", b"\xff\xfe", b"[" * 100_000, [])
EMBED, RANK = "/v1/embeddings", "/v1/rerank"
WRONG = {
    401: [(EMBED, {"model": MODEL, "input": "x"}, "wrong"), ("/metrics", None, "")],
    404: [("/v1/chat/completions", {"model": MODEL}), ("/", None), (EMBED, {"model": "other", "input": "x"})],
    405: [(EMBED, None)],
    413: [(EMBED, {"model": MODEL, "input": "x" * (5 << 20)})],
    400: [
        *((EMBED, it) for it in NO_BODIES),
        *((EMBED, {"model": MODEL, "input": it}) for it in NO_TEXTS),
        (EMBED, {"model": MODEL, "input": "x", "encoding_format": "hex"}),
        (EMBED, {"model": MODEL, "input": "x", "dimensions": 10}),
        (RANK, {"model": MODEL, "query": "x", "documents": []}),
        (RANK, {"model": MODEL, "query": "x", "documents": ["y"], "top_n": 0}),
    ],
}  # fmt: skip
for status, asked in WRONG.items():
    for it in asked:
        found, text = ask(*it)
        assert found == status, f"{it[0]} {str(it[1])[:80]}: {found} {text[:200]}"
        assert json.loads(text)["error"]["message"], text

# Who is refused does not take the others of the run along.
with concurrent.futures.ThreadPoolExecutor(16) as clients:
    mixed = list(clients.map(lambda it: ask("/v1/embeddings", {"model": MODEL, "input": it}), ["x", LONG] * 16))
assert [status for status, _ in mixed] == [200, 400] * 16, [status for status, _ in mixed]
print(f"{texts} texts in {runs} runs")

# One request of many texts keeps nobody waiting: others, and gateways' probes, are answered before it. What its client
# has given up is not begun any more.
MANY = {"model": MODEL, "input": [f"a text of eight words with number {it}" for it in range(1024)]}
NEAREST = {"model": MODEL, "query": "What is the capital of France?", "documents": ["bread", "Paris"], "top_n": 1}


def beside(asked: list[dict[str, object]]) -> int:
    """Ask for small things while all of it is worked on; return how many were answered."""
    answered = 0
    with concurrent.futures.ThreadPoolExecutor(len(asked)) as clients:
        large = [clients.submit(ask, EMBED, it) for it in asked]
        while not any(it.done() for it in large):
            for path, body in ((EMBED, {"model": MODEL, "input": "hello"}), (RANK, NEAREST)):
                status, text = ask(path, body)
                assert status == 200, text
            answered += 1
        assert [it.result()[0] for it in large] == [200] * len(asked)
    return answered


for count in (1, 8):
    answered = beside([MANY] * count)
    assert answered > 5, f"{answered} small requests were answered beside {count} large ones"
    print(f"{answered} requests and probes were answered beside {count} of 1,024 texts")

host, port = URL.removeprefix("http://").split(":")
body = json.dumps(MANY).encode()
with socket.create_connection((host, int(port))) as link:
    head = f"POST {EMBED} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {len(body)}\r\n\r\n"
    before = counted()["dualtrack_triton_inference_count"]
    link.sendall(head.encode() + body)
    while counted()["dualtrack_triton_inference_count"] == before:
        pass
while counted()["dualtrack_triton_requests_active"]:
    time.sleep(0.1)
done = counted()["dualtrack_triton_inference_count"] - before
assert done < len(MANY["input"]) / 2, f"{done} texts were run for nobody"
status, text = ask(EMBED, {"model": MODEL, "input": ["many words " * 20] * 1024})
assert (status, json.loads(text)["error"]["code"]) == (400, "max_tokens_per_request"), text
