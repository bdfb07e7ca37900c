"""`dualtrack spot …`: what the cloud's GPUs cost by the hour, and how to buy them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from dualtrack.cli import renamed
from dualtrack.cli.confirm import DRY_RUN, YES, confirmed, only_shows
from dualtrack.cli.context import StackName
from dualtrack.cli.options import LISTING, STACK
from dualtrack.cloud import variables
from dualtrack.cloud.prices import files
from dualtrack.cloud.spot import actions, show, tfvars
from dualtrack.cloud.spot import stack as stack_file
from dualtrack.cloud.spot.actions import Api, Planned, Request
from dualtrack.core import aws
from dualtrack.core.errors import Exit
from dualtrack.core.output import document, echo
from dualtrack.lab import control

app = typer.Typer(no_args_is_help=True)
FORCE = typer.Option(False, "--force", help="Overwrite a file that was not written by a plan, or was edited.")


def _wanted(
    stack: StackName = STACK,
    prices: Path = typer.Option(None, "--prices", help="Your price file; the repository's dated facts without it."),
    live: bool = typer.Option(  # noqa: ARG001 - for whoever makes the plan
        False, "--live", help="Read spot prices and placement scores from the AWS API."
    ),
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
) -> Request:
    """Return what is to be planned; its parameters are options of both commands."""
    return actions.Request(
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


def _with_options_of(function: Callable[..., Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Put the parameters of a function in place of a command's `**wish`."""

    def changed(command: Callable[..., None]) -> Callable[..., None]:
        own = [it for it in inspect.signature(command).parameters.values() if it.kind is not it.VAR_KEYWORD]
        shared = inspect.signature(function).parameters.values()
        command.__signature__ = inspect.Signature([*shared, *own])  # type: ignore[attr-defined] # inspect reads it
        command.__annotations__ = {**function.__annotations__, **command.__annotations__}
        return command

    return changed


@app.command()
@_with_options_of(_wanted)
def plan(
    output: Path = typer.Option(None, "--output", "-o", help="Write the variables to this file."),
    force: bool = FORCE,
    write: bool = typer.Option(False, "--write", hidden=True, help="Now `dualtrack spot apply --yes`."),
    dry_run: bool = typer.Option(False, "--dry-run", hidden=True, help="Now `dualtrack spot apply --dry-run`."),
    json: bool = LISTING,
    **wish: Any,
) -> None:
    """Plan a day of GPUs: spot where it is cheap enough, on-demand under a ceiling, beside the cost of all on-demand.

    Exit code 1 when the plan is short of the demand.
    """
    if write or dry_run:
        old = "--dry-run" if dry_run else "--write"
        renamed.notice(f"spot plan {old}", f"spot apply {'--dry-run' if dry_run else '--yes'}")
    request, planned = _planned(wish, json)
    if write or output or dry_run:
        target = output or request.folder / stack_file.FILE
        _write(request, planned, target, dry_run=dry_run, force=force)
    _check(planned)


@app.command()
@_with_options_of(_wanted)
def apply(
    yes: bool = YES, dry_run: bool = DRY_RUN, force: bool = FORCE, json: bool = LISTING, **wish: Any
) -> None:  # fmt: skip
    """Plan as `spot plan` does, and write the plan as the stack's pools.auto.tfvars.json, which `cloud up` applies.

    Shows the change and asks; exit code 1 when the plan is short of the demand.
    """
    request, planned = _planned(wish, json)
    target = request.folder / stack_file.FILE
    if only_shows(yes=yes, dry_run=dry_run, json=json):
        _write(request, planned, target, dry_run=True, force=force)
    else:
        if not yes and _write(request, planned, target, dry_run=True, force=force):
            confirmed(f"Write {target}?")
        _write(request, planned, target, dry_run=False, force=force)
    _check(planned)


def _planned(wish: dict[str, Any], json: bool) -> tuple[Request, Planned]:
    """Make the plan and print it."""
    request, stack = _wanted(**wish), wish["stack"]
    planned = actions.build_plan(request, datetime.now(UTC), _api(stack) if wish["live"] else None)
    if json:
        document("spot-plan", planned, stack=stack.value)
    else:
        show.show(planned)
    return request, planned


def _check(planned: Planned) -> None:
    if planned.plan.short_gpu_hours:
        raise typer.Exit(int(Exit.FINDINGS))


def _api(stack: StackName) -> Api:
    endpoint = control.endpoint() if stack is StackName.emulator else ""
    # Two tries: what an emulator does not know it answers with an error of the server, for ever.
    return lambda service, region: aws.client(service, region, endpoint, attempts=2)


def _write(request: Request, planned: Planned, target: Path, *, dry_run: bool, force: bool) -> bool:
    """Write the variables, or show how the file would change; return whether it does."""
    actions.fits(request)
    if dry_run:
        change = tfvars.difference(stack_file.present(target), planned.variables, target.name)
        echo(change or f"{target} is as planned", err=True)
        return bool(change)
    changed = stack_file.write(target, planned.variables, force=force)
    echo(f"written: {target}" if changed else f"{target} is as planned: unchanged", err=True)
    return changed
