"""`dualtrack verify`: the behaviour of hosts."""

from __future__ import annotations

from pathlib import Path

import typer

from dualtrack import verify as checks
from dualtrack.cli import names
from dualtrack.cli.options import LIMIT, LISTING
from dualtrack.core.errors import Exit
from dualtrack.core.output import Steps, result
from dualtrack.inventory import deployment

ROLE = typer.Option(None, "--role", help="Only this role's checks (may be repeated).", autocompletion=names.roles)


def verify(
    inventory: list[Path] = typer.Option(
        None, "--inventory", "-i", help="An Ansible inventory; the tracks that are up without it."
    ),
    role: list[str] = ROLE,
    limit: str = LIMIT,
    json: bool = LISTING,
) -> None:
    """Check by behaviour that hosts are as their roles promise. Exit code 1 when one is not."""
    report = checks.verify(
        list(inventory or deployment.inventories_up()),
        roles=list(role or []) or None,
        limit=limit,
        progress=Steps(quiet=json),
    )
    result("verify", report, lambda: checks.show(report), json=json)
    if not report.ok:
        raise typer.Exit(int(Exit.FINDINGS))
