#!/usr/bin/env python3
"""Write the tables of variables and outputs of each OpenTofu module's README from its .tf files; `--check` compares."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import generated
import hcl2

MODULES = Path(__file__).resolve().parents[1] / "terraform/modules"
BEGIN, END = "<!-- interface: made by ci/module_docs.py -->", "<!-- end of interface -->"


def blocks(path: Path, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the blocks of a kind in a file, each with its name, in their order."""
    for entry in hcl2.loads(path.read_text(encoding="utf-8")).get(kind, []):
        for name, body in entry.items():
            if not name.startswith("__"):
                yield name.strip('"'), body


def literal(text: str) -> str:
    """Return what a string of HCL says: the reader leaves quotes, escapes and the marks of a heredoc in it."""
    inside = text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
    if inside.startswith("<<"):
        return "\n".join(inside.splitlines()[1:-1])
    return inside.replace('\\"', '"').replace("\\\\", "\\")


def cell(text: str) -> str:
    """Return a description as one cell of a table."""
    return " ".join(literal(text).split()).replace("|", "\\|").replace("<", "&lt;")


def code(value: Any) -> str:
    """Return a type or a value as it is written in HCL."""
    if isinstance(value, str) and value.startswith("${") and value.endswith("}"):
        return f"`{value[2:-1]}`"
    return f"`{literal(value) if isinstance(value, str) else json.dumps(value)}`"


def default(body: dict[str, Any]) -> str:
    """Return a variable's default, or that it has none."""
    if "default" not in body:
        return "required"
    value = body["default"]
    return f'`"{literal(value)}"`' if isinstance(value, str) else code(value)


def tables(module: Path) -> str:
    """Return both tables."""
    lines = [BEGIN, "## Variables", "", "| Variable | Type | Default | What it is |", "| --- | --- | --- | --- |"]
    for name, body in blocks(module / "variables.tf", "variable"):
        lines.append(f"| `{name}` | {code(body['type'])} | {default(body)} | {cell(body['description'])} |")
    lines += ["", "## Outputs", "", "| Output | What it is |", "| --- | --- |"]
    for name, body in blocks(module / "outputs.tf", "output"):
        lines.append(f"| `{name}` | {cell(body['description'])} |")
    return "\n".join([*lines, END])


def main(arguments: list[str]) -> int:
    """Write or compare all modules; 1 when something differs."""
    wrong = []
    for module in sorted(path.parent for path in MODULES.glob("*/variables.tf")):
        readme = module / "README.md"
        wrong += generated.put(readme, BEGIN, END, tables(module), check="--check" in arguments)
    return generated.report(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
