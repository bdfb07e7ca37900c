"""`dualtrack pools …`: on-demand while spot is short, zones without capacity avoided, and what that brought."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from dualtrack.cli.confirm import DRY_RUN, YES, confirmed, only_shows
from dualtrack.cli.context import StackName
from dualtrack.cli.options import JSON, LISTING, STACK, float_option
from dualtrack.cloud.pools import context as pools
from dualtrack.cloud.pools import unit as text
from dualtrack.cloud.pools.context import PoolsStatus
from dualtrack.cloud.pools.report import PoolsReport
from dualtrack.cloud.pools.report import report as reckon
from dualtrack.cloud.pools.state import Entry, Store
from dualtrack.core.errors import BadInput
from dualtrack.core.output import document, echo, records, result, table
from dualtrack.core.paths import ROOT, STATE

app = typer.Typer(no_args_is_help=True)

INVENTORY = typer.Option(
    None, "--inventory", help="The stack's output `inventory` as a JSON file; OpenTofu's state without it."
)
ENDPOINT = typer.Option("", "--endpoint", help="Ask this API instead of the stack's own.")
PRICES = typer.Option(None, "--prices", help="Your price file; the repository's dated facts without it.")
CEILING = float_option(
    None, "--ceiling", metavar="USD_PER_DAY", help="What all on-demand GPU nodes together may cost a day."
)
INTERVAL = float_option(30.0, "--interval", min=1, max=3600, help="Seconds from one look to the next.")
GRACE = float_option(300.0, "--grace", min=0, help="Seconds that spot must be short before on-demand is raised.")
HOLD = float_option(900.0, "--hold", min=0, help="Seconds that spot must hold before on-demand is lowered again.")
COOLDOWN = float_option(1800.0, "--cooldown", min=1, help="Seconds that a zone without capacity is left out.")


@app.command()
def watch(
    once: bool = typer.Option(False, "--once", help="Look once, decide, and end."),
    yes: bool = YES,
    dry_run: bool = DRY_RUN,
    ceiling: float = CEILING,
    interval: float = INTERVAL,
    grace: float = GRACE,
    hold: float = HOLD,
    cooldown: float = COOLDOWN,
    stack: StackName = STACK,
    inventory: Path = INVENTORY,
    endpoint: str = ENDPOINT,
    prices: Path = PRICES,
    json: bool = JSON,
) -> None:
    """Watch the pools: raise on-demand while spot has no capacity or quota, and leave starved zones out.

    Looks once and asks before it acts; --yes acts, --dry-run only says what it would do. To act needs --ceiling.
    Records of the nodes' name that are not their instances' addresses are taken out. Every decision is printed with its
    reason and kept in a journal (`dualtrack pools report`); --json prints each one as a line of JSON.
    """
    where = pools.place(stack.value, inventory=inventory, endpoint=endpoint)
    allowed = pools.policy(
        where.output,
        pools.prices(prices),
        ceiling=ceiling,
        grace=grace,
        hold=hold,
        cooldown=cooldown,
        interval=interval,
    )
    say = records("pools-entry") if json else _line
    if only_shows(yes=yes, dry_run=dry_run, json=json):
        pools.watch(where, allowed, apply=False, once=once, interval=interval, say=say)
        return
    pools.check_ceiling(allowed)
    if not yes:
        pools.watch(where, allowed, apply=False, once=True, interval=interval, say=say)
        confirmed("Do this?" if once else "Act so, from now on?")
    pools.watch(where, allowed, apply=True, once=once, interval=interval, say=say)


@app.command()
def status(
    stack: StackName = STACK,
    inventory: Path = INVENTORY,
    endpoint: str = ENDPOINT,
    prices: Path = PRICES,
    json: bool = LISTING,
) -> None:
    """Show the pools: sizes, what the controller has raised, which zones it avoids, money a day against the ceiling."""
    found = pools.status(pools.place(stack.value, inventory=inventory, endpoint=endpoint), pools.prices(prices))
    if json:
        document("pools-status", found, stack=stack.value)
    else:
        _show_status(found)


@app.command()
def report(
    since: float = float_option(0.0, "--hours", metavar="N", min=0, help="Only the last so many hours."),
    stack: StackName = STACK,
    prices: Path = PRICES,
    json: bool = LISTING,
) -> None:
    """Print what the watch did and why, and what its pools cost beside on-demand at the same hours."""
    store = Store(pools.folder(stack.value))
    entries, unreadable = store.entries()
    begin = time.time() - since * 3600 if since else 0.0
    # What was counted last went on until the watch last looked.
    until = max([store.peek()[0].memory.at, *(it.at for it in entries)]) if entries else 0.0
    found = reckon(entries, pools.prices(prices), since=begin, until=until, unreadable=unreadable)
    result("pools-report", found, lambda: _show_report(found), stack=stack.value, json=json)


@app.command()
def unit(
    user: str = typer.Option("dualtrack", "--user", help="Who runs it; must be able to read this checkout."),
    ceiling: float = float_option(
        ..., "--ceiling", metavar="USD_PER_DAY", min=0, help="What all on-demand GPU nodes may cost a day."
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="A unit that only says what it would do."),
    interval: float = INTERVAL,
    grace: float = GRACE,
    hold: float = HOLD,
    cooldown: float = COOLDOWN,
    stack: StackName = STACK,
    inventory: Path = INVENTORY,
    prices: Path = PRICES,
) -> None:
    """Print a systemd unit that runs the watch with these options, shut off from all that it does not need."""
    if stack is StackName.aws and inventory is None:
        # OpenTofu writes where it runs, and the unit may write nowhere but into its own directory.
        raise BadInput(
            "a unit for a real account reads the stack's output from a file",
            hint="tofu output -json inventory > FILE, and --inventory FILE",
        )
    words = [
        "pools",
        "watch",
        "--dry-run" if dry_run else "--yes",
        "--stack",
        stack.value,
        "--ceiling",
        f"{ceiling:g}",
    ]
    words += [
        "--interval",
        f"{interval:g}",
        "--grace",
        f"{grace:g}",
        "--hold",
        f"{hold:g}",
        "--cooldown",
        f"{cooldown:g}",
    ]
    for name, path in (("--inventory", inventory), ("--prices", prices)):
        words += [name, str(path.resolve())] if path else []
    program = Path(sys.executable).parent / "dualtrack"
    echo(
        text.unit(
            program, words, user=user, root=ROOT, state=STATE.resolve(), folder=pools.folder(stack.value).resolve()
        ),
        nl=False,
    )


def _time(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}Z"


def _line(entry: Entry) -> None:
    would = "would " if not entry.applied and entry.action is not None else ""
    where = f" {entry.pool}:" if entry.pool else ""
    echo(f"{_time(entry.at)} {would}{entry.kind}{where} {entry.reason}")


def _usd(value: float | None) -> str:
    return "not known" if value is None else f"{value:,.2f}"


def _show_status(found: PoolsStatus) -> None:
    rows = []
    for it in found.pools:
        avoided = ", ".join(f"{zone} until {_time(until)}" for zone, until in it.avoided.items())
        rows.append(
            (it.pool, it.lifecycle, f"{it.nodes} of {it.desired}", str(it.max), str(it.raised), ", ".join(it.zones),
             avoided or "-", _usd(it.usd_per_day))
        )  # fmt: skip
    columns = ("pool", "lifecycle", "nodes", "max", "replacing spot", "zones", "avoided", "on-demand US$ a day")
    table(columns, rows)
    ceiling = "no ceiling yet (no watch has run)" if found.ceiling is None else f"the ceiling is {found.ceiling:,.2f}"
    echo(f"on-demand: {_usd(found.usd_per_day)} US$ a day; {ceiling}; prices: {'; '.join(found.prices)}")
    echo("a watch is running" if found.watching else "no watch is running: dualtrack pools watch")
    problems: list[Any] = [it.inconsistency for it in found.pools if it.inconsistency] + [found.problem]
    for problem in filter(None, problems):
        echo(f"problem: {problem}", err=True)


def _show_report(found: PoolsReport) -> None:
    if not found.events and not found.rows:
        echo("there is no journal yet: dualtrack pools watch")
        return
    table(
        ("when (UTC)", "what", "pool", "why"),
        [(_time(it.at), it.kind if it.applied else f"({it.kind})", it.pool or "-", it.reason) for it in found.events],
        title="What happened (in brackets: a dry run)",
    )
    table(
        ("pool", "type", "bought as", "node hours", "US$", "US$ all on demand"),
        [
            (it.pool, it.type, it.lifecycle, f"{it.node_hours:.2f}", _usd(it.usd), _usd(it.usd_on_demand))
            for it in found.rows
        ],
        title="What it cost",
    )
    echo(f"together {_usd(found.usd)} US$, all on demand {_usd(found.usd_on_demand)}: saved {_usd(found.saved)}")
    extra = _usd(found.fallback_extra)
    echo(f"on-demand replaced spot for {found.fallback_hours:.2f} node hours, {extra} US$ more expensive")
    echo(f"{found.seen_hours:.2f} hours seen, {found.unseen_hours:.2f} not; prices: {'; '.join(found.prices)}")
    if found.unreadable:
        echo(f"{found.unreadable} lines of the journal cannot be read", err=True)
