"""`dualtrack doctor`: what this machine lacks."""

from __future__ import annotations

import typer

from dualtrack.cli.options import LISTING
from dualtrack.core.errors import Exit
from dualtrack.core.output import document, table
from dualtrack.lab import doctor as machine


def doctor(json: bool = LISTING) -> None:
    """Check what this machine lacks, with the next step for each."""
    found = machine.diagnose()
    if json:
        document("doctor", found)
    else:
        table(("check", "state", "detail", "what to do"), [(c.name, c.state, c.detail, c.fix) for c in found.checks])
    if not found.ok:
        raise typer.Exit(int(Exit.MISSING))
