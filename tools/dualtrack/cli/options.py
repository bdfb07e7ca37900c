"""Options that several groups of commands have. Imports nothing that takes time."""

from __future__ import annotations

import math
import time
from typing import Any

import typer

from dualtrack.cli import context, names
from dualtrack.cli.context import StackName
from dualtrack.core.errors import BadInput
from dualtrack.core.output import echo, form
from dualtrack.core.paths import STATE

FACTS = typer.Option(
    None,
    "--facts",
    envvar="DUALTRACK_FACTS",
    help="Your facts file; inventories/local/facts.yml without it.",
    show_default=False,
)


def float_option(default: Any, *names: str, **about: Any) -> Any:
    """Return an option that takes a number, with a fraction or without; not `nan` and `inf`, which are none."""

    def finite(value: Any) -> Any:
        for it in value if isinstance(value, (list, tuple)) else [value]:
            if it is not None and not math.isfinite(it):
                raise typer.BadParameter(f"{it} is not a number that can be used")
        return value

    return typer.Option(default, *names, callback=finite, **about)


def _announce(ctx: typer.Context, value: StackName) -> StackName:
    """Say on stderr which stack a command is about, and where that comes from."""
    if not ctx.resilient_parsing:
        form.stack = value.value
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


def _document(ctx: typer.Context, value: bool) -> bool:
    """Tell a command without a table whether to print its document: with json, yaml and csv."""
    return _asked(ctx, value) or form.format == "csv"


def _asked(ctx: typer.Context, value: bool) -> bool:
    """Tell a command with a table whether to print its document instead: with json and yaml."""
    if value and form.format == "table":
        form.format = "json"
    elif value and form.format != "json":
        raise BadInput(f"--json and --format {form.format}", hint="name one: --json is short for --format json")
    return not ctx.resilient_parsing and form.format in ("json", "yaml")


LIMIT = typer.Option(None, "--limit", "-l", help="Only these hosts: an Ansible pattern.", autocompletion=names.hosts)
#: For commands that end what is named, without asking.
ENDS = typer.Option(False, "--dry-run", help="End nothing: show what would be ended.")
JSON_HELP = "Print one JSON document: short for --format json."
#: A command with this option has `--format`, too (formats.py). JSON is for those that print lines of text without it,
#: LISTING for those that print tables.
JSON = typer.Option(False, "--json", callback=_document, help=JSON_HELP)
LISTING = typer.Option(False, "--json", callback=_asked, help=JSON_HELP)
PKI = typer.Option(
    STATE / "pki", "--pki", metavar="DIRECTORY",
    help="The directory of the certificate authority; the deployment's without it.",
)  # fmt: skip
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
