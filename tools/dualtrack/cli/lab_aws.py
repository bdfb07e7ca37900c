"""`dualtrack lab aws …`: what the emulated AWS lacks, refuses, delays and lies about."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import typer

from dualtrack.cli.options import LISTING, float_option
from dualtrack.core.output import echo, result, table
from dualtrack.core.paths import LAB
from dualtrack.lab.fault_injection import edit

app = typer.Typer(no_args_is_help=True)


class Error(StrEnum):
    """Why a launch fails."""

    capacity = "capacity"
    unfulfillable = "unfulfillable"
    quota = "quota"


class Lifecycle(StrEnum):
    """What is bought."""

    spot = "spot"
    on_demand = "on-demand"


ACTION = typer.Argument(..., help="The API's own name of it, such as DescribeAutoScalingGroups.")
CALLS = typer.Option(None, "--calls", min=1, help="So many calls; without it, until `clear`.")


@app.command()
def show(json: bool = LISTING) -> None:
    """Show the conditions in force, and how often each rule has been used."""
    found = edit.show(LAB)
    result("lab-aws", found, lambda: _show(found), json=json)


def _show(found: edit.Shown) -> None:
    if not found.rules and not found.prices:
        echo("nothing out of the ordinary: dualtrack lab aws deny … makes launches fail")
        return
    if found.rules:
        rows = [(it.kind, it.about, str(it.used), "always" if it.left is None else str(it.left)) for it in found.rules]
        table(("rule", "about", "used", "left"), rows)
    if found.prices or found.scores:
        echo(f"{found.prices} prices and {found.scores} placement scores: {found.source or 'no source given'}")


@app.command()
def deny(
    error: Error = typer.Option(Error.capacity, help="capacity (a zone's), unfulfillable, or quota (the account's)."),
    lifecycle: Lifecycle = typer.Option(None, help="Only spot, or only on-demand; both without it."),
    instance_type: str = typer.Option("", "--type", help="Only this instance type."),
    zone: str = typer.Option("", help="Only this zone."),
    launches: int = typer.Option(None, "--launches", min=1, help="So many launches; without it, until `clear`."),
) -> None:
    """Let launches of scaling groups fail, as a zone without capacity or an account without quota makes them."""
    edit.add(
        LAB,
        edit.Denial(
            error=error.value,
            lifecycle=lifecycle.value if lifecycle else "",
            instance_type=instance_type,
            zone=zone,
            launches=launches,
        ),
    )


@app.command()
def throttle(action: str = ACTION, calls: int = CALLS) -> None:
    """Let calls of ACTION be refused because there were too many (RequestLimitExceeded, Throttling)."""
    edit.add(LAB, edit.Throttle(action=action, calls=calls))


@app.command()
def slow(
    action: str = ACTION,
    seconds: float = float_option(10, "--seconds", min=0.1, max=600, help="How late the answer is."),
    calls: int = CALLS,
) -> None:
    """Let calls of ACTION be answered late."""
    edit.add(LAB, edit.Delay(action=action, seconds=seconds, calls=calls))


@app.command()
def lie(
    action: str = typer.Argument(
        ..., help="DescribeAutoScalingGroups, DescribeAutoScalingGroups/Instances, DescribeInstances, …"
    ),
    calls: int = CALLS,
) -> None:
    """Let calls of ACTION answer with an empty list, whatever there is."""
    edit.add(LAB, edit.Lie(action=action, calls=calls))


@app.command("set")
def set_(file: Path = typer.Argument(..., help="A scenario in JSON or YAML.")) -> None:
    """Take the conditions from FILE, in place of those in force: rules, spot price curves, placement scores."""
    found = edit.replace(LAB, file)
    echo(f"in force: {found.source or file}", err=True)


@app.command()
def clear() -> None:
    """Take every condition away: the emulated AWS has endless capacity again."""
    echo("the conditions are gone" if edit.clear(LAB) else "there were none", err=True)
