"""`dualtrack local …`: servers that you own."""

from __future__ import annotations

from pathlib import Path

import typer

from dualtrack.cli.bring_up import FULL, facts_file, show_settled
from dualtrack.cli.options import FACTS, JSON
from dualtrack.core.output import Steps, echo
from dualtrack.inventory import deployment
from dualtrack.tracks import local as local_track

app = typer.Typer(no_args_is_help=True)


@app.command("up")
def local_up(facts: Path | None = FACTS, full: bool = FULL, json: bool = JSON) -> None:
    """Bring up, configure and verify the servers that the facts file describes."""
    show_settled([local_track.up(facts_file(facts), say=Steps(quiet=json), full=full)], json)


@app.command("down")
def local_down(facts: Path | None = FACTS) -> None:
    """Remove the local track's lab hosts. Real machines are left as they are."""
    path = facts or Path(deployment.current().facts or facts_file(None))
    echo("the local track is down" if local_track.down(path, Steps()) else "the local track was down", err=True)
