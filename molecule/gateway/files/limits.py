"""One tenant asks for as much as it may while another one asks for little, on the gateway's host.

limits.py HOST KEY-FILE OTHER-KEY-FILE MODEL [whole]     the gateway's authority is /root/ca.pem

What is asked comes from the document that the gateway publishes: each field of a request at its limits, alone and in
pairs. Every time, the other tenant must be answered beside it. Then the first one gives up. Prints how much was asked.

Some schemas keep an engine busy for longer the longer the answer is: the worst ones have it write some tokens, and with
`whole` all of them have it write 200, which takes ten minutes.
"""

import contextlib
import http.client
import itertools
import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import schemas

HOST, MODEL = sys.argv[1], sys.argv[4]
KEY, OTHER = (Path(it).read_text().strip() for it in sys.argv[2:4])
TLS = ssl.create_default_context(cafile="/root/ca.pem")
COMPLETE, CHAT = "/v1/completions", "/v1/chat/completions"
#: Requests at once: more than a tenant's share of this engine.
AT_ONCE = 4
#: Where the document names no limit, the engine's context has one.
MANY, LONG = 100_000, 4096
#: Schemas by which a long answer is written, and its tokens.
BY_SCHEMA, TOKENS = ((*schemas.LARGEST, *schemas.DEEPEST), 200) if sys.argv[5:] == ["whole"] else (schemas.WORST, 40)
#: Fields that engines do not work on, and those that the gateway refuses for this model: alone, not in pairs.
NO_WORK = {"metadata", "stream_options", "chat_template_kwargs", "tools", "tool_choice"}


class Link(http.client.HTTPSConnection):
    """A connection to the gateway by its name, on this host."""

    def connect(self) -> None:
        """Connect."""
        self.sock = TLS.wrap_socket(socket.create_connection(("127.0.0.1", 443), 60), server_hostname=HOST)


def send(path: str, body: dict[str, Any], key: str) -> Link:
    """Send a request, and do not wait for its answer."""
    link = Link(HOST, context=TLS)
    link.request("POST", path, json.dumps(body), {"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
    return link


def document() -> dict[str, Any]:
    """Return what the gateway publishes."""
    with contextlib.closing(Link(HOST, context=TLS)) as link:
        link.request("GET", "/openapi.json")
        found: dict[str, Any] = json.load(link.getresponse())
    return found


def largest(name: str, schema: dict[str, Any]) -> list[Any]:
    """Return the largest values of a field, by its schema and its name."""
    if name == "response_format":
        return [in_form(it) for it in schemas.LARGEST]
    if name == "tools":
        return [[{"type": "function", "function": {"name": "x", "parameters": {}}}] * schema["maxItems"]]
    if name == "messages":
        return [[{"role": "user", "content": "x"}] * schema["maxItems"]]
    if "oneOf" in schema:
        return [value for it in schema["oneOf"] for value in largest(name, it)]
    kind = schema["type"]
    if kind == "array":
        return [[f"{number}{'x' * 60}" for number in range(schema["maxItems"])]]
    if kind == "object":
        return [{str(number): 1 for number in range(schema.get("maxProperties", 1))}]
    if kind in ("integer", "number"):
        return [schema.get("maximum", MANY)]
    return [True if kind == "boolean" else "x" * LONG]


def answered() -> str:
    """Ask as the other tenant does, and return what is wrong with the answer, if anything is."""
    with contextlib.closing(send(COMPLETE, {"model": MODEL, "prompt": "Hi", "max_tokens": 1}, OTHER)) as link:
        try:
            answer = link.getresponse()
        except OSError as error:
            return f"no answer: {error}"
        text = answer.read().decode()
        return "" if answer.status == 200 else f"{answer.status} {text[:200]}"


def asked(found: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return requests: each field alone, those of both paths once, and for conversations each two that make work."""
    requests: list[tuple[str, dict[str, Any]]] = []
    before: set[str] = set()
    for path, base in (
        (COMPLETE, {"prompt": "Once upon a time"}), (CHAT, {"messages": [{"role": "user", "content": "Tell a story"}]}),
    ):  # fmt: skip
        named = found["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        fields = found["components"]["schemas"][named.rpartition("/")[2]]["properties"]
        each = [(name, value) for name, it in fields.items() if name != "model" for value in largest(name, it)]
        whole = {"model": MODEL, "ignore_eos": True, "max_tokens": 900, **base}
        requests += [(path, {**whole, name: value}) for name, value in each if name not in before]
        if path == CHAT:
            work = [it for it in each if isinstance(it[1], list | dict) or it[0].endswith(("tokens", "logprobs"))]
            work = [it for it in work if it[0] != "response_format" or it[1] == largest(*it)[0]]
            pairs = itertools.combinations([it for it in work if it[0] not in NO_WORK], 2)
            requests += [(path, {**whole, **dict(two)}) for two in pairs if two[0][0] != two[1][0]]
        before |= fields.keys()
    return requests


def long_answer(schema: dict[str, object]) -> tuple[float, str]:
    """Have an answer written by a schema, of long tokens; return how long the other one waited, and what is wrong."""
    body = {
        "model": MODEL, "messages": [{"role": "user", "content": "Say hi"}], "max_tokens": TOKENS,
        "logit_bias": schemas.LONG_TOKENS, "response_format": in_form(schema),
    }  # fmt: skip
    longest, statuses = 0.0, list[int]()
    with contextlib.closing(send(CHAT, body, KEY)) as link:

        def read() -> None:
            answer = link.getresponse()
            answer.read()
            statuses.append(answer.status)

        reading = threading.Thread(target=read, daemon=True)
        reading.start()
        while reading.is_alive():
            began = time.monotonic()
            if said := answered():
                return longest, said
            longest = max(longest, time.monotonic() - began)
            time.sleep(0.2)
    return longest, "" if statuses == [200] else f"the answer's status is {statuses}"


def in_form(schema: dict[str, object]) -> dict[str, object]:
    """Return the form of an answer that a schema describes."""
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


def main() -> None:
    """Ask all of it; end with what went wrong."""
    requests, wrong = asked(document()), []
    waits = []
    for it in BY_SCHEMA:
        waited, said = long_answer(it)
        waits.append(waited)
        if said:
            wrong.append(f"{json.dumps(it)[:120]}: {said}")
    for path, body in requests:
        with contextlib.ExitStack() as beside:
            for _ in range(AT_ONCE):
                beside.enter_context(contextlib.closing(send(path, body, KEY)))
            if said := answered():
                wrong.append(f"{path} {sorted(body)} {str(body.get('response_format'))[:120]}: {said}")
    engines = json.loads(subprocess.check_output(["dualtrack-gateway", "status"]))["engines"]
    wrong += [f"{it['engine']} is {it['state']}" for it in engines if it["model"] == MODEL and it["state"] != "UP"]
    if wrong:
        sys.exit("\n".join(wrong))
    print(
        f"{len(waits)} schemas, answers of {TOKENS} long tokens: the other tenant waited for {max(waits):.1f} s at most"
    )
    print(f"{len(requests)} kinds of request, {AT_ONCE} of each at once, and the other tenant was answered beside all")


main()
