"""The official client of OpenAI, as a user of the gateway has it."""

from __future__ import annotations

import ssl
from operator import mul
from typing import Any

import openai
import pytest


def official(endpoint: dict[str, Any], key: str) -> openai.OpenAI:
    """Return the official client, which believes the site's authority alone."""
    trusted = ssl.create_default_context(cafile=endpoint["ca_file"])
    return openai.OpenAI(
        base_url=f"{endpoint['url']}/v1", api_key=key,
        http_client=openai.DefaultHttpxClient(verify=trusted, trust_env=False),
        max_retries=0,
    )  # fmt: skip


def track(endpoint: dict[str, Any], key: str) -> str:
    """Ask with a key; return the track that answers, or the error."""
    with official(endpoint, key) as client:
        try:
            answer = client.completions.with_raw_response.create(model="smollm2", prompt="Hello", max_tokens=2)
        except openai.APIStatusError as error:
            return str(error)
        return answer.headers["x-dualtrack-track"]


def embeds(endpoint: dict[str, Any], key: str, model: str) -> str:
    """Ask a model for embeddings, and for what it does not do; return the track that answers."""
    texts = ["What is the capital of France?", "Bread is made of flour.", "Paris is a city."]
    with official(endpoint, key) as client:
        answer = client.embeddings.with_raw_response.create(model=model, input=texts)
        found = answer.parse()
        asked, bread, paris = (it.embedding for it in found.data)
        assert sum(map(mul, asked, paris)) > 0.4 > sum(map(mul, asked, bread))
        assert found.usage.total_tokens > 0
        with pytest.raises(openai.BadRequestError, match="tokens, and the model takes 256"):
            client.embeddings.create(model=model, input="word " * 300)
        with pytest.raises(openai.BadRequestError, match="this model makes embeddings"):
            client.completions.create(model=model, prompt="x")
        return answer.headers["x-dualtrack-track"]
