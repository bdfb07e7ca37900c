"""A stack's variables as OpenTofu would take them, read without it: variable files are literals by its own rules."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dualtrack.core import paths
from dualtrack.core.errors import BadInput


def folder(name: str) -> Path:
    """Return the directory of a stack."""
    return paths.ROOT / "terraform" / "stacks" / name


def read(where: Path, *, skip: Callable[[str], bool] = lambda _: False) -> dict[str, Any]:
    """Return the variables of the stack in a directory; files whose text ``skip`` says yes to count as not there.

    Defaults, then terraform.tfvars, then terraform.tfvars.json, then *.auto.tfvars and *.auto.tfvars.json by name.
    BadInput names the file that is damaged.
    """
    values = _defaults(where / "variables.tf")
    for file in files(where):
        if not skip(text(file)):
            values.update(values_of(file))
    return values


def chosen(setting: str) -> dict[str, Any]:
    """Return the variables of the files that the setting DUALTRACK_VARIABLES names, the last one winning."""
    found: dict[str, Any] = {}
    for word in filter(None, setting.split(":")):
        if not word.endswith(".json"):
            raise BadInput(f"DUALTRACK_VARIABLES names {word}, which is not a .json file")
        found.update(values_of(Path(word)))
    return found


def own() -> dict[str, Any]:
    """Return the variables that the operator set for this run (DUALTRACK_VARIABLES), over those of the stack."""
    return chosen(os.environ.get("DUALTRACK_VARIABLES", ""))


def of_operator(stack: str) -> dict[str, Any]:
    """Return a stack's variables as the operator has them: defaults, files, and those of this run."""
    return read(folder(stack)) | own()


def files(where: Path) -> Iterator[Path]:
    """Yield a stack's variable files, the weakest first."""
    yield from (file for name in ("terraform.tfvars", "terraform.tfvars.json") if (file := where / name).exists())
    yield from sorted([*where.glob("*.auto.tfvars"), *where.glob("*.auto.tfvars.json")], key=lambda file: file.name)


def _defaults(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for entry in declared(file):
        for name, body in entry.items():
            if "default" in body:
                found[name.strip('"')] = body["default"]
    return found


def declared(file: Path) -> list[dict[str, Any]]:
    """Return the variables that a file declares, by name: `description`, `type`, and `default` where it has one."""
    found: list[dict[str, Any]] = _hcl(file).get("variable", [])
    return found


def resources(file: Path, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the resources of one kind that a file declares: the name, and what it says of it."""
    for entry in _hcl(file).get("resource", []):
        for name, body in entry.get(kind, entry.get(f'"{kind}"', {})).items():
            yield name.strip('"'), body


def values_of(file: Path) -> dict[str, Any]:
    """Return the variables in one file."""
    if file.suffix != ".json":
        return _hcl(file)
    try:
        document = json.loads(text(file))
    except ValueError as error:
        raise BadInput(f"{file} is not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise BadInput(f"{file} holds no variables", hint='write {"name": value}')
    return document


def _hcl(file: Path) -> dict[str, Any]:
    import hcl2
    from hcl2 import SerializationOptions
    from lark.exceptions import LarkError

    plain = SerializationOptions(strip_string_quotes=True, with_comments=False)
    try:
        document: dict[str, Any] = hcl2.loads(text(file), serialization_options=plain)
    except (LarkError, ValueError) as error:
        said = str(error).strip().splitlines()[0]
        raise BadInput(f"{file} cannot be read: {said}", hint="tofu fmt finds the place") from None
    return document


def text(file: Path) -> str:
    """Return a file's text; BadInput when it cannot be read."""
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadInput(f"there is no {file}", hint="--stack or DUALTRACK_VARIABLES names it") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{file} cannot be read: {error}") from None
