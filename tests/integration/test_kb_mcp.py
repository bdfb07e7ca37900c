"""The knowledge base's tool for agents: asked by the protocol's own client in both eras, and by hand, wrongly."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from dualtrack.data.mirror import artifacts
from tests.support.knowledge_service import Service, asked

#: Asks as an agent does, for each token in each of the protocol's eras, and says what it found as JSON.
AGENT = """
import asyncio, json, sys
import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

async def asked(socket, token, mode, calls):
    transport, headers = httpx2.AsyncHTTPTransport(uds=socket), {"Authorization": "Bearer " + token}
    async with httpx2.AsyncClient(transport=transport, headers=headers, timeout=60) as link:
        async with Client(streamable_http_client("http://knowledge/mcp", http_client=link), mode=mode) as client:
            tools = [it.name for it in (await client.list_tools()).tools]
            results = [await client.call_tool("search", it) for it in calls]
            return {"protocol": client.protocol_version, "says": client.instructions, "tools": tools, "calls": [
                {"error": it.is_error, "found": it.structured_content, "text": it.content[0].text} for it in results
            ]}

async def main(socket, calls, tokens, modes):
    print(json.dumps([await asked(socket, token, mode, calls) for token in tokens for mode in modes]))

asyncio.run(main(sys.argv[1], *map(json.loads, sys.argv[2:])))
"""
PEOPLE = {"ada": ["everyone", "group:hr"], "bo": ["everyone"]}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    place = tmp_path_factory.mktemp("kb")
    requests = []
    for name, label in (("rules", "everyone"), ("hr", "group:hr")):
        (place / name).mkdir()
        (place / name / "leave.md").write_text(f"# 请假\n\n员工请假需要提前三天申请，{name}。\n")
        it = {"source": str(place / name), "collection": name, "labels": [label]}
        requests.append({"type": "ingest", "base": str(place / "kb"), **it})
    asked(*requests)
    with Service(place / "service", place / "kb", PEOPLE) as made:
        yield made


def agent(service: Service, names: list[str], modes: list[str], *calls: dict[str, Any]) -> list[dict[str, Any]]:
    given = [calls, [service.token(name) for name in names], modes]
    done = subprocess.run(
        [artifacts.environment("knowledge"), "-c", AGENT, str(service.socket), *map(json.dumps, given)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_the_official_client_finds_what_its_owner_may_see(service: Service) -> None:
    service.records()
    questions = {"question": "请假提前几天"}, {"question": " "}, {"question": "x", "count": 51}
    asked = [(name, wanted) for name, wanted in (("ada", {"rules", "hr"}), ("bo", {"rules"})) for _ in range(2)]
    answers = agent(service, ["ada", "bo"], ["auto", "legacy"], *questions)
    assert [it["protocol"] for it in answers] == ["2026-07-28", "2025-11-25"] * 2
    for (_, wanted), answer in zip(asked, answers, strict=True):
        assert answer["tools"] == ["search"]
        assert "the owner of the token may see" in answer["says"]
        right, empty, many = answer["calls"]
        assert not right["error"]
        assert {it["collection"] for it in right["found"]["hits"]} == wanted
        assert json.loads(right["text"]) == right["found"]
        assert (empty["error"], "a question has 1 to" in empty["text"]) == (True, True)
        assert (many["error"], "count is 1 to 50" in many["text"]) == (True, True)
    shown = [(it["person"], it["way"], len(it["chunks"])) for it in service.records()]
    assert shown == [(name, "mcp", len(wanted)) for name, wanted in asked]


def rpc(method: str = "tools/call", **params: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


#: What is sent, and the number of HTTP.
WRONG = {
    "no JSON": (b"{", 400), "not the protocol": ({"question": "x"}, 400), "deep": (b"[" * 100_000, 400),
    "large": (b"x" * 300_000, 413), "no UTF-8": (b'{"jsonrpc": "2.0", "id": 1, "method": "\xff"}', 400),
}  # fmt: skip


def test_what_is_wrong_gets_a_reason_and_shows_nothing(service: Service) -> None:
    service.records()
    for what, (body, status) in WRONG.items():
        found, text, _ = service.ask("/mcp", body, "ada")
        assert found == status, (what, text)
    for body in (rpc("resources/list"), rpc(name="delete", arguments={}), rpc(name="search", arguments=[])):
        status, text, _ = service.ask("/mcp", body, "ada")
        assert "error" in json.loads(text), text
    status, text, _ = service.ask("/mcp", rpc(name="search", arguments={"question": "x", "as": "ada"}), "bo")
    assert json.loads(text)["result"]["isError"], "an argument that is not there was taken"
    assert service.records() == []


def test_nobody_without_a_token_and_no_page_of_another_site_is_answered(service: Service) -> None:
    question = rpc(name="search", arguments={"question": "请假"})
    assert service.ask("/mcp", question)[0] == 401
    assert service.ask("/mcp", rpc("tools/list"))[0] == 401
    for origin, status in (("https://evil.example", 403), ("null", 403), ("http://[", 403), ("https://knowledge", 200)):
        assert service.ask("/mcp", question, "bo", more={"Origin": origin})[0] == status, origin
    assert service.ask("/mcp", None, "bo")[0] == 405  # there is nothing to listen to
