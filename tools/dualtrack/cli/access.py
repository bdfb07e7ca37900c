"""`dualtrack access …`: people and their roles, what follows from them, and whether it is so on what runs."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

import typer

from dualtrack.cli.confirm import DRY_RUN, YES, agreed
from dualtrack.cli.options import JSON, LISTING, PEOPLE, PKI
from dualtrack.core.errors import BadInput, Findings
from dualtrack.core.output import Steps, check_read, document, echo, table
from dualtrack.core.paths import STATE
from dualtrack.inventory import deployment
from dualtrack.security.access import break_glass as glass
from dualtrack.security.access import matrix as cells
from dualtrack.security.access import model
from dualtrack.security.access.matrix import Cell
from dualtrack.security.access.model import Access

app = typer.Typer(no_args_is_help=True)

GRANTS = typer.Option(
    STATE / "access/grants.json",
    "--grants",
    metavar="FILE",
    help="Where temporary rights are recorded; the deployment's without it.",
)
MARKS = {"allowed": "yes", "refused": "no", "found": "found"}


@app.command()
def people(file: Path = PEOPLE, grants: Path = GRANTS, json: bool = LISTING) -> None:
    """Show the people, their roles and grants, and who has temporary rights."""
    access = model.load(file)
    force = glass.active_grants(grants, access)
    if json:
        rows = [
            {"name": it.name, "uid": it.uid, "roles": it.roles, "groups": it.groups,
             "grants": sorted(access.grants(it.roles))}
            for it in access.people
        ]  # fmt: skip
        document("access-people", {"people": rows, "for_a_while": force})
        return
    temporary = {name: [it for it in force if it.name == name] for name in {it.name for it in force}}
    table(("name", "uid", "roles", "groups", "what for", "grants", "break-glass access"),
          [(it.name, str(it.uid), ", ".join(it.roles), ", ".join(it.groups), it.comment,
            ", ".join(sorted(access.grants(it.roles))),
            "; ".join(f"{one.id}: {one.role} until {one.until:%Y-%m-%dT%H:%M:%SZ}: {one.reason}"
                      for one in temporary.get(it.name, ())))
           for it in access.people], wide=2)  # fmt: skip
    for grant in force:
        echo(grant.line)


@app.command(name="grants")
def list_grants(json: bool = LISTING) -> None:
    """List what a role of your own can be made of."""
    if json:
        document("access-grants", {"grants": dict(model.GRANTS)})
    else:
        table(("grant", "what it allows"), model.GRANTS.items())


@app.command()
def matrix(
    file: Path = PEOPLE,
    grants: Path = GRANTS,
    test: bool = typer.Option(
        False, "--test", help="Try every cell on the tracks that are up, as the people themselves."
    ),
    json: bool = LISTING,
) -> None:
    """Print who may do what. With --test each role tries all of it; exit code 1 when a cell differs.

    `found`: root on a host can do it; it cannot be prevented there, and the audit trail shows it. Nothing is changed:
    what would be destructive is aimed at names that do not exist.
    """
    from dualtrack.security.access import matrix_test

    access = model.load(file)
    if not test:
        shown = tuple(cells.expected(access))
        if json:
            document("access-matrix", {"cells": shown})
        else:
            _show(access, shown)
        return
    inventories = deployment.inventories_up()
    busy = {it.name for it in glass.active_grants(grants, access)}
    report = matrix_test.trial(access, inventories, Steps(quiet=json), busy)
    if json:
        document("access-trial", report)
    else:
        _show(access, report.cells)
        tried = sum(bool(it.outcome) for it in report.cells)
        echo(f"{tried} of {len(report.cells)} cells tried, {tried - len(report.wrong)} as they must be")
        echo(f"{report.recorded} of {report.refusals} refusals to become root are in the audit trail")
    if report.wrong:
        it = report.wrong[0]
        raise Findings(
            f"{it.person} ({it.role}) on {it.place}: {it.action} was {it.outcome}, not {it.expected}: {it.said}"
        )
    if report.missing:
        raise Findings(f"refused, and not recorded: {', '.join(report.missing)}")


def _show(access: Access, found: tuple[Cell, ...]) -> None:
    by = {(it.action, it.role): it for it in found}
    roles, tried = list(cells.roles(access)), any(it.outcome for it in found)

    def word(cell: Cell) -> str:
        mark = MARKS[cell.expected]
        if not tried:
            return mark
        if not cell.outcome:
            return f"{mark} (not tried)"
        return f"{mark} ✓" if cell.right else f"{cell.outcome.upper()}, not {cell.expected}"

    table(("where", "what", *roles),
          [(it.service, it.what, *(word(by[it.id, role]) for role in roles)) for it in cells.ACTIONS])  # fmt: skip


class Service(StrEnum):
    """What a token is for: one for the one is none for the other."""

    store = "store"
    knowledge = "knowledge"


@app.command()
def token(
    name: str = typer.Argument(..., metavar="NAME", help="Whose."),
    minutes: int = typer.Option(60, "--minutes", min=1, max=24 * 60, help="How long it is good."),
    service: Service = typer.Option(Service.store, "--for", help="The search store, or the knowledge base."),
    file: Path = PEOPLE,
    authority: Path = PKI,
) -> None:
    """Print a token with which a person signs in to a service; what it allows ends with the person's rights.

    Whoever has it is that person there: hand it over as you would a password.
    """
    from dualtrack.knowledge.service.people import AUDIENCE as KNOWLEDGE
    from dualtrack.security.access import tokens
    from dualtrack.security.opensearch.security_config import AUDIENCE

    person = model.load(file).person(name)
    new = _known_key(authority)
    until = datetime.now(UTC) + timedelta(minutes=minutes)
    audience = {Service.store: AUDIENCE, Service.knowledge: KNOWLEDGE}[service]
    echo(tokens.issue(authority, person.name, [f"person-{person.name}"], until=until, audience=audience))
    check_read("the token")
    _say_new(new)


def _known_key(authority: Path) -> Path | None:
    """Return the file of the key of tokens where it is to be made; BadInput for a directory that is not there.

    The deployment's own directory may be made: the next `dualtrack play` reads the key there. Any other is a mistake.
    """
    from dualtrack.security.pki.authority import TOKEN_KEY

    if authority != STATE / "pki" and not authority.is_dir():
        raise BadInput(f"{authority} is not a directory", hint="--pki names an authority's: services know no other key")
    return None if os.path.lexists(authority / TOKEN_KEY) else authority / TOKEN_KEY


def _say_new(key: Path | None) -> None:
    if key is not None:
        echo(f"made {key}, which signs tokens: services know it after the next `dualtrack play`", err=True)


@app.command(name="break-glass")
def break_glass(
    name: str = typer.Argument(..., metavar="NAME", help="Who needs more than their own roles."),
    role: str = typer.Option("administrator", "--role", help="Which role."),
    minutes: int = typer.Option(60, "--minutes", help="For how long; it ends automatically."),
    reason: str = typer.Option(..., "--reason", help="Why, in words: it goes into every host's audit trail."),
    file: Path = PEOPLE,
    grants: Path = GRANTS,
    authority: Path = PKI,
    json: bool = JSON,
) -> None:
    """Give somebody a role for minutes, and print a token for the search store; then `dualtrack play people` brings it.

    It ends automatically everywhere, also where the controller is away. Who audits cannot be made an administrator.
    """
    from dualtrack.security.access import tokens

    access, id = model.load(file), glass.new_id()
    new = _known_key(authority)
    tokens.key(authority)  # a right whose token cannot be signed is not given
    try:
        grant = glass.grant(grants, access, name, role, minutes=minutes, reason=reason, id=id)
        made = tokens.issue(authority, name, [f"person-{name}", f"glass-{id}"], until=grant.until)
        if json:
            document("access-break-glass", {"grant": grant, "token": made})
        else:
            echo(made)
        check_read("the token")
    except BaseException:  # an interrupt as well: nobody has read the token, and nobody knows of the grant
        glass.withdraw(grants, id)
        raise
    _say_new(new)
    if json:
        return
    echo(f"{grant.line}\nnow: dualtrack play people; ended before its time by"
               f" `dualtrack access revoke {grant.id}`", err=True)  # fmt: skip


@app.command()
def revoke(
    id: str = typer.Argument(..., metavar="NUMBER", help="The grant's number (`dualtrack access people`)."),
    grants: Path = GRANTS,
    yes: bool = YES,
    dry_run: bool = DRY_RUN,
) -> None:
    """Show temporary rights, and end them before their time; `dualtrack play people` brings it everywhere."""
    if not agreed([f"would end {glass.in_force(grants, id).line}"], "End them now?", yes=yes, dry_run=dry_run):
        return
    echo(f"ended: {glass.end(grants, id).line}; now: dualtrack play people", err=True)


@app.command()
def kubernetes(file: Path = PEOPLE) -> None:
    """Print the bindings for Kubernetes, for `kubectl apply -f -`: who reads, uses or administers the cluster."""
    import yaml

    from dualtrack.security.access import services

    echo(yaml.safe_dump_all(services.cluster(model.load(file)), sort_keys=False), nl=False)
