"""What a word means: exit codes, roles of hosts, variables of roles, fields of the facts file and of a stack, alarms.

Each is read from where it is declared: the enumerations of exit codes and of roles of hosts, the structs of the facts
file, `roles/*/meta/argument_specs.yml`, `variables.tf`, the schema of the stack's output, the alarms of the modules.
"""

from __future__ import annotations

import difflib
import functools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from dualtrack.cloud import variables
from dualtrack.core.errors import MEANING, BadInput, Exit
from dualtrack.core.paths import ROOT
from dualtrack.inventory import facts, model

STACKS = {
    "aws": "The stack of a real AWS account. `dualtrack use aws` makes it the one that commands are about.",
    "emulator": "The stack of the lab's emulated AWS API. Commands are about it unless --stack, DUALTRACK_STACK or"
    " `dualtrack use` name another one.",
}


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One meaning of a word. ``type``, ``default`` and ``choices`` are empty where it is not a value that is set."""

    kind: str
    name: str
    text: str
    where: str
    type: str = ""
    default: str = ""
    required: bool = False
    choices: tuple[str, ...] = ()


def explain(word: str, root: Path = ROOT) -> tuple[Entry, ...]:
    """Return all meanings of a word; BadInput with similar words where there is none.

    A field is found by its whole name (`base_users.uid`) or by its last part (`uid`); an alert by the name of its
    resource, and by that of the alarm, which begins with the deployment and what it is about.
    """
    every, wanted = tuple(entries(root)), word.replace("[]", "").lower()
    for names in (_whole, _last, _alarm(wanted)):
        if found := [it for it in every if wanted in names(it)]:
            return tuple(_merged(found))
    known = {name for it in every for name in (*_whole(it), *_last(it))}
    close = difflib.get_close_matches(wanted, known, n=3)
    hint = (
        f"did you mean {', '.join(close)}?"
        if close
        else "an exit code, a role, a variable, a field, a stack or an alert"
    )
    raise BadInput(f"nothing is called {word}", hint=hint)


def _merged(found: list[Entry]) -> Iterator[Entry]:
    """Yield what both stacks declare in the same words once."""
    for it in found:
        alike = [one for one in found if msgspec.structs.replace(one, where=it.where) == it]
        if it is alike[0]:
            yield msgspec.structs.replace(it, where=", ".join(one.where for one in alike))


def _name(code: Exit) -> str:
    return code.name.replace("_", " ").lower()


def _whole(entry: Entry) -> tuple[str, ...]:
    name = entry.name.lower()
    return (name, entry.where.lower()) if entry.kind == "exit code" else (name,)


def _last(entry: Entry) -> tuple[str, ...]:
    return (entry.name.lower().rpartition(".")[2],)


def _alarm(wanted: str) -> Callable[[Entry], tuple[str, ...]]:
    """Return what gives an alert the name that was asked for, where it ends as that of its alarms does."""

    def names(entry: Entry) -> tuple[str, ...]:
        ends = re.match(r"CloudWatch alarm \S+(-\w+):", entry.text) if entry.kind == "alert" else None
        return (wanted,) if ends and f"-{wanted}".endswith(ends[1].lower()) else ()

    return names


def entries(root: Path = ROOT) -> Iterator[Entry]:
    """Yield all that can be explained."""
    for code in Exit:
        yield Entry(
            kind="exit code", name=str(int(code)), text=MEANING[code], where=code.name.replace("_", " ").lower()
        )
    for name, text in STACKS.items():
        yield Entry(kind="stack", name=name, text=text, where=f"terraform/stacks/{name}")
    for role, meaning in model.ROLE_MEANING.items():
        text = f"{meaning} It is in Ansible's group `role_{role}`."
        yield Entry(kind="role of a host", name=role, text=text, where="roles of a host in the facts file")
    for file in sorted(root.glob("roles/*/meta/argument_specs.yml")):
        yield from _role(file)
    yield from _facts()
    for name in STACKS:
        yield from _variables(root / "terraform/stacks" / name / "variables.tf", root)
    yield from _schema(root / "terraform/inventory.schema.json")
    for file in sorted(root.glob("terraform/modules/*/*.tf")):
        yield from _alarms(file, root)


def _role(file: Path) -> Iterator[Entry]:
    spec = msgspec.yaml.decode(file.read_bytes())["argument_specs"]["main"]
    role, where = file.parent.parent.name, f"roles/{file.parent.parent.name}"
    text = f"{spec['short_description']}. {_text(spec.get('description', ''))}"
    yield Entry(kind="role", name=role, text=text.strip(), where=where)
    yield from _options(spec["options"], "", f"variable of role {role}", where)


def _options(options: dict[str, Any], prefix: str, kind: str, where: str) -> Iterator[Entry]:
    for name, it in options.items():
        yield Entry(
            kind=kind, name=prefix + name, text=_text(it["description"]), where=where,
            type=it["type"] + (f" of {it['elements']}" if "elements" in it else ""),
            default=_value(it["default"]) if "default" in it else "", required=bool(it.get("required")),
            choices=tuple(map(str, it.get("choices", ()))),
        )  # fmt: skip
        yield from _options(it.get("options", {}), f"{prefix}{name}.", kind, where)


def _text(description: str | list[str]) -> str:
    """Return a description as one text; Ansible's C(…) becomes code."""
    words = description if isinstance(description, str) else " ".join(description)
    return re.sub(r"C\(([^)]*)\)", r"`\1`", " ".join(words.split()))


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _facts() -> Iterator[Entry]:
    whole = msgspec.json.schema(facts.Facts, schema_hook=lambda _: {"type": "any"})  # `vars` holds anything
    kind, place = "field of the facts file", "inventories/local/facts.yml"
    yield from _fields(_inlined(whole, whole["$defs"]), "", whole["$defs"], kind, place)


