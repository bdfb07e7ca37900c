"""What commands that bring tracks up share: their options, the question before a change, and the result."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import typer

from dualtrack.cli.confirm import answer
from dualtrack.core import turns
from dualtrack.core.characters import visible
from dualtrack.core.output import document, echo
from dualtrack.core.paths import STATE
from dualtrack.inventory import facts

YES = typer.Option(False, "--yes", "-y", help="Do not ask before changing a real account.")
FULL = typer.Option(
    False, "--full", help="Configure also where nothing has changed since and the checks would say that all is well."
)


def changing(command: str) -> AbstractContextManager[None]:
    """Return a context in which a command changes the deployment's hosts: one at a time, the others wait and say so.

    Within it a command may work on both tracks side by side.
    """
    return turns.turn(STATE / ".changing.lock", command, lambda text: echo(visible(text), err=True))


def facts_file(path: Path | None) -> Path:
    """Return the facts file that was named, or the default."""
    return path or facts.DEFAULT


def asked(yes: bool) -> Callable[[Any, str], bool]:
    """Return a question that shows a plan and asks before it is applied; with ``yes`` it only shows it."""

    def ask(plan: Any, owner: str) -> bool:
        echo(plan.text, err=True)
        return yes or answer(f"Continue, in {owner}?")

    return ask


def show_settled(results: list[Any], json: bool) -> None:
    """Print the result of each track."""
    if json:
        document("up", {"tracks": results})
        return
    for it in results:
        what = "changed" if it.changed else "nothing changed"
        echo(f"{it.track} track: {it.hosts} hosts, {what}, {it.passed} checks passed")
