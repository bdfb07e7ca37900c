"""One rule for commands that change something: they show the change and ask; --yes does not ask, --dry-run only shows.

A machine format never asks: without --yes it is a dry run.
"""

from __future__ import annotations

import typer

from dualtrack.core.errors import Refused

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
