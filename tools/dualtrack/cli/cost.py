"""`dualtrack cost …`: what runs now costs, and from how many calls on the local track is the cheaper one."""

from __future__ import annotations

import time
from pathlib import Path

import typer

from dualtrack.cli.context import StackName
from dualtrack.cli.options import LISTING, STACK, float_option, output_path
from dualtrack.cloud.applied import applied, checked_budget
from dualtrack.cloud.cost import assumptions as numbers
from dualtrack.cloud.cost import breakeven as sums
from dualtrack.cloud.cost import chart as charts
from dualtrack.cloud.cost import gather, running, show
from dualtrack.cloud.prices import files
from dualtrack.core.errors import Exit, Refused
from dualtrack.core.files import write_output
from dualtrack.core.output import echo, result

app = typer.Typer(no_args_is_help=True)

ASSUMPTIONS = typer.Option(
    None, "--assumptions", metavar="FILE", help="Your numbers (YAML or JSON); the deployment guide's case without it."
)


@app.command()
def report(
    stack: StackName = STACK,
    budget: float = float_option(
        None, "--budget", metavar="USD_PER_MONTH", help="US$ a month; the stack's watch.budget_usd without it."
    ),
    prices: Path = typer.Option(None, "--prices", metavar="FILE", help="Your prices of instances; see plan-spot.md."),
    storage: Path = typer.Option(None, "--storage-prices", metavar="FILE", help="Your prices of S3's classes."),
    assumptions: Path = ASSUMPTIONS,
    facts: Path = typer.Option(
        None, "--facts", metavar="FILE", help="Your facts file; the one last brought up without it."
    ),
    json: bool = LISTING,
) -> None:
    """Show what runs now costs by the hour and month: pools, stored data, servers, against the budget.

    Exit code 1 when the budget is broken or cannot be checked, or when things run without their tags.
    """
    own = checked_budget(budget)
    of = numbers.load(assumptions or numbers.GUIDE)
    costs = running.Facts(
        book=files.load(prices or files.FACTS),
        storage=files.storage(storage or files.STORAGE_FACTS),
        exchange=of.exchange.cny_per_usd,
        exchange_taken=of.exchange.taken,
        now=time.time(),
    )
    place = applied(stack.value)
    found = running.report(place.output, place.deployment, gather.collect(place, facts), costs, own or place.budget)
    result("cost-report", found, lambda: show.running(found), stack=stack.value, json=json)
    if found.findings:
        raise typer.Exit(int(Exit.FINDINGS))


@app.command()
def breakeven(
    assumptions: Path = ASSUMPTIONS,
    swing: float = float_option(50.0, "--swing", min=1, max=99, help="Per cent by which each assumption is moved."),
    chart: Path = typer.Option(
        None, "--chart", metavar="FILE.png", help="Draw it, too, as a PNG picture.", callback=output_path
    ),
    write: Path = typer.Option(
        None, "--write-assumptions", metavar="FILE", help="Write the guide's case there, to edit.", callback=output_path
    ),
    json: bool = LISTING,
) -> None:
    """Say from how many calls a month a server of your own is cheaper than the cloud, and how sure that is.

    Reproduces the deployment guide's 500,000 calls a month from stated assumptions; says so when yours disagree.
    """
    if write:
        if write.exists():
            raise Refused(f"{write} is there already", hint="name another file")
        write_output(write, numbers.GUIDE.read_bytes())
        echo(f"written: {write}: edit it, then call: dualtrack cost breakeven --assumptions {write}", err=True)
        return
    found = sums.report(numbers.load(assumptions or numbers.GUIDE), swing)
    result("cost-breakeven", found, lambda: show.breakeven(found), json=json)
    if chart:
        charts.write(found, chart)
        echo(f"written: {chart}", err=True)
