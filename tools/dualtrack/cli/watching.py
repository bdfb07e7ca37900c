"""What commands that watch share: they look again and again until Ctrl-C, which is not an error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import typer

from dualtrack.cli.options import float_option
from dualtrack.core.errors import Exit
from dualtrack.core.output import console, echo, reader_left

Seen = TypeVar("Seen")


WATCH = typer.Option(False, "--watch", "-w", help="Look again and again, and show what has changed, until Ctrl-C.")
INTERVAL = float_option(5.0, "--interval", metavar="SECONDS", min=0.5, max=3600, help="(with --watch) Between looks.")


@contextmanager
def until_interrupted() -> Iterator[None]:
    """End with exit code 130 on Ctrl-C, without a word: whoever watches has seen all there was."""
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(int(Exit.INTERRUPTED)) from None


def changes(look: Callable[[], Seen], show: Callable[[Seen], None], interval: float) -> None:
    """Show what ``look`` returns, again whenever it differs; until Ctrl-C, or until nobody reads it any more."""
    before = None
    with until_interrupted():
        while not reader_left():
            now = look()
            if now != before:
                show(now)
                before = now
            time.sleep(interval)


def redraw() -> None:
    """Begin a picture anew: on a terminal in place of the one before, elsewhere below it, with the time."""
    if sys.stdout.isatty():
        console().clear()
    echo(f"{time.strftime('%H:%M:%S', time.gmtime())} UTC, until Ctrl-C")
