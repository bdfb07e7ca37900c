"""`dualtrack spot …`: what the cloud's GPUs cost by the hour, and how to buy them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import typer
from msgspec import structs

from dualtrack.cli import renamed
from dualtrack.cli.confirm import DRY_RUN, YES, confirmed, only_shows
from dualtrack.cli.context import StackName
from dualtrack.cli.options import LISTING, STACK, float_option, output_path
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


PRICES = typer.Option(None, "--prices", help="Your price file; the repository's dated facts without it.")
LIVE = typer.Option(False, "--live", help="Read spot prices and placement scores from the AWS API.")
DEMAND = typer.Option(
    "", "--demand", help="GPUs by the hour: 16, or 08-20=16,20-08=32; what the pools ask for without it."
)
JOB = typer.Option(4, "--job-gpus", min=1, max=4096, help="GPUs of one job: jobs are not cut.")
CEILING = float_option(None, "--ceiling", help="US$ a day that on-demand may cost at most.")
DISCOUNT = float_option(10, "--min-discount", help="Per cent below on-demand that spot must be to be used.")
MAX_AGE = float_option(None, "--max-age", help="Days: older prices are refused. Facts 400, histories 60 without it.")
DAYS = typer.Option(30, "--days", min=1, max=90, help="Days of price history that are read.")
REGION = typer.Option("", "--region", help="Plan for this region; the stack's without it.")
ZONE = typer.Option(None, "--zone", help="Plan for this zone (may be repeated); the pools' without it.")
TYPE = typer.Option(None, "--type", help="This instance type is acceptable (may be repeated); the pools' without it.")
TIME_ZONE = typer.Option("", "--time-zone", help="IANA name of your time zone; the stack's without it.")
SPOT_POOL = typer.Option("spot", "--spot-pool", help="The pool that buys spot.")
ON_DEMAND_POOL = typer.Option("ondemand", "--ondemand-pool", help="The pool that buys on demand.")
SPOT_MAX = typer.Option(None, "--spot-max", min=0, help="Spot nodes at most; the pool's max without it.")
ON_DEMAND_MAX = typer.Option(None, "--ondemand-max", min=0, help="On-demand nodes at most; the pool's max without it.")
ON_DEMAND_MIN = typer.Option(
    None, "--base", min=0, help="Nodes on demand at every hour; the on-demand pool's min without it."
)


@app.command()
def plan(
    stack: StackName = STACK, prices: Path = PRICES, live: bool = LIVE, demand: str = DEMAND, job: int = JOB,
    ceiling: float = CEILING, discount: float = DISCOUNT, max_age: float = MAX_AGE, days: int = DAYS,
    region: str = REGION, zone: list[str] = ZONE, type_: list[str] = TYPE, time_zone: str = TIME_ZONE,
    spot_pool: str = SPOT_POOL, on_demand_pool: str = ON_DEMAND_POOL, spot_max: int = SPOT_MAX,
    on_demand_max: int = ON_DEMAND_MAX, base: int = ON_DEMAND_MIN,
    output: Path = typer.Option(None, "--output", "-o", help="Write the variables to this file.", callback=output_path),
    force: bool = FORCE,
    write: bool = typer.Option(False, "--write", hidden=True, help="Now `dualtrack spot apply --yes`."),
    dry_run: bool = typer.Option(False, "--dry-run", hidden=True, help="Now `dualtrack spot apply --dry-run`."),
    json: bool = LISTING,
) -> None:  # fmt: skip
    """Plan a day of GPUs: spot where it is cheap enough, on-demand under a ceiling, beside the cost of all on-demand.

    Exit code 1 when the plan is short of the demand.
    """
    if write or dry_run:
        old = "--dry-run" if dry_run else "--write"
        renamed.notice(f"spot plan {old}", f"spot apply {'--dry-run' if dry_run else '--yes'}")
    request = _request(
        stack, prices, demand, job, ceiling, discount, max_age, days, region, zone, type_, time_zone, spot_pool,
        on_demand_pool, spot_max, on_demand_max, base,
    )  # fmt: skip
    planned = _planned(request, stack, live=live, json=json)
    if write or output or dry_run:
        target = output or request.folder / stack_file.FILE
        _write(request, planned, target, dry_run=dry_run, force=force)
    _check(planned)


@app.command()
def apply(
    stack: StackName = STACK, prices: Path = PRICES, live: bool = LIVE, demand: str = DEMAND, job: int = JOB,
    ceiling: float = CEILING, discount: float = DISCOUNT, max_age: float = MAX_AGE, days: int = DAYS,
    region: str = REGION, zone: list[str] = ZONE, type_: list[str] = TYPE, time_zone: str = TIME_ZONE,
    spot_pool: str = SPOT_POOL, on_demand_pool: str = ON_DEMAND_POOL, spot_max: int = SPOT_MAX,
    on_demand_max: int = ON_DEMAND_MAX, base: int = ON_DEMAND_MIN,
    yes: bool = YES, dry_run: bool = DRY_RUN, force: bool = FORCE, json: bool = LISTING,
) -> None:  # fmt: skip
    """Plan as `spot plan` does, and write the plan as the stack's pools.auto.tfvars.json, which `cloud up` applies.

    Shows the change and asks; exit code 1 when the plan is short of the demand.
    """
    request = _request(
        stack, prices, demand, job, ceiling, discount, max_age, days, region, zone, type_, time_zone, spot_pool,
        on_demand_pool, spot_max, on_demand_max, base,
    )  # fmt: skip
    planned = actions.build_plan(request, datetime.now(UTC), _api(stack) if live else None)
    if not json:
        show.show(planned)
    target, shows = request.folder / stack_file.FILE, only_shows(yes=yes, dry_run=dry_run, json=json)
    if shows:
        _write(request, planned, target, dry_run=True, force=force)
    else:
        if not yes and _write(request, planned, target, dry_run=True, force=force):
            confirmed(f"Write {target}?")
        _write(request, planned, target, dry_run=False, force=force)
    if json:
        document("spot-plan", {"applied": not shows, **structs.asdict(planned)}, stack=stack.value)
    _check(planned)


def _request(
    stack: StackName, prices: Path, demand: str, job: int, ceiling: float, discount: float, max_age: float, days: int,
    region: str, zone: list[str], type_: list[str], time_zone: str, spot_pool: str, on_demand_pool: str, spot_max: int,
    on_demand_max: int, base: int,
) -> Request:  # fmt: skip
    """Return what is to be planned, from the options that both commands have."""
    return Request(
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


def _planned(request: Request, stack: StackName, *, live: bool, json: bool) -> Planned:
    """Make the plan and print it."""
    planned = actions.build_plan(request, datetime.now(UTC), _api(stack) if live else None)
    if json:
        document("spot-plan", planned, stack=stack.value)
    else:
        show.show(planned)
    return planned


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
