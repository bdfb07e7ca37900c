"""One rule for commands that change something: they show the change and ask; --yes does not ask, --dry-run only shows.

A machine format never asks: without --yes it is a dry run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TypeVar

import typer

from dualtrack.core.characters import printable
from dualtrack.core.errors import BadInput, Interrupted, Refused
from dualtrack.core.output import echo

T = TypeVar("T")

YES = typer.Option(False, "--yes", "-y", help="Do not ask.")
DRY_RUN = typer.Option(False, "--dry-run", help="Change nothing: show what would change.")


#: So many answers that cannot be read end a command: a program that answers does not do so for ever.
TRIES = 3


def ask(question: str, read: Callable[[str], T], default: str = "", *, hint: str) -> T:
    """Return an answer as ``read`` makes it of what was typed; ``read`` raises BadInput for what it cannot read.

    Asked on stderr, and once more after such an answer. Refused where nobody answers, as in a pipe.
    """
    if sys.__stdin__ is None:
        raise Refused("nobody can answer, as stdin is closed: nothing was changed", hint=hint)
    wrong = 0

    def value(text: str) -> T:
        nonlocal wrong
        try:
            return read(text.strip())
        except BadInput as error:
            wrong += 1
            if wrong == TRIES:
                raise
            raise typer.BadParameter(printable(str(error))) from None  # it is shown, and asked again

    try:
        found: T = typer.prompt(question, default, show_default=bool(default), err=True, value_proc=value)
    except typer.Abort as error:
        if isinstance(error.__context__, KeyboardInterrupt):  # click makes one error of Ctrl-C and of no answer
            raise Interrupted("interrupted: nothing was changed") from None
        raise Refused("nobody answered: nothing was changed", hint=hint) from None
    return found


def _yes_or_no(text: str) -> bool:
    if text.lower() not in ("y", "yes", "n", "no", ""):
        raise BadInput(f"{text!r} is neither yes nor no", hint="y or n")
    return text.lower() in ("y", "yes")


def answer(question: str, hint: str = "--yes does it, --dry-run only shows it") -> bool:
    """Ask for a yes or no on stderr; Refused where nobody answers."""
    return ask(f"{question} [y/N]", _yes_or_no, hint=hint)


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
