"""Options that several groups of commands have. Imports nothing that takes time."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dualtrack.cli import context, names
from dualtrack.cli.context import StackName
from dualtrack.core import moments
from dualtrack.core.errors import BadInput
from dualtrack.core.output import echo, form
from dualtrack.core.paths import ROOT, STATE

if TYPE_CHECKING:
    from dualtrack.security.access.model import Person

#: In the place of an output file: stdout.
PRINT = "-"
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
PEOPLE = typer.Option(
    ROOT / "inventories/access.yml", "--people", envvar="DUALTRACK_ACCESS", metavar="FILE",
    help="The file of people, roles and groups; inventories/access.yml without it.",
)  # fmt: skip
#: In whose place a command asks; `in_place_of` checks the name.
AS_PERSON = typer.Option(..., "--as", metavar="NAME", help="In whose place: a name in the file of people.")


def in_place_of(name: str, people: Path | None = None) -> Person:
    """Return the person in whose place a command asks; BadInput where the file of people does not name them.

    Checked before anything is made for that person, such as a certificate.
    """
    from dualtrack.security.access import model

    return model.load(people or Path(os.environ.get("DUALTRACK_ACCESS") or PEOPLE.default)).person(name)


def output_path(ctx: typer.Context, value: Path | None) -> Path | None:
    """Refuse before the command begins what `write_output` would refuse when its work is done."""
    if value is not None and str(value) != PRINT and not ctx.resilient_parsing:
        from dualtrack.core.files import check_output

        check_output(value)
    return value


def _moment(ctx: typer.Context, value: str | None) -> str:
    """Refuse what is not a time before the command begins, an empty text also."""
    if value is not None and not ctx.resilient_parsing:
        moments.since(value, time.time())
    return value or ""


def moment_option(name: str, what: str) -> Any:
    """Return an option that takes a time, as `moments.since` reads it; '' without it."""
    about = f"{what}: 15m, 2h, 3d ago, or 2026-11-29T08:00 (UTC)."
    return typer.Option(None, name, metavar="WHEN", help=about, callback=_moment, show_default=False)


SINCE = moment_option("--since", "Not before")
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
