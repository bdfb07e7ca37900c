"""What terraform/ writes: every argument and block of every resource, and the check of it against a schema."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hcl2

# OpenTofu's own, of every resource; the provider does not know them.
META = {"for_each", "count", "provider", "depends_on"}
META_BLOCKS = {"lifecycle", "provisioner", "connection"}


@dataclass(frozen=True)
class Usage:
    """One resource or data source: where it stands, and what is written in it."""

    file: str
    mode: str
    type: str
    name: str
    body: dict[str, Any]


def usages(root: Path) -> list[Usage]:
    """Return every resource and data source in the .tf files under ``root``."""
    found = []
    for path in sorted(root.rglob("*.tf")):
        if not path.is_symlink():
            found += read(path.read_text(), str(path.relative_to(root)))
    return found


def read(text: str, file: str) -> list[Usage]:
    """Return every resource and data source in one file's text."""
    document = hcl2.loads(text)
    found = []
    for mode in ("resource", "data"):
        for entry in document.get(mode, []):
            for type_, named in _labels(entry):
                for name, body in _labels(named):
                    found.append(Usage(file, mode, type_, name, body))
    return found


def findings(usage: Usage, schema: dict[str, Any]) -> list[str]:
    """Return a line for each argument or block that the provider does not know, and for each required one missing."""
    where = f"{usage.file}: {usage.mode} {usage.type}.{usage.name}"
    block = schema.get(usage.mode, {}).get(usage.type)
    if block is None:
        return [f"{where}: provider {schema['version']} has no such type"]
    return [f"{where}: {line} provider {schema['version']}" for line in _compare(usage.body, block, "", top=True)]


def _compare(body: dict[str, Any], schema: dict[str, Any], path: str, *, top: bool = False) -> Iterator[str]:
    written = set()
    for name, content in _items(body):
        if top and (name in META or name in META_BLOCKS):
            continue
        written.add(name)
        if _is_block(content):
            inner = schema["blocks"].get(name)
            if inner is None:
                yield f"{path}{name} {{}} is a block unknown to"
                continue
            for part in content:
                yield from _compare(part, inner, f"{path}{name}.")
        elif name not in schema["arguments"]:
            yield f"{path}{name} is an argument unknown to"
    for kind in ("arguments", "blocks"):
        for name, entry in schema[kind].items():
            if entry["required"] and name not in written:
                yield f"{path}{name} is missing, and required by"


def _items(body: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what a block holds, dynamic blocks as what they become."""
    for name, content in body.items():
        if name.startswith("__"):  # the reader's own marks
            continue
        if name == "dynamic":
            for entry in content:
                for label, dynamic in _labels(entry):
                    yield label, dynamic["content"]
        else:
            yield name, content


def _labels(entry: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, content in entry.items():
        if not name.startswith("__"):
            yield name.strip('"'), content


def _is_block(content: Any) -> bool:
    return isinstance(content, list) and any(isinstance(part, dict) and part.get("__is_block__") for part in content)
