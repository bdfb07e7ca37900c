"""`dualtrack pki renew` and `dualtrack pki timer …`: certificates of machines are renewed before they end."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from dualtrack.cli.bring_up import changing
from dualtrack.cli.confirm import DRY_RUN, YES, agreed, only_shows
from dualtrack.cli.options import JSON, PKI
from dualtrack.core.errors import Findings
from dualtrack.core.output import Steps, document, echo
from dualtrack.core.paths import ROOT, STATE
from dualtrack.security.pki.renewal import Standing
from dualtrack.tracks import certificates, renewal_timer

timer = typer.Typer(no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add this file's commands to `dualtrack pki`."""
    app.command()(renew)
    app.add_typer(timer, name="timer", help="The timer on this machine that renews certificates every day.")


def renew(folder: Path = PKI, yes: bool = YES, dry_run: bool = DRY_RUN, json: bool = JSON) -> None:
    """Renew the certificates of machines that are due, on the hosts of the tracks that are up.

    A certificate is due when a third of its 30 days is left, or when its host may not have it. Services load theirs
    again; nodes of a search store are restarted one after the other. Without any that is due nothing is asked and no
    host is connected to.
    """
    wanted = [it for it in certificates.standings(folder) if it.wanted]
    applied = not only_shows(yes=yes, dry_run=dry_run, json=json)
    unused: list[Standing] = []
    if wanted:
        hosts = sorted({it.host for it in wanted})
        question = f"Renew {len(wanted)} certificates on {', '.join(hosts)}?"
        lines = [f"would renew on {', '.join(hosts)}:", *(it.line for it in wanted)]
        if agreed(lines, question, yes=yes, dry_run=dry_run, json=json):
            with changing("pki renew"):
                done = certificates.renew(folder, Steps(quiet=json))
            unused = done.unused
            if not json:
                echo(f"renewed on {', '.join(hosts)} ({done.result.seconds} s)")
    elif not json:
        echo("no certificate is due")
    removed = certificates.clean(folder) if applied else []
    if json:
        document("pki-renewal", {"applied": applied, "certificates": wanted, "unused": unused, "removed": removed})
        return
    for it in unused:
        echo(f"not renewed: {it.kind} {it.name}, which no role of {it.host} uses")
    for it in removed:
        echo(f"removed: {it.kind} {it.name}, which ended on {it.ends:%Y-%m-%d} and which no host uses")


@timer.command()
def install(folder: Path = PKI, dry_run: bool = DRY_RUN) -> None:
    """Install and start a systemd timer that renews certificates every day. --dry-run prints its units.

    For root it is a timer of the system, for another user one of that user. The key of the authority stays here.
    """
    units = renewal_timer.units(_program(), folder.resolve(), root=ROOT, state=STATE.resolve())
    if dry_run:
        echo("\n".join(f"# {units.place / name}\n{text}" for name, text in units.files.items()), nl=False)
        return
    for line in renewal_timer.install(units):
        echo(line)


@timer.command()
def remove(dry_run: bool = DRY_RUN) -> None:
    """Stop the timer and remove its units. Certificates are renewed by `dualtrack pki renew` alone then."""
    for line in renewal_timer.remove(write=not dry_run):
        echo(line)


@timer.command()
def status(json: bool = JSON) -> None:
    """Show whether the timer runs, when it comes next, and how the last renewal ended. Exit code 1 when it failed."""
    found = renewal_timer.state()
    if json:
        document("pki-timer", found)
    else:
        echo(found.line)
    if not found.ok:
        raise Findings("certificates are not renewed", hint=found.remedy)


def _program() -> Path:
    return Path(sys.executable).parent / "dualtrack"
