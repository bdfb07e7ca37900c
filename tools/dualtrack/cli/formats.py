"""`--format` of every command that has `--json`: added where a command is loaded, as it is the same everywhere."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import typer

from dualtrack.cli import context
from dualtrack.core.output import form


class Format(StrEnum):
    """The formats of `dualtrack.core.output`."""

    table = "table"
    wide = "wide"
    json = "json"
    yaml = "yaml"
    csv = "csv"


#: Groups and commands about the tracks that are up: their documents and tables name the stack of the cloud track.
RUNNING = {"verify", "failover", "serving", "residency"}


def _chosen(ctx: typer.Context, value: Format | None) -> None:
    """Note the format before the other options are read; the next command of this process begins anew."""
    form.reset()
    if not ctx.resilient_parsing and RUNNING & set(ctx.command_path.split()[:2]):
        form.stack = context.running()
        ctx.call_on_close(form.reset)
    if value and not ctx.resilient_parsing:
        form.format = value.value
        ctx.call_on_close(form.reset)


def _option() -> Any:
    """Return the option as Typer makes it of an annotated function."""
    app = typer.Typer(add_completion=False)

    @app.command()
    def holder(
        format: Format = typer.Option(
            None, "--format", callback=_chosen, is_eager=True, show_choices=False, metavar="FORMAT",
            help="table, wide (more columns), json, yaml or csv.",
        ),
    ) -> None:  # fmt: skip
        """Have an option."""

    option = typer.main.get_command(app).params[0]
    option.expose_value = False
    return option


def add(command: Any) -> None:
    """Give `--format` to a command, or to all commands of a group, that print a document with `--json`."""
    for it in getattr(command, "commands", {}).values():
        add(it)
    names = [set(it.opts) for it in command.params]
    places = [place for place, it in enumerate(names) if "--json" in it]
    if places and not any("--format" in it for it in names):
        command.params.insert(places[0] + 1, _option())
