"""Which stack commands are about: the option, DUALTRACK_STACK, what `dualtrack use` stored, or the emulator."""

from __future__ import annotations

import json
import os
from enum import StrEnum

from dualtrack.core.errors import BadInput
from dualtrack.core.paths import STATE

FILE = STATE / "context.json"
#: What the tracks were last brought up with (dualtrack.inventory.deployment).
TRACKS = STATE / "tracks.json"
VARIABLE = "DUALTRACK_STACK"


class StackName(StrEnum):
    """The stacks under terraform/stacks."""

    emulator = "emulator"
    aws = "aws"


def stored() -> StackName | None:
    """Return the stack that `dualtrack use` stored, if any; BadInput when the file is damaged."""
    try:
        return StackName(json.loads(FILE.read_bytes())["stack"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BadInput(f"{FILE} is damaged", hint="dualtrack use aws, or emulator, writes it again") from None


def running() -> str:
    """Return the stack of the cloud track that is up; '' where none is, or where that cannot be read."""
    try:
        return str(json.loads(TRACKS.read_bytes()).get("stack", ""))
    except (OSError, ValueError, AttributeError):
        return ""


def default() -> StackName:
    """Return the stack of a command that is given none by option or environment."""
    return stored() or StackName.emulator


def in_force() -> tuple[StackName, str]:
    """Return the stack without an option, and where it comes from."""
    if name := os.environ.get(VARIABLE):
        try:
            return StackName(name), VARIABLE
        except ValueError:
            raise BadInput(f"{VARIABLE}={name}", hint=f"one of {', '.join(StackName)}") from None
    return default(), "dualtrack use" if stored() else "default"
