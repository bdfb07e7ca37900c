"""Asks a gateway for what nobody should: hostile.py HOST KEY-FILE MODEL, on its host; its authority is /root/ca.pem.

Everything is answered with the right status, in the form that OpenAI's clients understand. Prints how much was asked.
"""

import contextlib
import http.client
import json
import select
import socket
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import schemas

HOST, KEY, MODEL = sys.argv[1], Path(sys.argv[2]).read_text().strip(), sys.argv[3]
TLS = ssl.create_default_context(cafile="/root/ca.pem")
COMPLETE, CHAT, EMBED = "/v1/completions", "/v1/chat/completions", "/v1/embeddings"


class Link(http.client.HTTPSConnection):
    """A connection to the gateway by its name, on this host."""

    def connect(self) -> None:
        """Connect."""
        self.sock = TLS.wrap_socket(socket.create_connection(("127.0.0.1", 443), 60), server_hostname=HOST)


def ask(path: str, body: object, key: str = KEY) -> tuple[int, str]:
    """Return the status and the text of an answer to a body: bytes as they are, anything else as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    with contextlib.closing(Link(HOST, context=TLS)) as link:
        link.request("POST", path, data, {"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
        answer = link.getresponse()
        return answer.status, answer.read().decode()


def raw(data: bytes) -> tuple[int, str]:
    """Return the status and the text of an answer to bytes."""
    with TLS.wrap_socket(socket.create_connection(("127.0.0.1", 443), 60), server_hostname=HOST) as link:
        with contextlib.suppress(OSError):  # it may have answered and closed before all is sent
            link.sendall(data)
        answer = http.client.HTTPResponse(link)
        answer.begin()
        return answer.status, answer.read().decode()


def deep(levels: int, leaf: object = 1) -> object:
    """Return a list in a list in a list."""
    for _ in range(levels):
        leaf = [leaf]
    return leaf


def schema(levels: int) -> dict[str, object]:
    """Return the schema of lists in lists."""
    found: dict[str, object] = {"type": "string"}
    for _ in range(levels):
        found = {"type": "array", "items": found}
    return alone(found)


def alone(found: object) -> dict[str, object]:
    """Return the form of an answer that a schema describes."""
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": found}}


def described(inner: object) -> dict[str, object]:
    """Return the schema of an answer with one field."""
    return alone({"type": "object", "properties": {"a": inner}})


def deep_text(opening: str, closing: str, count: int) -> bytes:
    """Return a request with a value that is nested deeper than Python would write."""
    return f'{{"model": "{MODEL}", "prompt": "x", "metadata": {opening * count}1{closing * count}}}'.encode()


def said(*parts: object) -> list[object]:
    """Return messages of one person, in parts."""
    return [{"role": "user", "content": parts}]


SAY = [{"role": "user", "content": "Say hi"}]
#: Fields of llama.cpp's and vLLM's that are not offered: some end an engine, some cost gigabytes.
NOT_OFFERED = {
    "grammar": "root ::= " + "(" * 100_000 + '"a"' + ")" * 100_000, "json_schema": {}, "repeat_last_n": 60_000_000,
    "dry_penalty_last_n": 60_000_000, "n_predict": -1, "n_probs": 100_000, "cache_prompt": False, "id_slot": 0,
    "samplers": [], "lora": [], "mirostat": 2, "n_keep": -1, "t_max_predict_ms": 1, "return_tokens": True,
    "post_sampling_probs": True, "timings_per_token": True, "reasoning_format": "zzz", "guided_regex": "(a+)+",
    "guided_grammar": "x", "structured_outputs": {}, "prompt_logprobs": 100, "use_beam_search": True, "extra_body": {},
    "kv_transfer_params": {}, "echo_tokens": 1, "": 1, "model ": "x", "Model": "x", "mod\u0435l": "x", "a" * 5000: 1,
    'x"': 1, "x\n": 1, "%[var(txn.key)]": 1,
}  # fmt: skip
#: Each of these, or a few hundred beside each other, kept llama.cpp's only loop busy for minutes.
PATTERNS = (
    "^(a?b?c?d?e?f?g?h?){999}$", "^(a?){999}$", "^(a|b|ab|[a-z]|.*){1000}$", "^(.*)*$", "^(.?)+$", "^" + "a?" * 9 + "$",
    "^" + "a|" * 9 + "a$", "^" + ".{0,999}" * 9 + "$",
)  # fmt: skip


def circle(word: str, length: int) -> dict[str, object]:
    """Return a schema whose definitions lead to each other in a circle, without a value in between."""
    steps = [{"$ref": f"#/$defs/a{(it + 1) % length}"} for it in range(length)]
    each = steps if word == "$ref" else [{word: [it]} for it in steps]
    return {"$defs": {f"a{number}": it for number, it in enumerate(each)}, **steps[-1]}


def spelled(word: str) -> dict[str, object]:
    """Return a circle that has a value in between, and the same by way of a keyword."""
    inner = {"$ref": "#/$defs/a"}
    found = {"type": "object", "properties": {"x": {word: [inner]} if word != "$ref" else inner}}
    return {"$defs": {"a": found}, "$ref": "#/$defs/a"}


#: Each of these ended llama.cpp, or took its memory, or its loop for a minute.
SCHEMAS = (
    *(circle(word, length) for word in ("$ref", "allOf", "anyOf", "oneOf") for length in (1, 2, 3)), spelled("allOf"),
    {"$ref": "#"}, {"$ref": "#/$defs/none"}, {"$ref": "http://127.0.0.1/x"}, {"$ref": ["#"]}, {"$ref": "a"},
    *({f"min{it}": 3, f"max{it}": 2} for it in ("Items", "Length", "Properties")), {"minimum": 3, "maximum": 2},
    {"exclusiveMinimum": 3, "maximum": 2}, {"minimum": 3, "exclusiveMaximum": 2}, {"minItems": -1}, {"maxItems": "1"},
    {"pattern": "^a{5,2}$"}, {"pattern": "^a{ 5 , 2 }$"}, {"pattern": 7}, {"type": ["integer"] * 2}, {"type": ["none"]},
    {"type": ["string", ["string"]]}, {"properties": {str(it): {"type": ["string", "number"]} for it in range(17)}},
    {"anyOf": 7}, {"properties": [1, {"minItems": 3, "maxItems": 2}]}, {"items": [{"minItems": 3, "maxItems": 2}]},
    {"properties": {"a" * 129: {}}, "additionalProperties": {"type": "string"}}, {"enum": [{"a" * 129: 1}]},
    {"items": {"x-" + "a" * 127: 1}},
    *({it: {}} for it in ("not", "if", "patternProperties", "contains", "dependentSchemas", "propertyNames", "", "a")),
)  # fmt: skip
#: Programs write these (Pydantic, zod): a tree, definitions, names that are keywords elsewhere.
RIGHT_SCHEMAS = (
    spelled("$ref"), spelled("anyOf"),
    {"$defs": {"a": {"title": "A", "properties": {"b": {"type": ["string", "null"], "default": None}}}},
     "type": "object", "properties": {"a": {"$ref": "#/$defs/a"}, "old": {"allOf": [{"$ref": "#/$defs/a"}]}},
     "additionalProperties": False, "required": ["a"], "$schema": "https://json-schema.org/draft/2020-12/schema"},
    {"type": "object", "properties": {it: {"type": "string"} for it in ("pattern", "minItems", "$ref", "not", "if")}},
    {"type": "array", "minItems": 1, "maxItems": 1, "items": {"type": "integer", "minimum": 0, "maximum": 0}},
    {"type": "object", "properties": {"a" * 128: {"type": "string"}}, "additionalProperties": {"type": "string"}},
)  # fmt: skip
#: What templates read besides what is meant for them.
FOR_TEMPLATES = (
    {"messages": [{}] * 10_800}, {"messages": "x"}, {"tools": "x"}, {"chat_template": "{{ messages }}"}, {"a": {}},
    {"a": "x" * 257}, {str(it): 1 for it in range(17)},
)  # fmt: skip
#: Special tokens of a model's vocabulary, some with a text between two: with each, llama.cpp copies the whole prompt.
SPECIALS = (
    "<|im_start|>",
    "a<|im_end|>",
    "<file_sep>x",
    "<reponame>",
    "</s> ",
    "<\uff5cUser\uff5c>",
    "[INST]",
    "<|im_start|>" * 20 + "word " * 9,
)


def called(arguments: object) -> dict[str, object]:
    """Return a talk in which a model has called a tool with some arguments."""
    call = {"id": "1", "type": "function", "function": {"name": "x", "arguments": arguments}}
    return {"messages": [*SAY, {"role": "assistant", "content": "", "tool_calls": [call]}]}


def in_all_places(text: str) -> Iterator[dict[str, object]]:
    """Yield requests with a text wherever a template may write one: contents, and the names and values of arguments."""
    escaped = text.replace("<", "\\u003c").replace("[", "\\u005B").replace("/", "\\/").replace("\uff5c", "\\uff5c")
    yield {"messages": [{"role": "user", "content": text}]}
    yield {"messages": said({"type": "text", "text": text})}
    yield {"messages": [{"role": "system", "content": text}, *SAY]}
    for it in (text, escaped):
        yield called(f'{{"a": "{it}"}}')
        yield called(f'{{"{it}": 1}}')
    yield called({"a": text})
    yield called({text: 1})
    yield called({"a": [{text: [text]}]})


#: What the gateway lets through and an engine refuses.
ENGINE_REFUSES = (
    {"max_tokens": 1e300}, {"stop": [1]}, {"stream_options": {"include_usage": "x"}, "stream": True},
    {"messages": [{"role": "user"}]}, {"messages": [{"role": "user", "content": 7}]},
    {"chat_template_kwargs": {"enable_thinking": 'a"\\\u00fc\n'}}, {"response_format": described({"type": "nothing"})},
)  # fmt: skip
WRONG_VALUES = {
    COMPLETE: [
        {"n": 1000}, {"n": 2}, {"best_of": 5}, {"prompt": ["x"] * 2000}, {"prompt": ["a", "b"]}, {"prompt": [1, 2]},
        {"prompt": {"a": 1}}, {"max_tokens": "many"}, {"max_tokens": -5}, {"stop": ["x"] * 17}, {"stop": {"a": 1}},
        {"logprobs": 100_000}, {"logit_bias": {str(it): 1 for it in range(2000)}}, {"stream": "yes"}, {"user": 7},
        {"prompt": "word " * 2000}, *({"prompt": it * (900_000 // len(json.dumps(it)))} for it in SPECIALS),
        {"metadata": {str(it): "x" for it in range(17)}},
    ],
    CHAT: [
        *(it for text in SPECIALS for it in in_all_places(text * (400_000 // len(json.dumps(text))))),
        {"messages": []}, {"messages": SAY * 1025}, {"messages": "x"}, {"messages": [1]}, {"messages": [{}]},
        {"messages": said(*[{"type": "text", "text": "x"}] * 1025)},
        {"messages": said({"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}})},
        {"messages": said({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}})},
        {"response_format": schema(100)}, {"response_format": described({"type": "string", "maxLength": 10**9})},
        {"response_format": described({"type": "array", "minItems": 5000})},
        {"response_format": described({"type": "string", "pattern": "^(a{1,9999}){1,9999}$"})},
        {"response_format": described({"type": "string", "pattern": "^" + "(" * 300 + ")" * 300 + "$"})},
        {"response_format": described({"enum": [str(it) for it in range(9000)]})},
        {"response_format": described({"enum": ["x" * 200 + str(it) for it in range(200)]})},
        {"response_format": described({"type": "object", "properties": {f"p{it}": {} for it in range(600)}})},
        {"response_format": described({"anyOf": [{"type": "integer", "minimum": it} for it in range(33)]})},
        {"response_format": described({"items": {"oneOf": [{"oneOf": [{}] * 17}, {"oneOf": [{}] * 17}]}})},
        *({"response_format": described(schemas.text(it))} for it in (*PATTERNS, *schemas.ambiguous_patterns())),
        *({"response_format": alone(it)} for it in (*schemas.ambiguous_choices(), *schemas.ambiguous_circles())),
        *({"response_format": alone(it)} for it in SCHEMAS), {"response_format": {"type": "json_object", "x": 1}},
        {"response_format": {"type": "json_object", "schema": SCHEMAS[0]}}, {"response_format": 7}, {"tools": [7]},
        *({"tools": [{"type": "function", "function": {"name": "x", "parameters": it}}]} for it in SCHEMAS),
        *({"chat_template_kwargs": it} for it in FOR_TEMPLATES),
        {"tools": [{"type": "function", "function": {"name": "x", "parameters": {}}}] * 129},
        {"tools": [{"type": "function", "function": {"name": "x", "parameters": {"maxItems": 10**9}}}]},
        {"chat_template_kwargs": {"a": deep(200)}}, {"top_logprobs": 10**6, "logprobs": True},
    ],
}  # fmt: skip
NO_JSON = [
    b"", b"{", b"[]", b"7", b'"x"', b"null", b"\xff\xfe", b'{"model": "\xff"}', b"{}", b'{"model": null}',
    b'{"model": "' + MODEL.encode() + b'", "prompt": "\\ud800"}', b'{"prompt": NaN, "model": "x"}',
    deep_text("[", "]", 100), deep_text("[", "]", 30_000), deep_text('{"a":', "}", 30_000), b"[" * 500_000,
]  # fmt: skip
NO_MODEL = [
    7,
    {},
    [],
    True,
    "",
    "gpt-4",
    f"{MODEL}\0",
    f"{MODEL}\0x",
    f" {MODEL}",
    f"{MODEL}/../x",
    "x" * 9000,
    "%[path]",
]
HEAD = f"Host: {HOST}\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"
BODY = json.dumps({"model": MODEL, "prompt": "The capital of France is", "max_tokens": 4})
LENGTH = f"Content-Length: {len(BODY)}\r\n\r\n{BODY}"
POST = f"POST {COMPLETE} HTTP/1.1\r\n{HEAD}"
#: Types of which llama.cpp reads a body as a form, and a body that is JSON and, of the first type, a form.
FORMS = (
    "multipart/form-data; boundary=x",
    "application/x-www-form-urlencoded",
    "text/plain",
    "application/json; charset=x",
)
PART = "\r\n--x\r\nContent-Disposition: form-data; name={}\r\n\r\n{}"
FORM = BODY[:-1] + f', "user": "{PART.format("prompt", "Hi")}{PART.format("grammar", "root ::= [0-9]")}\r\n--x--\r\n"}}'
PATHS = (
    "/v1/%63ompletions", "/v1//completions", "/v1/x/../completions", "/v1/completions/", "/v1/completions;x",
    "/V1/completions",
)  # fmt: skip
#: What is asked in bytes, and which statuses are right.
RAW = [
    (f"GET /{'a' * 9000} HTTP/1.1\r\n{HEAD}\r\n", {414}), (f"get / HTTP/1.1\r\n{HEAD}\r\n", {400, 405}),
    (f"CONNECT {HOST}:443 HTTP/1.1\r\n{HEAD}\r\n", {400, 405}), (f"OPTIONS * HTTP/1.1\r\n{HEAD}\r\n", {400, 404, 405}),
    (f"POST {COMPLETE} HTTP/3.0\r\n{HEAD}{LENGTH}", {505}), (f"{POST}Transfer-Encoding: gzip\r\n\r\n{BODY}", {501}),
    (f"{POST}Expect: nothing\r\n{LENGTH}", {200, 417}), (f"{POST}If-Match: x\r\n{LENGTH}", {200}),
    (f"{POST}Transfer-Encoding: chunked\r\n{LENGTH}", {400}), (f"{POST}Content-Length: 1\r\n{LENGTH}", {400}),
    (POST + "".join(f"X-{it}: {it}\r\n" for it in range(500)) + LENGTH, {200}),
    (f"{POST}Content-Encoding: gzip\r\n{LENGTH}", {200}), (f"{POST}X-Long: {'a' * 40_000}\r\n{LENGTH}", {400, 494}),
    (f"POST /openapi.json HTTP/1.1\r\n{HEAD}{LENGTH}", {405}),
    *((f"POST {it} HTTP/1.1\r\n{HEAD}{LENGTH}", {404}) for it in PATHS),
    (f"POST {COMPLETE} HTTP/1.1\r\nAuthorization: Bearer wrong\r\n{HEAD}{LENGTH}", {400, 401}),
    *((f"{POST.replace('Bearer ', it)}{LENGTH}", {200}) for it in ("BEARER ", "bearer    ", "Bearer  ", "")),
    *((f"{POST.replace('Bearer ', it)}{LENGTH}", {401}) for it in ("x,Bearer ", ",Bearer ", "\tBearer ", "Bearer\t")),
    *((f"{POST.replace('application/json', it)}{LENGTH}", {200}) for it in FORMS),
    *((f"{POST.replace('application/json', it)}Content-Length: {len(FORM)}\r\n\r\n{FORM}", {400}) for it in FORMS),
]  # fmt: skip


#: Requests with one key that the gateway takes at once (gateway_connections_per_key), and how many more are tried.
AT_ONCE, MORE = 256, 8


def crowd() -> int:
    """Send more requests at once with one key, each written in another way, than are taken; return how many are not."""
    with contextlib.ExitStack() as stack:
        waiting = select.poll()
        for number in range(AT_ONCE + MORE):
            plain = socket.create_connection(("127.0.0.1", 443), 60)
            link = stack.enter_context(TLS.wrap_socket(plain, server_hostname=HOST))
            scheme = ("Bearer", "bearer", "BEARER")[number % 3] + " " * (number // 3 + 1)
            link.sendall(f"{POST.replace('Bearer ', scheme)}Content-Length: 99\r\n\r\n{{".encode())
            waiting.register(link, select.POLLIN)
        refused: set[int] = set()
        while len(refused) < MORE and (ready := waiting.poll(5000)):
            for handle, _ in ready:
                refused.add(handle)
                waiting.unregister(handle)
        return len(refused)


def published(path: str) -> set[str]:
    """Return the fields that a path takes, by the document that the gateway publishes."""
    with contextlib.closing(Link(HOST, context=TLS)) as link:
        link.request("GET", "/openapi.json")
        found = json.load(link.getresponse())
    named = found["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    return set(found["components"]["schemas"][named.rpartition("/")[2]]["properties"])


def shaped(text: str) -> bool:
    """Return whether a text is an error as OpenAI's API has it."""
    try:
        [error] = json.loads(text).values()
        return (
            error.keys() == {"message", "type", "param", "code"}
            and all(isinstance(error[name], str) and error[name] for name in ("message", "type"))
            and all(error[name] is None or isinstance(error[name], str) for name in ("param", "code"))
        )
    except (ValueError, AttributeError, TypeError):
        return False


