#!/usr/bin/env python3
"""Write the variables table of each role's README from its meta/argument_specs.yml; `--check` only compares.

The specs are what Ansible itself enforces, so a table made from them cannot drift from the role. `--check` also holds
the defaults against the specs: two files say the same values, and Ansible reads only one of them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import generated
import yaml

ROLES = Path(__file__).resolve().parents[1] / "roles"
BEGIN, END = "<!-- variables: made by ci/role_docs.py -->", "<!-- end of variables -->"


def shown(value: Any) -> str:
    """Return a default as it is written in YAML."""
    return f"`{json.dumps(value, ensure_ascii=False)}`" if not isinstance(value, str) or not value else f"`{value}`"


def text(description: str | list[str]) -> str:
    """Return a description as one cell; Ansible's C(…) becomes code."""
    words = description if isinstance(description, str) else " ".join(description)
    words = " ".join(words.split()).replace("|", "\\|")
    while "C(" in words:
        before, rest = words.split("C(", 1)
        inside, after = rest.split(")", 1)
        words = f"{before}`{inside}`{after}"
    return words


def rows(options: dict[str, Any], prefix: str = "") -> list[str]:
    """Return the table's rows; the keys of a list of dictionaries follow their variable."""
    found = []
    for name, option in options.items():
        kind = option["type"] + (f" of {option['elements']}" if "elements" in option else "")
        default = "required" if option.get("required") else shown(option.get("default"))
        choices = f" One of {', '.join(f'`{choice}`' for choice in option['choices'])}." if "choices" in option else ""
        found.append(f"| `{prefix}{name}` | {kind} | {default} | {text(option['description'])}{choices} |")
        found += rows(option.get("options", {}), f"{prefix}{name}[].")
    return found


def table(specs: dict[str, Any]) -> str:
    """Return the table of a role's variables."""
    head = ["| Variable | Type | Default | What it is |", "| --- | --- | --- | --- |"]
    return "\n".join([BEGIN, *head, *rows(specs["argument_specs"]["main"]["options"]), END])


def main(arguments: list[str]) -> int:
    """Write or compare all roles; 1 when something differs."""
    wrong = []
    for specs_file in sorted(ROLES.glob("*/meta/argument_specs.yml")):
        role = specs_file.parent.parent
        specs = yaml.safe_load(specs_file.read_text(encoding="utf-8"))
        defaults = yaml.safe_load((role / "defaults/main.yml").read_text(encoding="utf-8"))
        options = specs["argument_specs"]["main"]["options"]
        expected = {name: option["default"] for name, option in options.items() if "default" in option}
        if expected != defaults:
            names = [name for name in expected.keys() | defaults.keys() if expected.get(name) != defaults.get(name)]
            wrong.append(f"{role.name}: defaults/main.yml and the specs differ in {', '.join(sorted(names))}")
        readme = role / "README.md"
        wrong += generated.put(readme, BEGIN, END, table(specs), check="--check" in arguments)
    return generated.report(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
