"""`dualtrack status`: both tracks and their hosts."""

from __future__ import annotations

from dualtrack.cli.options import JSON
from dualtrack.core.output import document, echo, table
from dualtrack.tracks import status as both


def status(json: bool = JSON) -> None:
    """Show both tracks: every host, whether it answers, and when it was last verified."""
    show_status(json)


def show_status(json: bool) -> None:
    """Print the hosts of both tracks."""
    now = both.status()
    if json:
        document("status", now)
        return
    columns = ("host", "track", "pool", "lifecycle", "address", "state", "verified")
    rows = [(h.name, h.track, h.pool, h.lifecycle, h.address, h.state, h.verified_at or "never") for h in now.hosts]
    if rows:
        table(columns, rows)
    for problem in now.problems:
        echo(problem, err=True)
    if not now.hosts and not now.problems:
        echo("both tracks are down: make up", err=True)
