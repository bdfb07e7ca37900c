"""`dualtrack local …`: servers that you own."""

from __future__ import annotations

from pathlib import Path

import typer

from dualtrack.cli.bring_up import ACCEPT, FULL, accepting, changing, facts_file, show_endpoints, show_settled
from dualtrack.cli.options import ENDS, FACTS, JSON
from dualtrack.core.output import Steps, echo
from dualtrack.inventory import deployment
from dualtrack.inventory import facts as facts_files
from dualtrack.lab import control
from dualtrack.tracks import local as local_track

app = typer.Typer(no_args_is_help=True)


@app.command("up")
def local_up(facts: Path | None = FACTS, accept: bool = ACCEPT, full: bool = FULL, json: bool = JSON) -> None:
    """Bring up, configure and verify the servers that the facts file describes."""
    with changing("local up"):
        settled = local_track.up(facts_file(facts), accept=accepting(accept), say=Steps(quiet=json), full=full)
    show_settled([settled], json)
    if not json:
        show_endpoints()


@app.command("down")
def local_down(facts: Path | None = FACTS, dry_run: bool = ENDS) -> None:
    """Remove the local track's lab hosts. Real machines are left as they are."""
    if dry_run:
        for name in leaving(_leaving_facts(facts)):
            echo(f"would remove the host {name}")
        return
    with changing("local down"):
        there = local_track.down(_leaving_facts(facts), Steps())
    echo("the local track is down" if there else "the local track was down", err=True)


def _leaving_facts(given: Path | None) -> Path:
    return given or Path(deployment.current().facts or facts_file(None))


def leaving(path: Path) -> list[str]:
    """Return the hosts that go with the local track of a facts file: those of the lab."""
    facts = facts_files.load(path)
    there = {it.name for it in control.status().hosts if not it.instance_id}
    return [it.name for it in facts.hosts if it.name in there] if facts.provider == "lab" else []
