"""`dualtrack residency …`: whose requests left the country, and by which database addresses have one."""

from __future__ import annotations

from pathlib import Path

import typer

from dualtrack.cli.options import LISTING, output_path
from dualtrack.core.errors import BadInput, Findings
from dualtrack.core.output import echo, result, table
from dualtrack.serving import countries
from dualtrack.serving.residency import ResidencyReport
from dualtrack.tracks import residency, serving

app = typer.Typer(no_args_is_help=True)


@app.command()
def report(
    year: int = typer.Option(None, "--year", min=2000, max=9999, help="A calendar year in China; this one without it."),
    json: bool = LISTING,
) -> None:
    """Show how many persons' requests went to the cloud track in a year, against the limits of China's rules of 2024.

    A person is whom a request names (`safety_identifier` or `user`), by tenant; a request that names nobody counts as
    one person for each API key. Exit code 1 when a limit is near (80 percent), or a gateway does not say.
    """
    now = residency.persons(serving.sites(), year)
    result("residency-report", now, lambda: _show(now), json=json)
    near = [f"{it.persons:,} of {it.next_limit:,} {said_of(it.kind)}" for it in now.kinds if it.near]
    if near or now.problems:
        raise Findings("; ".join([*now.problems, *(f"a limit is near: {it}" for it in near)]))


def _show(now: ResidencyReport) -> None:
    if now.gateways:
        said = {"persons": "persons", "sensitive": "with sensitive data"}
        rows = [
            (said[it.kind], f"{it.persons:,}", f"{it.by_key:,}", f"{it.next_limit:,}" if it.next_limit else "none")
            for it in now.kinds
        ]
        table((f"{now.year} (UTC+8)", "left the country", "known by their keys only", "next limit"), rows)
        echo(f"by these counts the rules ask for {now.asked}")


def said_of(kind: str) -> str:
    """Return how a kind of counted persons is called in a sentence."""
    return "persons with sensitive data" if kind == "sensitive" else "persons"


@app.command()
def database(
    package: Path = typer.Argument(
        ...,
        metavar="DIRECTORY",
        help="With the files geoip and geoip6 of Debian's package tor-geoipdb (/usr/share/tor).",
    ),
    out: Path = typer.Argument(..., metavar="FILE", help="The database to write (MMDB).", callback=output_path),
) -> None:
    """Make a database of countries from Debian's tor-geoipdb, for gateway_countries_file. It takes about a minute."""
    for name in ("geoip", "geoip6"):
        if not (package / name).is_file():
            raise BadInput(f"{package} has no {name}", hint="apt-get download tor-geoipdb; dpkg-deb -x FILE DIRECTORY")
    countries.convert(package / "geoip", package / "geoip6", out)
    echo(f"wrote {out}", err=True)
