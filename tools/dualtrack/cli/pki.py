"""`dualtrack pki …`: the private authority, whose certificates the search store goes by."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import typer
from msgspec import structs

from dualtrack.cli.confirm import DRY_RUN, YES, agreed, only_shows
from dualtrack.cli.options import JSON, LISTING, PKI
from dualtrack.core.errors import Findings
from dualtrack.core.output import document, echo, table
from dualtrack.security.pki import authority, lifetimes, renewal, rotation
from dualtrack.tracks import certificates

app = typer.Typer(no_args_is_help=True)


#: What each step of a rotation changes.
STEPS = {
    "both": "would make another authority, and put it into ca.pem beside the present one",
    "new": "would let the new authority issue, and destroy the key of tokens: those that were given end",
    "alone": "would take the old authority out of ca.pem: its certificates are good no more",
}


@app.command()
def issue(
    kind: str = typer.Argument(
        ...,
        metavar="KIND",
        help="node, shipper (ships its trail), witness (co-signs heads), logger, keeper, person or admin.",
    ),
    name: str = typer.Argument(..., metavar="NAME", help="The host's name, in lower case."),
    address: list[str] = typer.Option(
        [], "--address", help="Under which a node is called: a name or an IP address; again for more."
    ),
    folder: Path = PKI,
    json: bool = JSON,
) -> None:
    """Make a certificate, or show the one that is there; the authority is made with the first one.

    It is valid for 30 days, one of a person or the administrator for 7. It is renewed when a third of its life is left,
    or when its addresses are others.
    """
    found = authority.issue(folder, kind, name, address)  # type: ignore[arg-type] # it says which kinds there are
    if json:
        document("pki-certificate", found)
    else:
        echo(f"{found.certificate}\n{found.key}")


@app.command()
def show(folder: Path = PKI, json: bool = LISTING) -> None:
    """Show the authority and its certificates, and how long each is good. Exit code 1 when one ends soon, or has ended.

    A machine's certificate counts when a host of the tracks that are up holds it and less than a week is left: its
    renewal fails. In another directory than the deployment's each counts that has ended. People's and the
    administrator's do not count: commands renew them.
    """
    found, now = list(authority.listed(folder)), datetime.now(UTC)
    standings = certificates.standings(folder, now)
    known = {(it.kind, it.name): it for it in standings}
    # An authority's own certificate is of no kind that one issues: it may be good for years.
    kinds = ["" if it.kind == "authority" else it.kind for it in found]
    rows = [
        {"host": it.host, "state": it.state} if (it := known.get((one.kind, one.name))) else
        {"host": "", "state": lifetimes.state(kind, lifetimes.Life(one.begins, one.ends), now)}
        for kind, one in zip(kinds, found, strict=True)
    ]  # fmt: skip
    if json:
        document("pki", {"certificates": [structs.asdict(it) | more for it, more in zip(found, rows, strict=True)]})
    else:
        table(
            ("kind", "name", "host", "ends", "left", "state"),
            [(it.kind, it.name, more["host"], f"{it.ends:%Y-%m-%d}", f"{(it.ends - now).days} days", more["state"])
             for it, more in zip(found, rows, strict=True)],
        )  # fmt: skip
    if found[0].ends <= now:
        raise Findings("the authority has ended", hint="make a new directory")
    if found[0].ends - now < lifetimes.CA_LATE:
        raise Findings(
            f"the authority ends in {(found[0].ends - now).days} days, and all of its certificates with it",
            hint="dualtrack pki rotate",
        )
    if line := renewal.complaint(standings):
        raise Findings(line, hint="dualtrack pki renew")
    elsewhere = folder.resolve() != Path(PKI.default).resolve()
    if elsewhere and (over := [f"{it.kind} {it.name}" for it in standings if it.state == "over"]):
        raise Findings(f"ended: {', '.join(over)}", hint="`dualtrack pki issue` renews each; bring it to its host")


@app.command()
def rotate(
    folder: Path = PKI,
    step: str = typer.Option("", "--step", help="both, new or alone: take it, if it is the next one."),
    have: list[str] = typer.Option(
        [], "--have", metavar="SHA256", help="The digest of ca.pem as a node or host has it; again for each. For `new`."
    ),
    forget: bool = typer.Option(
        False, "--forget", help="With `alone`: remove the old authority's certificates that nobody renewed."
    ),
    yes: bool = YES,
    dry_run: bool = DRY_RUN,
    json: bool = JSON,
) -> None:
    """Replace the authority by another one, in three steps that cut nobody off; without --step say which is next.

    Shows what a step changes, and asks.

    both: a new one is made, and ca.pem has both. new: certificates come from the new one. alone: the old one goes.
    `dualtrack play audit-rotate` takes all three, and brings the files to nodes and hosts between them.
    """
    found = rotation.look(folder)
    applied = bool(step) and not only_shows(yes=yes, dry_run=dry_run, json=json)
    if step:
        left = rotation.due(found, step)  # type: ignore[arg-type] # it says which steps there are
        lines = [STEPS[step] if left else f"the step {step} was taken"]
        # A step that was taken is not asked about: to take it again changes nothing.
        if agreed(lines, f"Take the step {step}?", yes=yes or not left, dry_run=dry_run, json=json):
            found = rotation.take(folder, step, have, forget=forget)  # type: ignore[arg-type]
    if json:
        document("pki-rotation", {"applied": applied, **structs.asdict(found)})
        return
    echo(f"{found.state}: {found.authorities[0]} issues, trusted: {', '.join(found.authorities)}")
    echo(f"ca.pem is {found.bundle}")
    if found.state == "new" and found.old:
        echo(f"still of the old one: {', '.join(found.old)}")
    echo({
        "both": "next: --step both, which makes another authority; nobody is cut off by it",
        "new": "next: bring ca.pem to every node and host, then --step new --have its sha256sum as they have it",
        "alone": "next: bring the new certificates to every node and host, then --step alone",
    }[found.next])  # fmt: skip
