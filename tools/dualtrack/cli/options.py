"""Options that several groups of commands have. Imports nothing that takes time."""

from __future__ import annotations

import time

import typer

from dualtrack.cli import context
from dualtrack.cli.context import StackName
from dualtrack.core.output import echo
from dualtrack.core.paths import STATE

FACTS = typer.Option(
    None,
    "--facts",
    envvar="DUALTRACK_FACTS",
    help="Your facts file; inventories/local/facts.yml without it.",
    show_default=False,
)


def _announce(ctx: typer.Context, value: StackName) -> StackName:
    """Say on stderr which stack a command is about, and where that comes from."""
    if not ctx.resilient_parsing:
        source = getattr(ctx.get_parameter_source("stack"), "name", "")
        echo(f"stack: {value.value} ({'--stack' if source == 'COMMANDLINE' else context.in_force()[1]})", err=True)
    return value


STACK_HELP = "Which account: emulator, the lab's AWS, or aws, a real one; as `dualtrack use` says without it."
STACK = typer.Option(
    context.default, "--stack", envvar=context.VARIABLE, callback=_announce, help=STACK_HELP,
    show_default=False,
)  # fmt: skip
#: For commands whose output programs read, such as Ansible: without the line on stderr.
QUIET_STACK = typer.Option(context.default, "--stack", envvar=context.VARIABLE, help=STACK_HELP, show_default=False)
JSON = typer.Option(False, "--json", help="Print one JSON document.")
#: Options of the knowledge base.
BASE = typer.Option(STATE / "knowledge", "--base", envvar="DUALTRACK_KB", metavar="DIRECTORY", help="Where it is kept.")
KEY_FILE = typer.Option(
    None, "--key-file", envvar="DUALTRACK_KB_KEY", metavar="FILE",
    help="The master key, 32 random bytes; without it master.key in the directory, made at first use.",
)  # fmt: skip


class Said:
    """Progress on stderr: what takes no second is not said."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, text: str) -> None:
        """Say something, where the last word is a second old."""
        if time.monotonic() - self._last >= 1:
            self._last = time.monotonic()
            echo(text, err=True)
