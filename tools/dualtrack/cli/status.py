"""`dualtrack status`: both tracks and their hosts."""

from __future__ import annotations

import typer

from dualtrack.cli.options import LISTING
from dualtrack.cli.watching import INTERVAL, WATCH, changes, redraw
from dualtrack.core.errors import Exit
from dualtrack.core.output import document, echo, form, records, table
from dualtrack.tracks import status as both
from dualtrack.tracks.status import TracksStatus


def status(watch: bool = WATCH, interval: float = INTERVAL, json: bool = LISTING) -> None:
    """Show both tracks: every host, whether it answers, and when it was last verified.

    Ends with 1 where a host is down, where a host or a track cannot be looked at, or where a certificate of a host has
    less than a week left: its renewal fails.
    """
    if not watch:
        if not show_status(json).in_order:
            raise typer.Exit(int(Exit.FINDINGS))
    elif json:
        changes(both.status, records("status"), interval)
    else:
        changes(both.status, _redrawn, interval)


def _redrawn(now: TracksStatus) -> None:
    redraw()
    _show(now)


def show_status(json: bool) -> TracksStatus:
    """Print the hosts of both tracks, and return them."""
    now = both.status()
    if json:
        document("status", now)
    else:
        _show(now)
    return now


def _show(now: TracksStatus) -> None:
    columns = ("host", "track", "pool", "lifecycle", "address", "state", "verified", "zone", "instance", "roles")
    rows = [
        (h.name, h.track, h.pool, h.lifecycle, h.address, h.state, h.verified_at or "never",
         h.zone, h.instance_id, ", ".join(h.roles))
        for h in now.hosts
    ]  # fmt: skip
    if rows or form.format == "csv":
        table(columns, rows, wide=3, title=f"stack {now.stack}" if now.stack else "")
    for problem in now.problems:
        echo(problem, err=True)
    if not now.hosts and not now.problems:
        echo("both tracks are down: make up", err=True)
