"""The knowledge base of a site that is up, as its operator and a client with a token have it."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from typing import Any

import openai
import pytest

from dualtrack.core.operator import operator
from tests.conftest import Cli, wait
from tests.support.browser import use
from tests.support.clients import official

QUESTION = "什么是稳定版？"


def answers(site: Cli, cloud_away: AbstractContextManager[None]) -> None:
    """Sources are named, strangers refused, the auditor finds who was shown what, and all stays on the local track."""
    found = site.json("kb", "ask", QUESTION, "--as", "chen")
    assert found["end"]["track"] == "local"
    assert found["end"]["prompt_tokens"] > found["end"]["completion_tokens"] > 0
    sources = {it["hit"]["source"] for it in found["citations"]}
    assert all(it.endswith(".html") for it in sources)
    assert found["answer"].strip()

    with cloud_away:
        assert site.json("kb", "ask", QUESTION, "--as", "chen")["end"]["track"] == "local"
    at = site.json("kb", "address")
    token = site("access", "token", "chen", "--for", "knowledge").stdout.strip()
    with official(at, token) as client:
        asked: list[Any] = [{"role": "user", "content": QUESTION}]
        whole = client.chat.completions.create(model="knowledge", messages=asked)
        assert {it["hit"]["source"] for it in (whole.model_extra or {})["citations"]} == sources
        pieces = list(client.chat.completions.create(model="knowledge", messages=asked, stream=True))
        assert len(pieces) > 2
        assert [it for it in pieces if "citations" in (it.model_extra or {})] == pieces[-1:]
        with pytest.raises(openai.NotFoundError, match="the only model is called knowledge"):
            client.chat.completions.create(model="other", messages=asked)
    used = use(f"{at['url']}/", token, QUESTION, ".html", folder=site.folder, ask=True)
    for said in used.values():
        assert (said["violations"], said["complaints"]) == ([], [])
        assert said["answer"]
    for wrong in ("none", site("access", "token", "chen").stdout.strip()):
        with official(at, wrong) as stranger, pytest.raises(openai.AuthenticationError):
            stranger.models.list()

    def noted() -> list[dict[str, Any]]:
        found = site.json("audit", "search", "--as", "bo", "--text", "knowledge", "--kind", "dualtrack")["records"]
        said = [json.loads(it["body"])["MESSAGE"] for it in found]
        records = [json.loads(it) for it in said if it.startswith('{"what":"knowledge"')]
        return [it for it in records if it["person"] == "chen" and it["chunks"]]

    # By a command in the place of the person, and by the person's own token.
    wait(lambda: {it.get("operator", "") for it in noted()} == {"", operator()}, 60, "the records of answers")
