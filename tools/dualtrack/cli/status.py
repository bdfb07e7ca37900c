"""`dualtrack status`: both tracks and their hosts."""

from __future__ import annotations

from dualtrack.cli.options import LISTING
from dualtrack.core.output import document, echo, form, table
from dualtrack.tracks import status as both


def status(json: bool = LISTING) -> None:
    """Show both tracks: every host, whether it answers, and when it was last verified."""
    show_status(json)


def show_status(json: bool) -> None:
    """Print the hosts of both tracks."""
    now = both.status()
    if json:
        document("status", now)
        return
    columns = ("host", "track", "pool", "lifecycle", "address", "state", "verified", "zone", "instance", "roles")
    rows = [
        (h.name, h.track, h.pool, h.lifecycle, h.address, h.state, h.verified_at or "never",
         h.zone, h.instance_id, ", ".join(h.roles))
        for h in now.hosts
    ]  # fmt: skip
    if rows or form.format == "csv":
        table(columns, rows, wide=3)
    for problem in now.problems:
        echo(problem, err=True)
    if not now.hosts and not now.problems:
        echo("both tracks are down: make up", err=True)
