"""`dualtrack spot …`: what the cloud's GPUs cost by the hour, and how to buy them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import typer

from dualtrack.cli.context import StackName
from dualtrack.cli.options import LISTING, STACK
from dualtrack.cloud import variables
from dualtrack.cloud.prices import files
from dualtrack.cloud.spot import actions, show, stack, tfvars
from dualtrack.cloud.spot.actions import Api, Planned, Request
from dualtrack.core import aws
from dualtrack.core.errors import Exit
from dualtrack.core.output import document, echo
from dualtrack.lab import control

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `plan` a command of a group: Typer would make an application of one command the command itself."""


@app.command()
def plan(
    stack: StackName = STACK,
    prices: Path = typer.Option(None, "--prices", help="Your price file; the repository's dated facts without it."),
    live: bool = typer.Option(False, "--live", help="Read spot prices and placement scores from the AWS API."),
    demand: str = typer.Option(
        "", "--demand", help="GPUs by the hour: 16, or 08-20=16,20-08=32; what the pools ask for without it."
    ),
    job: int = typer.Option(4, "--job-gpus", min=1, max=4096, help="GPUs of one job: jobs are not cut."),
    ceiling: float = typer.Option(None, "--ceiling", help="US$ a day that on-demand may cost at most."),
    discount: float = typer.Option(10, "--min-discount", help="Per cent below on-demand that spot must be to be used."),
    max_age: float = typer.Option(
        None, "--max-age", help="Days: older prices are refused. Facts 400, histories 60 without it."
    ),
    days: int = typer.Option(30, "--days", min=1, max=90, help="Days of price history that are read."),
    region: str = typer.Option("", "--region", help="Plan for this region; the stack's without it."),
    zone: list[str] = typer.Option(None, "--zone", help="Plan for this zone (may be repeated); the pools' without it."),
    type_: list[str] = typer.Option(
        None, "--type", help="This instance type is acceptable (may be repeated); the pools' without it."
    ),
    time_zone: str = typer.Option("", "--time-zone", help="IANA name of your time zone; the stack's without it."),
    spot_pool: str = typer.Option("spot", "--spot-pool", help="The pool that buys spot."),
    on_demand_pool: str = typer.Option("ondemand", "--ondemand-pool", help="The pool that buys on demand."),
    spot_max: int = typer.Option(None, "--spot-max", min=0, help="Spot nodes at most; the pool's max without it."),
    on_demand_max: int = typer.Option(
        None, "--ondemand-max", min=0, help="On-demand nodes at most; the pool's max without it."
    ),
    base: int = typer.Option(
        None, "--base", min=0, help="Nodes on demand at every hour; the on-demand pool's min without it."
    ),
    write: bool = typer.Option(False, "--write", help="Write the plan as the stack's pools.auto.tfvars.json."),
    output: Path = typer.Option(None, "--output", "-o", help="Write the variables to this file instead."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Write nothing: show what --write would change."),
    force: bool = typer.Option(
        False, "--force", help="Overwrite a file that was not written by a plan, or was edited."
    ),
    json: bool = LISTING,
) -> None:
    """Plan a day of GPUs: spot where it is cheap enough, on-demand under a ceiling, beside the cost of all on-demand.

    Exit code 1 when the plan is short of the demand.
    """
    request = actions.Request(
        folder=variables.folder(stack.value),
        prices=prices or files.FACTS,
        region=region,
        zones=tuple(zone or ()),
        types=tuple(type_ or ()),
        demand=demand,
        job=job,
        ceiling=ceiling,
        discount=discount / 100,
        max_age=max_age,
        days=days,
        time_zone=time_zone,
        names=(spot_pool, on_demand_pool),
        spot_max=spot_max,
        on_demand_max=on_demand_max,
        base=base,
    )
    planned = actions.build_plan(request, datetime.now(UTC), _api(stack) if live else None)
    if json:
        document("spot-plan", planned, stack=stack.value)
    else:
        show.show(planned)
    if write or output or dry_run:
        _write(request, planned, output, dry_run=dry_run, force=force)
    if planned.plan.short_gpu_hours:
        raise typer.Exit(int(Exit.FINDINGS))


def _api(stack: StackName) -> Api:
    endpoint = control.endpoint() if stack is StackName.emulator else ""
    # Two tries: what an emulator does not know it answers with an error of the server, for ever.
    return lambda service, region: aws.client(service, region, endpoint, attempts=2)


def _write(request: Request, planned: Planned, output: Path | None, *, dry_run: bool, force: bool) -> None:
    actions.fits(request)
    target = output or request.folder / stack.FILE
    if dry_run:
        change = tfvars.difference(stack.present(target), planned.variables, target.name)
        echo(change or f"{target} is as planned", err=True)
    elif stack.write(target, planned.variables, force=force):
        echo(f"written: {target}", err=True)
    else:
        echo(f"{target} is as planned: unchanged", err=True)
