"""Schemas of answers (JSON Schema), for hostile.py and limits.py: what programs write, what keeps llama.cpp busy.

Refused is what ends llama.cpp, takes its memory, or keeps its only loop busy: of that kind are schemas whose text can
be read in ever more ways, the longer it is. They come from generators: a list of cases has the known ones only.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

Schema = dict[str, object]

#: Patterns that programs write: each passes alone, and those of `COMMON` as each of many choices.
COMMON = (
    r"^\d{4}-\d{2}-\d{2}$", "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$",
    "^[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$", r"^\+?[1-9][0-9]{1,14}$",
    r"^\+?[0-9 ()-]{7,20}$", r"^[0-9]+\.[0-9]+\.[0-9]+$", r"^[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}$",
    "^[A-Za-z_][A-Za-z0-9_]*$", "^[a-z][a-z0-9-]{0,62}$", "^.{1,200}$", "^.*$", "^[^\n]{0,999}$",
    "^s3://[a-z0-9.-]{3,63}/.{1,999}$", r"^https?://[^\s]+$", "^https?://[a-z0-9.-]+/.*$",
    "^[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}$", "^#[0-9a-fA-F]{6}$", "^[A-Z][a-z]+ [A-Z][a-z]+$", "^[0-9]{5}-?[0-9]{0,4}$",
    "^[A-Z]{3}-[0-9]{1,6}$", "^[0-9]{13,19}$", "^[A-Za-z ,.'-]+$",
)  # fmt: skip
REAL = (
    *COMMON, r"^[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}$", r"^[^@ ]+@[^@ ]+\.[^@ ]+$",
    r"^[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,255}\.[A-Za-z]{2,63}$", r"^v?[0-9]+\.[0-9]+\.[0-9]+-?[a-z0-9.]*$",
    "^(draft|review|final)$", "^(GET|POST|PUT|DELETE) /[a-zA-Z0-9/_-]*$", r"^-?[0-9]+\.?[0-9]*$", r"^\S.*\S$",
    r"^\s*\S.*$", "^.+ .+$",
)  # fmt: skip


def text(pattern: str) -> Schema:
    """Return the schema of a text."""
    return {"type": "string", "pattern": pattern}


def array(of: object, **more: object) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": of, **more}


def fields(**of: object) -> Schema:
    """Return the schema of an object."""
    return {"type": "object", "properties": of}


def choice(of: list[Schema]) -> Schema:
    """Return the schema of one of several."""
    return {"anyOf": of}


def ambiguous_patterns() -> Iterator[str]:
    """Yield patterns of parts that are repeated side by side and match the same letters."""
    parts = (".", "[^a]", "[a-z]", "a", r"\d", "[0-9a]", r"[^\s]")
    for part, times, count in itertools.product(parts, ("{0,999}", "*", "+", "{1,99}", "{5,}"), (4, 6, 8)):
        yield "^" + f"{part}{times}" * count + "$"
    for part, other in itertools.permutations(("[a-m]", "[f-z]", ".", "[^b]", "f"), 2):
        yield f"^{part}*{other}*{part}*{other}*$"  # each overlaps with the next one but one
        yield f"^({part}*x|{other}*){part}*{other}*{part}*$"
    yield from (
        "^" + ".{0,16}" * 4 + "$",
        "^" + ".{0,3}" * 8 + "$",
        "^.*.{999}$",
        "^.*{999}$",
        "^a{0,9}{0,9}$",
        "^.?+$",
    )


def ambiguous_choices() -> Iterator[Schema]:
    """Yield choices of patterns, each of which passes alone."""
    for pattern in ("^X*.*.*$", "^X*.{0,240}$", "^" + ".?" * 8 + "$", "^X*.{9}$", "^.{0,99}X.{0,99}$"):
        yield choice([text(pattern.replace("X", f"[^{letter}]")) for letter in "abcdefghijklmnopqrstuvwxyz012345"])


def ambiguous_circles() -> Iterator[Schema]:
    """Yield circles in which each level of a text doubles the ways to read it."""
    to: list[Schema] = [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]
    wraps: dict[str, Callable[[object], Schema]] = {
        "array": array, "object": lambda it: fields(a=it), "deep": lambda it: fields(b=array(fields(a=it))),
        "further": lambda it: {"type": "object", "additionalProperties": it},
        "prefix": lambda it: {"type": "array", "prefixItems": [{"type": "null"}, it]},
        "all": lambda it: {"allOf": [fields(a=it)]},
    }  # fmt: skip
    for wrap, word, count in itertools.product(wraps.values(), ("anyOf", "oneOf"), (2, 5, 32)):
        each: list[Schema] = [wrap(to[0]) for _ in range(count)]
        yield {**to[0], "$defs": {"a": {word: each}}}
        yield fields(x={"$ref": "#/$defs/a"}) | {"$defs": {"a": {word: [{"type": "null"}, {"anyOf": each}]}}}
    for wrap in wraps.values():
        yield {**to[0], "$defs": {"a": choice([wrap(to[0]), to[1]]), "b": wrap(to[1])}}
        yield {**to[0], "$defs": {"a": choice([wrap(to[0]), to[1]]), "b": wrap(to[0])}}
        yield {**to[0], "$defs": {"a": choice([wrap(to[0]), {}])}}


#: Programs write these: trees and expressions whose alternatives have other names.
CIRCLES = (
    {"$ref": "#/$defs/a", "$defs": {"a": choice([array({"$ref": "#/$defs/a"}), {"type": "string"}])}},
    {"$ref": "#/$defs/a", "$defs": {"a": choice([
        fields(add=array({"$ref": "#/$defs/a"})), fields(multiply=array({"$ref": "#/$defs/a"})), {"type": "number"},
    ])}},
    {"$ref": "#/$defs/a", "$defs": {"a": choice([
        fields(kind={"const": "node"}, children=array({"$ref": "#/$defs/a"})),
        fields(kind={"const": "leaf"}, value={"type": ["string", "number", "null"]}),
    ])}},
    {"$ref": "#/$defs/a", "$defs": {"a": choice([
        {"type": "object", "additionalProperties": {"$ref": "#/$defs/a"}}, array({"$ref": "#/$defs/a"}),
        {"type": ["string", "number", "boolean", "null"]},
    ])}},
)  # fmt: skip
#: At the gateway's bounds (role gateway, schema.lua), each of which is another kind of work. The first one is also sent
#: in pairs.
LARGEST: tuple[Schema, ...] = (
    {"enum": ["x" * 50 + str(it) for it in range(500)]},
    {"type": "object", "properties": {f"p{it}": {} for it in range(250)}},
    {"type": "object", "properties": {"a" * 100 + f"{it:03d}": {} for it in range(240)}},
    {"type": "object", "properties": {f"p{it}": {"type": "string", "maxLength": 1000} for it in range(160)}},
    {"anyOf": [{"type": "integer", "minimum": it - 10**9, "maximum": 10**12 + 7 * it} for it in range(32)]},
    {"properties": {f"p{it}": {"type": "integer", "minimum": it - 10**9, "maximum": 10**12} for it in range(120)}},
    {"anyOf": [{"type": "array", "items": {"type": "string", "maxLength": 1000 - it}} for it in range(32)]},
    {"anyOf": [{"type": "object", "properties": {f"p{it}": {"type": "string"} for it in range(4)}}] * 32},
    choice([text(f"^[^e{it}]*[^e]{{7}}$") for it in "abcdfghijklmnopqrstuvwxyz0123456"]),
    choice([text(f"^[^e{it}]*[^e]*[^e]*$") for it in "abc"]), text("^" + "[^e]?" * 8 + "$"),
    text("^[^e]*[^e]{240}.*$"), text("^[^e]{0,999}[^e]{0,240}$"), text("^[^e]*[^e]{247}$"),
    {"type": "array", "items": {"oneOf": [{"type": "array", "items": {"oneOf": [{"type": "string"}] * 5}}] * 5}},
    {"type": "array", "maxItems": 1000, "items": {"type": "array", "maxItems": 1000, "items": {"type": "string"}}},
    {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/a"}}, {"const": 1}]}}},
    {"$defs": {"a": {"properties": {"x": {"type": "string"}}}}, "allOf": [{"$ref": "#/$defs/a"}] * 60},
    {"type": "object", "properties": {f"p{it}": {"type": ["string", "integer", "array", "object"]} for it in range(8)}},
    {"properties": {"a" * (it % 120) + str(it): {} for it in range(200)}, "additionalProperties": {"type": "string"}},
)  # fmt: skip


def nested(levels: int, leaf: Schema) -> Schema:
    """Return the schema of lists in lists, of up to a thousand values each."""
    for _ in range(levels):
        leaf = array(leaf, maxItems=1000)
    return leaf


DEEPEST: tuple[Schema, ...] = (
    nested(25, {}),
    {"$ref": "#/$defs/a", "$defs": {"a": choice([array({"$ref": "#/$defs/a"}), nested(20, {"type": "string"})])}},
)
#: Of those, the one with the slowest first tokens and the one with the slowest later ones, as measured.
WORST: tuple[Schema, ...] = (text("^[^e]{0,999}[^e]{0,240}$"), DEEPEST[1])
#: What an answer is made of: a long token that fits most patterns, and the beginnings of lists. The first choice is one
#: that most refuse, so that the whole vocabulary is compared for each token.
LONG_TOKENS = {"-" * 32: 90, "[[": 85, "[": 80, "e": 100}
