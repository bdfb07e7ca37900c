"""`dualtrack failover …`: which track answers, by an operator's word; failures are answered without one."""

from __future__ import annotations

from enum import StrEnum

import typer

from dualtrack.cli import names as completed
from dualtrack.cli.options import JSON, LISTING
from dualtrack.core.errors import External, Findings
from dualtrack.core.output import document, echo, table
from dualtrack.tracks import serving, steering
from dualtrack.tracks.steering import Verb

app = typer.Typer(no_args_is_help=True)
LAST = typer.Option(False, "--last", help="Also where nothing could answer a model any more.")


ENGINE = typer.Argument(
    ..., metavar="ENGINE", help="As in `dualtrack failover status`.", autocompletion=completed.hosts
)
MODEL = typer.Option(
    None, "--model", metavar="MODEL", help="For this model alone. Default: all that the engine serves."
)


class First(StrEnum):
    """The track that is asked first."""

    local = "local"
    cloud = "cloud"
    usual = "usual"


class Track(StrEnum):
    """A track."""

    local = "local"
    cloud = "cloud"


@app.command()
def status(json: bool = LISTING) -> None:
    """Show what is in force on each gateway: the track that is asked first, what is held, and each engine's state."""
    now = steering.status(serving.sites())
    if json:
        document("failover-status", {"gateways": now})
    else:
        for it in now:
            if not it.problem:
                held = f"; {' and '.join(it.held)} held" if it.held else ""
                echo(f"{it.gateway}: first {FIRST.get(it.first, it.first)}{held}")
        rows = [(it.gateway, e.model, e.track, e.engine, e.state, str(e.active)) for it in now for e in it.engines]
        table(("gateway", "model", "track", "engine", "state", "running"), rows)
    if problems := [f"{it.gateway}: {it.problem}" for it in now if it.problem]:
        raise Findings("; ".join(problems))


FIRST = {"usual": "as each tenant's residency says", "local": "the local track", "cloud": "the cloud track"}


@app.command()
def switch(
    track: First = typer.Argument(..., help="The track to ask first; usual: as each tenant's residency says."),
    json: bool = JSON,
) -> None:
    """Ask a track first for tenants that may be answered on either. Who must stay on the local track stays there."""
    _steer("switch", track.value, json)


@app.command()
def hold(
    track: Track = typer.Argument(..., help="The track to ask nothing more."), last: bool = LAST, json: bool = JSON
) -> None:
    """Ask a track nothing more until it is released; what runs there ends. Tenants that must stay are refused then."""
    _steer("hold", track.value, json, last=last)


@app.command()
def drain(
    engine: str = ENGINE,
    model: str | None = MODEL, last: bool = LAST, json: bool = JSON,
) -> None:  # fmt: skip
    """Ask an engine nothing more until it is released; what runs there ends. Then its host can be taken out."""
    _steer("drain", engine, json, last=last, model=model)


@app.command()
def release(
    what: str = typer.Argument(..., metavar="TRACK|ENGINE", help="What was held or drained."),
    model: str | None = MODEL, json: bool = JSON,
) -> None:  # fmt: skip
    """End holding a track, or draining an engine."""
    _steer("release", what, json, model=model)


def _steer(verb: Verb, what: str, json: bool, *, last: bool = False, model: str | None = None) -> None:
    sites = serving.sites()
    serving.known_models(sites, [model] if model is not None else [])
    told = steering.steer(sites, verb, what, last=last, model=model)
    if json:
        document("failover", {"gateways": told})
    else:
        for it in told:
            if not it.problem:
                echo(f"{it.gateway}: {'done' if it.changed else 'it was so'}")
    if problems := [f"{it.gateway} was not told: {it.problem}" for it in told if it.problem]:
        raise External("; ".join(problems), hint="repeat it: a gateway that has heard it changes nothing")
