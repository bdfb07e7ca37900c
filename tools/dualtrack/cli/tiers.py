"""`dualtrack tiers …`: what stored data costs by tier, and restores from the archive."""

from __future__ import annotations

from pathlib import Path

import typer

from dualtrack.cli.confirm import DRY_RUN, YES, agreed, only_shows
from dualtrack.cli.context import StackName
from dualtrack.cli.options import JSON, LISTING, STACK, float_option
from dualtrack.cloud import variables
from dualtrack.cloud.prices import files
from dualtrack.cloud.tiers import amounts, drill
from dualtrack.cloud.tiers import plan as plans
from dualtrack.cloud.tiers.plan import TiersPlan, cheapest
from dualtrack.cloud.tiers.restore import Quote
from dualtrack.core.errors import Refused
from dualtrack.core.output import document, echo, table

app = typer.Typer(no_args_is_help=True)
PRICES = typer.Option(None, "--storage-prices", metavar="FILE", help="Your prices of S3's classes.")


@app.command()
def plan(
    stack: StackName = STACK,
    data: list[str] = typer.Option(
        None,
        "--data",
        metavar="CLASS=SIZE[:OBJECTS]",
        help="As weights=140GB:60; may be repeated.",
    ),
    prices: Path = PRICES,
    region: str = typer.Option("", "--region", help="Prices of this region; the stack's without it."),
    json: bool = LISTING,
) -> None:
    """Show what each class of data costs in each tier that it passes, and what reading it again takes.

    Without --data, of what the stack's buckets hold. Exit code 5 when a class goes where it cannot be read within its
    recovery budget (the stack's storage.recovery_hours).
    """
    values = variables.read(variables.folder(stack.value))
    sizes = amounts.given(data) if data else amounts.stored(stack.value)
    found = plans.plan(
        region or str(values["region"]), plans.classes(values), sizes, files.storage(prices or files.STORAGE_FACTS)
    )  # fmt: skip
    if json:
        document("tiers-plan", found, stack=stack.value)
    else:
        _show(found)
    broken = [row.problem for row in found.rows if row.problem]
    if broken:
        raise Refused(broken[0] + (f", and {len(broken) - 1} more" if len(broken) > 1 else ""))


def _show(found: TiersPlan) -> None:
    rows = []
    for row in found.rows:
        for number, tier in enumerate(row.tiers):
            ways = ", ".join(
                f"{it.name}{f' {it.hours:g} h' if it.hours else ''} ${it.usd:,.2f}{'' if it.fits else ' (too late)'}"
                for it in tier.ways
            )
            best = cheapest(tier)
            rows.append((
                row.name if number == 0 else "", f"{row.gb:,.6g} GB" if number == 0 else "", tier.storage_class,
                f"{tier.from_day}", f"{tier.usd_per_month:,.2f}", ways or "at once", best.name if best else "",
            ))  # fmt: skip
    columns = ("class", "stored", "tier", "from day", "$/month", "reading all of it", "best")
    table(columns, rows, title=f"Tiers in {found.region}")
    for row in found.rows:
        budget = "no budget" if row.recovery_hours is None else f"recovery within {row.recovery_hours:g} h"
        kept = f"{budget}: BROKEN: {row.problem}" if row.problem else budget
        money = f"${row.year_usd:,.2f} instead of ${row.year_standard_usd:,.2f} in STANDARD"
        echo(f"{row.name:<12} first year {money}; {kept}")
    for title, lines in (("prices", found.prices), ("notes", found.notes)):
        for line in lines:
            echo(f"{title:<12} {line}")


@app.command()
def restore(
    address: str = typer.Argument(..., metavar="ADDRESS", help="s3://BUCKET/PATH@VERSION, or s3://BUCKET/PATH."),
    way: str = typer.Option("", "--way", help="Standard or Bulk; the cheapest that is in time without it."),
    within: float = float_option(None, "--within", metavar="HOURS", min=0, help="Refuse what may take longer."),
    days: int = typer.Option(7, "--days", min=1, max=365, help="How long S3 keeps the readable copy."),
    cache: Path = typer.Option(None, "--cache", metavar="DIRECTORY", help="The cache; DUALTRACK_STORE without it."),
    poll: float = float_option(300, "--poll", min=0.1, help="Seconds between two looks."),
    no_wait: bool = typer.Option(False, "--no-wait", help="Ask S3 and end; the same command continues later."),
    yes: bool = YES,
    dry_run: bool = DRY_RUN,
    prices: Path = PRICES,
    region: str = typer.Option("", "--region", help="The bucket's region; your AWS settings' without it."),
    endpoint: str = typer.Option("", "--endpoint", metavar="URL", help="Another S3 than AWS's."),
    json: bool = JSON,
) -> None:
    """Bring an archived checkpoint back: ask for it, wait, fetch it into the cache, check it; promised beside actual.

    Shows what it takes and costs, and asks before money is spent. May be ended at any moment and called again: it
    continues where it was, and nothing is paid twice.
    """

    def say(text: str) -> None:
        echo(text, err=True)

    def spend(found: Quote) -> bool:
        line, free = drill.words(found), not found.archived
        shows = only_shows(yes=yes, dry_run=dry_run, json=json)
        if not shows and (yes or free):
            say(line)
            return True
        return agreed([line], f"Spend US$ {found.usd:,.2f}?", yes=yes, dry_run=dry_run, json=json)

    asked = drill.Asked(
        address=address,
        way=way,
        within=within,
        days=days,
        cache=cache,
        poll=poll,
        wait=not no_wait,
        prices=prices,
        region=region,
        endpoint=endpoint,
    )
    found = drill.restore(asked, spend, say)
    if found.applied and no_wait:
        say("asked for; the same command without --no-wait fetches it")
    if json:
        document("tiers-restore", found)
    if json or found.waited_s is None or found.fetched_s is None:
        return
    way = found.way or "nothing but reading"
    echo(f"{found.address}: {found.objects} objects, {found.gb:,.3g} GB by {way}, ${found.usd:,.2f}")
    echo(f"promised    within {found.promised_s:,.0f} s")
    echo(f"actual      {found.waited_s:,.1f} s, then fetched and checked in {found.fetched_s:,.1f} s")
    echo(found.path)