def main() -> None:
    """Ask all of it; end with a reason where something is answered otherwise."""
    asked = 0
    wrong = []

    def expect(what: object, found: tuple[int, str], right: set[int]) -> None:
        nonlocal asked
        asked += 1
        status, text = found
        if status not in right or (status != 200 and not shaped(text)):
            wrong.append(f"{str(what)[:120]}: {status} {text[:160]}")

    for name, value in NOT_OFFERED.items():
        expect({name[:40]: value}, ask(COMPLETE, {"model": MODEL, "prompt": "x", name: value}), {400})
        expect({name[:40]: value}, ask(CHAT, {name: value, "model": MODEL, "messages": SAY}), {400})
    for path, values in (*WRONG_VALUES.items(), (CHAT, ENGINE_REFUSES)):
        for it in values:
            whole = {
                "model": MODEL,
                "max_tokens": 4,
                **({"prompt": "x"} if path == COMPLETE else {"messages": SAY}),
                **it,
            }
            expect(it, ask(path, whole), {400})
    for body in NO_JSON:
        for path in (COMPLETE, CHAT, EMBED):
            expect(body, ask(path, body), {400})
    for size in (1, 200_000, 600_000, 900_000):
        for _ in range(8):
            expect(f"a wrong key, {size}", ask(COMPLETE, {"prompt": "x" * size}, "wrong"), {401})
            expect(f"no such model, {size}", ask(COMPLETE, {"model": "gpt-4", "prompt": "x " * (size // 2)}), {404})
    for model in NO_MODEL:
        expect(model, ask(COMPLETE, {"model": model, "prompt": "x"}), {404})
    for text, right in RAW:
        expect(text, raw(text.encode()), right)
    if (found := crowd()) < MORE:
        wrong.append(f"{found} of {MORE} requests beyond the limit of a key were refused")
    # Of two models the last one counts, for the gateway as for the engine.
    expect("two models", ask(COMPLETE, f'{{"model": "{MODEL}", "model": "gpt-4", "prompt": "x"}}'.encode()), {404})
    expect(
        "two models",
        ask(COMPLETE, f'{{"model": "gpt-4", "mod\\u0065l": "{MODEL}", "prompt": "x", "max_tokens": 1}}'.encode()),
        {200},
    )
    # What is right passes: a long talk, a deep schema before the model, and fields of other engines.
    fine = {"response_format": schema(10), "model": MODEL, "messages": SAY * 20, "max_tokens": 4, "user": "\u00fc/x"}
    expect(fine, ask(CHAT, fine), {200})
    common = [schemas.choice([schemas.text(it)] * 32) for it in schemas.COMMON]
    for it in (*RIGHT_SCHEMAS, *schemas.CIRCLES, *map(schemas.text, schemas.REAL), *common):
        expect(it, ask(CHAT, {"model": MODEL, "messages": SAY, "max_tokens": 4, "response_format": alone(it)}), {200})
    expect(
        "one in a list",
        ask(COMPLETE, {"prompt": ["x"], "model": MODEL, "max_tokens": 1, "top_k": 1, "stop": None}),
        {200},
    )
    for path, base in ((COMPLETE, {"prompt": "x"}), (CHAT, {"messages": SAY})):
        for name in sorted(published(path) - base.keys() - {"model", "max_tokens"}):
            expect(f"{path}: {name}", ask(path, {"model": MODEL, "max_tokens": 1, **base, name: None}), {200})
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{asked} asked, all answered as they should be")


main()
