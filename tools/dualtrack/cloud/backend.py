"""Where a stack's state is kept: a file for the emulator; for an account the bucket that backend.hcl names, locked."""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec

from dualtrack.cloud import variables
from dualtrack.cloud.opentofu import Binary
from dualtrack.core.errors import BadInput
from dualtrack.inventory import target as targets
from dualtrack.inventory.target import Stack

FILE = "backend.hcl"
#: The setting that names another key than backend.hcl does.
KEY = "DUALTRACK_STATE_KEY"


class Place(msgspec.Struct, frozen=True):
    """The bucket that keeps a state, its region, and the state's key in it."""

    bucket: str
    region: str
    key: str

    @property
    def text(self) -> str:
        """Return the backend.hcl that names this place."""
        return f'bucket  = "{self.bucket}"\nkey     = "{self.key}"\nregion  = "{self.region}"\nencrypt = true\n'


def settings(stack: Stack, state: Path, folder: Path, binary: Binary) -> tuple[Path | None, dict[str, str]]:
    """Return what init is told of the state's place: a file (None for the emulator), and settings that win over it."""
    if targets.of(stack).ephemeral:
        return None, {"path": str(state)}
    file = folder / FILE
    if not file.exists():
        raise BadInput(
            f"terraform/stacks/{stack}/{FILE} is missing: it says where the state is kept",
            hint="dualtrack cloud bootstrap makes the bucket and writes the file",
        )
    # Another deployment from the same checkout keeps its state beside: it must never be this one's.
    key = {"key": own} if (own := os.environ.get(KEY)) else {}
    return file, {**lock_settings(file.read_text(), binary.version), **key}


def lock_settings(text: str, version: tuple[int, ...]) -> dict[str, str]:
    """Return the settings to add to the S3 backend's so that two runs cannot write one state.

    ``text`` is that of backend.hcl. Lock files in the bucket exist since version 1.10 of both programs; before it a
    DynamoDB table must be named. Raises BadInput when there is neither.
    """
    found = re.sub(r"(?m)^\s*(#|//).*$", "", text)
    if re.search(r"(?m)^\s*(use_lockfile\s*=\s*true|dynamodb_table\s*=)", found):
        return {}
    if version >= (1, 10):
        return {"use_lockfile": "true"}
    raise BadInput(
        f"{FILE} names no lock, and this version cannot lock in the bucket itself",
        hint='write dynamodb_table = "…", or use OpenTofu or Terraform 1.10 or newer',
    )


def place(folder: Path) -> Place | None:
    """Return the place that the backend.hcl in a stack's directory names, None without such a file; else BadInput."""
    file = folder / FILE
    if not file.exists():
        return None
    found = variables.values_of(file)
    try:
        return msgspec.convert({name: found.get(name) for name in ("bucket", "region", "key")}, Place)
    except msgspec.ValidationError as error:
        raise BadInput(f"{file}: {error}", hint=f"{FILE}.example shows what it needs") from None
