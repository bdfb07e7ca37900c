"""OpenAI's API for embeddings, and the reranking API of Jina and vLLM: what requests mean, and how answers look.

A part of the service `triton_engine` on hosts with the role serving, with nothing but Python.
"""

from __future__ import annotations

import base64
import json
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: The most texts of one request (https://platform.openai.com/docs/api-reference/embeddings/create, `input`).
MAX_TEXTS = 2048


class Refused(Exception):
    """A request that gets no answer but its status and a reason; ``param`` is the field, ``code`` as OpenAI has it."""

    def __init__(self, status: int, reason: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(reason)
        self.status, self.param, self.code = status, param, code


@dataclass(frozen=True)
class Asked:
    """A request for embeddings of ``texts``: as numbers, or as base64 of little-endian 32-bit floats."""

    texts: Sequence[str]
    packed: bool = False


@dataclass(frozen=True)
class Ranking:
    """A request to order ``documents`` by how near they are to ``query``, and to name the first ``top``."""

    query: str
    documents: Sequence[str]
    top: int


def parse_embeddings(body: bytes, name: str) -> Asked:
    """Return what a request to /v1/embeddings asks; Refused where it is none that this model answers."""
    found = _body(body, name)
    given = found.get("input")
    texts = [given] if isinstance(given, str) else given
    form = found.get("encoding_format", "float")
    if form not in ("float", "base64"):
        raise Refused(400, "encoding_format is float or base64", "encoding_format")
    if found.get("dimensions") is not None:
        raise Refused(400, "dimensions: this model's embeddings have one length", "dimensions")
    return Asked(_texts(texts, "input"), form == "base64")


def parse_ranking(body: bytes, name: str) -> Ranking:
    """Return what a request to /v1/rerank asks; Refused where it is none that this model answers."""
    found = _body(body, name)
    [query] = _texts([found.get("query")], "query")
    documents = _texts(found.get("documents"), "documents")
    top = found.get("top_n", len(documents))
    if type(top) is not int or top < 1:
        raise Refused(400, "top_n is a number from 1", "top_n")
    return Ranking(query, documents, top)


def _body(body: bytes, name: str) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, "the body is not JSON") from None
    if not isinstance(found, dict):
        raise Refused(400, "the body is not a JSON object")
    if found.get("model") != name:
        raise Refused(404, f"this engine answers as {name}", "model", "model_not_found")
    return found


def _texts(found: object, word: str) -> list[str]:
    if not isinstance(found, list) or not 0 < len(found) <= MAX_TEXTS:
        raise Refused(400, f"{word} is a text, or from 1 to {MAX_TEXTS} of them", word)
    for it in found:
        if not isinstance(it, str) or not it:
            raise Refused(400, f"{word}: each is a text that is not empty; tokens are not taken", word)
        try:
            it.encode()
        except UnicodeEncodeError:
            raise Refused(400, f"{word}: a lone surrogate is not text", word) from None
    return found


def entries(asked: Asked, first: int, vectors: Sequence[array[float]]) -> bytes:
    """Return a part of an answer to a request for embeddings: the vectors of its texts from ``first`` on."""
    return b",".join(
        _written(
            {"object": "embedding", "index": first + number, "embedding": _packed(it) if asked.packed else it.tolist()}
        )
        for number, it in enumerate(vectors)
    )


def embeddings(name: str, parts: Sequence[bytes], tokens: int) -> bytes:
    """Return the answer to a request for embeddings from its parts; the usage comes last, where gateways look."""
    head = _written({"object": "list", "model": name})
    return b'%s,"data":[%s],"usage":%s}' % (head[:-1], b",".join(parts), _written(_usage(tokens)))


def ranking(asked: Ranking, name: str, vectors: Sequence[array[float]], tokens: int) -> bytes:
    """Return the answer to a request to rank: ``vectors`` are those of the query and of the documents, of length 1."""
    query, *documents = vectors
    scores = [sum(a * b for a, b in zip(query, it, strict=True)) for it in documents]
    order = sorted(range(len(scores)), key=lambda number: -scores[number])[: asked.top]
    results = [{"index": it, "document": {"text": asked.documents[it]}, "relevance_score": scores[it]} for it in order]
    return _said({"model": name, "results": results}, tokens)


def _said(answer: Mapping[str, Any], tokens: int) -> bytes:
    return _written({**answer, "usage": _usage(tokens)})


def _usage(tokens: int) -> dict[str, int]:
    return {"prompt_tokens": tokens, "total_tokens": tokens}


def _written(found: Mapping[str, Any]) -> bytes:
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode()


def _packed(vector: array[float]) -> str:
    return base64.b64encode(vector.tobytes()).decode()


def error(status: int, reason: str, param: str | None = None, code: str | None = None) -> bytes:
    """Return a refusal as OpenAI's clients understand it."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return json.dumps({"error": {"message": reason, "type": kind, "param": param, "code": code}}).encode()
