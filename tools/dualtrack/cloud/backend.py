"""Where a stack's state is kept: a file for the emulator; for an account the bucket that backend.hcl names, locked."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from dualtrack.cloud import variables
from dualtrack.cloud.opentofu import Binary
from dualtrack.core.errors import BadInput
from dualtrack.inventory import target as targets
from dualtrack.inventory.target import Stack

FILE = "backend.hcl"
#: Settings by which OpenTofu reaches the bucket with other credentials, or elsewhere, than the operator's own calls.
OTHERWISE = (
    "profile", "role_arn", "assume_role", "assume_role_with_web_identity", "access_key", "secret_key", "token",
    "shared_credentials_file", "shared_credentials_files", "shared_config_files", "endpoint", "endpoints",
)  # fmt: skip
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]")
#: The setting that names another key than backend.hcl does.
KEY = "DUALTRACK_STATE_KEY"


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """The bucket that keeps a state, its region, and the state's key in it.

    ``otherwise`` names the settings by which OpenTofu reaches it in another way than this program.
    """

    bucket: str
    region: str
    key: str
    otherwise: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Return the backend.hcl that names this place."""
        return f'bucket  = "{self.bucket}"\nkey     = "{self.key}"\nregion  = "{self.region}"\nencrypt = true\n'


def settings(stack: Stack, state: Path, directory: Path, binary: Binary) -> tuple[Path | None, dict[str, str]]:
    """Return what init is told of the state's place: a file (None for the emulator), and settings that win over it."""
    if targets.of(stack).ephemeral:
        return None, {"path": str(state)}
    file = directory / FILE
    if not file.exists():
        raise BadInput(
            f"terraform/stacks/{stack}/{FILE} is missing: it says where the state is kept",
            hint="dualtrack cloud bootstrap makes the bucket and writes the file",
        )
    found = variables.values_of(file)
    # Another deployment from the same checkout keeps its state beside: it must never be this one's.
    key = {"key": own} if (own := os.environ.get(KEY)) else {}
    return file, {**lock_settings(found, binary.version), **key}


def lock_settings(found: Mapping[str, Any], version: tuple[int, ...]) -> dict[str, str]:
    """Return the settings to add to the S3 backend's so that two runs cannot write one state.

    ``found`` are the settings of backend.hcl. Lock files in the bucket exist since version 1.10 of both programs;
    before it a DynamoDB table must be named. Raises BadInput when there is neither.
    """
    if found.get("use_lockfile") is True or found.get("dynamodb_table"):
        return {}
    if version >= (1, 10):
        return {"use_lockfile": "true"}
    raise BadInput(
        f"{FILE} names no lock, and this version cannot lock in the bucket itself",
        hint='write dynamodb_table = "…", or use OpenTofu or Terraform 1.10 or newer',
    )


def place(directory: Path) -> Place | None:
    """Return the place that the backend.hcl in a stack's directory names, None without such a file; else BadInput."""
    file = directory / FILE
    if not file.exists():
        return None
    found = variables.values_of(file)
    other = tuple(name for name in OTHERWISE if found.get(name))
    try:
        named = msgspec.convert({name: found.get(name) for name in ("bucket", "region", "key")}, Place)
    except msgspec.ValidationError as error:
        raise BadInput(f"{file}: {error}", hint=f"{FILE}.example shows what it needs") from None
    return msgspec.structs.replace(check(named, str(file)), otherwise=other)


def check(place: Place, where: str) -> Place:
    """Return a place whose bucket and region can be; BadInput names what cannot, and ``where`` it is written."""
    if not BUCKET.fullmatch(place.bucket):
        hint = "3 to 63 lower-case letters, digits, dots and hyphens, a letter or digit at both ends"
        raise BadInput(f"{where}: {place.bucket!r} cannot name a bucket", hint=hint)
    if not REGION.fullmatch(place.region):
        raise BadInput(f"{where}: {place.region!r} is not a region", hint='write one like "us-east-1"')
    return place
