"""One tenant asks for as much as it may while another one asks for little, on the gateway's host.

limits.py HOST KEY-FILE OTHER-KEY-FILE MODEL     the gateway's authority is /root/ca.pem

What is asked comes from the document that the gateway publishes: each field of a request at its limits, alone and in
pairs. Every time, the other tenant must be answered beside it. Then the first one gives up. Prints how much was asked.
"""

import contextlib
import http.client
import itertools
import json
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

HOST, MODEL = sys.argv[1], sys.argv[4]
KEY, OTHER = (Path(it).read_text().strip() for it in sys.argv[2:4])
TLS = ssl.create_default_context(cafile="/root/ca.pem")
COMPLETE, CHAT = "/v1/completions", "/v1/chat/completions"
#: Requests at once: more than a tenant's share of this engine.
AT_ONCE = 4
#: Where the document names no limit, the engine's context has one.
MANY, LONG = 100_000, 4096
#: Schemas at the gateway's bounds (role gateway, request.lua), each of which is another kind of work. The first one is
#: also sent in pairs.
SCHEMAS = (
    {"enum": ["x" * 50 + str(it) for it in range(500)]},
    {"type": "object", "properties": {f"p{it}": {} for it in range(250)}},
    {"type": "object", "properties": {f"p{it}": {"type": "string", "maxLength": 1000} for it in range(160)}},
    {"anyOf": [{"type": "integer", "minimum": it - 10**9, "maximum": 10**12 + 7 * it} for it in range(32)]},
    {"anyOf": [{"type": "array", "items": {"type": "string", "maxLength": 1000 - it}} for it in range(32)]},
    {"anyOf": [{"type": "object", "properties": {f"p{it}": {"type": "string"} for it in range(4)}}] * 32},
    {"anyOf": [{"type": "string", "pattern": f"^{sign * 8}$"} for sign in ("a?", "a*", ".?", "a{0,999}") * 8]},
    {"type": "array", "items": {"oneOf": [{"type": "array", "items": {"oneOf": [{"type": "string"}] * 5}}] * 5}},
    {"type": "array", "maxItems": 1000, "items": {"type": "array", "maxItems": 1000, "items": {"type": "string"}}},
    {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/a"}}] * 32}}},
    {"$defs": {"a": {"properties": {"x": {"type": "string"}}}}, "allOf": [{"$ref": "#/$defs/a"}] * 60},
    {"type": "object", "properties": {f"p{it}": {"type": ["string", "integer", "array", "object"]} for it in range(8)}},
    {"properties": {"a" * (it % 120) + str(it): {} for it in range(200)}, "additionalProperties": {"type": "string"}},
)
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
        return [{"type": "json_schema", "json_schema": {"name": "x", "schema": it}} for it in SCHEMAS]
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


def main() -> None:
    """Ask all of it; end with what went wrong."""
    requests, wrong = asked(document()), []
    for path, body in requests:
        with contextlib.ExitStack() as beside:
            for _ in range(AT_ONCE):
                beside.enter_context(contextlib.closing(send(path, body, KEY)))
            if said := answered():
                wrong.append(f"{path} {sorted(body)}: {said}")
    engines = json.loads(subprocess.check_output(["dualtrack-gateway", "status"]))["engines"]
    wrong += [f"{it['engine']} is {it['state']}" for it in engines if it["model"] == MODEL and it["state"] != "UP"]
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{len(requests)} kinds of request, {AT_ONCE} of each at once, and the other tenant was answered beside all")


main()