def _type(schema: dict[str, Any]) -> str:
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    named = schema.get("type") or " or ".join(_type(it) for it in schema.get("anyOf", ()))
    limits = [f"{word} {schema[key]}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in schema]
    return " ".join([str(named or ("object" if "$ref" in schema else "string")), *limits])


def _choices(schema: dict[str, Any]) -> tuple[str, ...]:
    return tuple(map(str, schema.get("enum") or schema.get("items", {}).get("enum", ())))


def _variables(file: Path, root: Path) -> Iterator[Entry]:
    for entry in variables.declared(file):
        for name, body in entry.items():
            yield Entry(
                kind="variable of a stack", name=name.strip('"'), text=str(body.get("description", "")),
                where=str(file.relative_to(root)), type=" ".join(str(body.get("type", "")).strip("${}").split()),
                default=_value(body["default"]) if "default" in body else "", required="default" not in body,
            )  # fmt: skip


def _schema(file: Path) -> Iterator[Entry]:
    whole = json.loads(file.read_bytes())
    place = f"terraform/{file.name}"
    yield Entry(kind="document", name="inventory", text=f"{whole['title']}. {whole['description']}", where=place)
    yield from _fields(whole, "inventory.", whole.get("$defs", {}), "field of a stack's output", place)


def _fields(schema: dict[str, Any], prefix: str, defs: dict[str, Any], kind: str, place: str) -> Iterator[Entry]:
    """Yield the fields of a JSON schema's object, and those of what is in them."""
    for name, raw in schema.get("properties", {}).items():
        it = _inlined(raw, defs)
        default = it.get("const", it.get("default"))
        yield Entry(
            kind=kind, name=prefix + name, text=it.get("description", ""), where=place,
            type="constant" if "const" in it else _type(it), default="" if default is None else _value(default),
            required=name in schema.get("required", ()), choices=_choices(it),
        )  # fmt: skip
        for inner in (it, it.get("additionalProperties"), it.get("items")):
            if isinstance(inner, dict):
                yield from _fields(_inlined(inner, defs), f"{prefix}{name}.", defs, kind, place)


def _inlined(schema: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    """Return a schema with what it refers to."""
    reference = schema.get("$ref", "")
    return {**defs.get(reference.rpartition("/")[2], {}), **schema} if reference else schema


def _alarms(file: Path, root: Path) -> Iterator[Entry]:
    if "aws_cloudwatch_metric_alarm" not in file.read_text(encoding="utf-8"):
        return
    for name, body in variables.resources(file, "aws_cloudwatch_metric_alarm"):
        shown = functools.partial(re.sub, r"\$\{(?:var\.|each\.)?(\w+)\}", lambda it: it[1].upper())
        text = f"CloudWatch alarm {shown(body['alarm_name'])}: {shown(body['alarm_description'])}"
        yield Entry(kind="alert", name=name, text=text, where=str(file.relative_to(root)))
