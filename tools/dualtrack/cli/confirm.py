"""One rule for commands that change something: they show the change and ask; --yes does not ask, --dry-run only shows.

A machine format never asks: without --yes it is a dry run.
"""

from __future__ import annotations

from collections.abc import Iterable

import typer

from dualtrack.core.errors import Refused
from dualtrack.core.output import echo

YES = typer.Option(False, "--yes", "-y", help="Do not ask.")
DRY_RUN = typer.Option(False, "--dry-run", help="Change nothing: show what would change.")


def answer(question: str) -> bool:
    """Ask on stderr; Refused where nobody answers, as in a pipe."""
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        raise Refused("nobody answered: nothing was changed", hint="--yes does it, --dry-run only shows it") from None


def only_shows(*, yes: bool, dry_run: bool, json: bool) -> bool:
    """Tell whether a command is to show the change and do no more."""
    return dry_run or (json and not yes)


def confirmed(question: str) -> None:
    """Ask whether to continue; Refused unless the answer is yes."""
    if not answer(question):
        raise Refused("not confirmed: nothing was changed")


def agreed(change: Iterable[str], question: str, *, yes: bool, dry_run: bool, json: bool = False) -> bool:
    """Show a change, a line each, and ask; return whether to make it, and False where it is only to be shown.

    With `--yes` neither: the command says what it did. A document is what the caller prints.
    """
    shows = only_shows(yes=yes, dry_run=dry_run, json=json)
    if not json and (shows or not yes):
        for line in change:
            echo(line)
    if not shows and not yes:
        confirmed(question)
    return not shows
