"""`dualtrack use`: the stack that commands are about."""

from __future__ import annotations

import json

import typer

from dualtrack.cli import context
from dualtrack.cli.context import StackName
from dualtrack.cli.options import JSON
from dualtrack.core.files import write_atomically
from dualtrack.core.output import document, echo


def use(
    name: StackName = typer.Argument(None, help="emulator or aws; without it the one in force is printed."),
    as_json: bool = JSON,
) -> None:
    """Choose the stack that commands are about without --stack; without a name print the one in force.

    --stack goes first, then DUALTRACK_STACK, then this choice; without any of them it is the emulator.
    """
    if name:
        write_atomically(context.FILE, json.dumps({"stack": name.value}).encode() + b"\n")
    stack, origin = context.in_force()
    if as_json:
        document("use", {"stack": stack.value, "from": origin})
    else:
        echo(f"{stack.value} ({origin})")
    if name and stack is not name:
        echo(f"stored, but {context.VARIABLE} goes first here", err=True)
