"""Options that several groups of commands have. Imports nothing that takes time."""

from __future__ import annotations

import time
from enum import StrEnum

import typer

from dualtrack.core.output import echo
from dualtrack.core.paths import LAB

FACTS = typer.Option(
    None,
    "--facts",
    envvar="DUALTRACK_FACTS",
    help="Your facts file; inventories/local/facts.yml without it.",
    show_default=False,
)


class StackName(StrEnum):
    """The stacks under terraform/stacks."""

    emulator = "emulator"
    aws = "aws"


STACK = typer.Option(StackName.emulator, "--stack", help="Which account: the lab's emulated AWS, or a real one.")

JSON = typer.Option(False, "--json", help="Print one JSON document.")
#: Options of the knowledge base.
BASE = typer.Option(LAB / "knowledge", "--base", envvar="DUALTRACK_KB", metavar="DIRECTORY", help="Where it is kept.")
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
