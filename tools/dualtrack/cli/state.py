"""`dualtrack state …`: a deployment's state in one sealed file."""

from __future__ import annotations

from pathlib import Path

import typer

from dualtrack.cli.bring_up import changing
from dualtrack.cli.confirm import DRY_RUN, YES, agreed
from dualtrack.cli.options import LISTING
from dualtrack.cli.seal import IDENTITIES, KEY_PASSPHRASE, PASSPHRASE, RECIPIENTS
from dualtrack.core.characters import visible
from dualtrack.core.output import echo, result, table
from dualtrack.core.progress import Progress, size
from dualtrack.security.seal import actions, keyfiles
from dualtrack.tracks import state_backup

app = typer.Typer(no_args_is_help=True)
COLUMNS = ("belongs to", "files", "size")
SOURCE = typer.Argument(..., metavar="FILE", help="A backup.")


@app.command()
def backup(
    target: Path = typer.Argument(..., metavar="FILE", help="Where to: a file that does not exist yet."),
    recipient: list[Path] = RECIPIENTS,
    passphrase_file: Path = PASSPHRASE,
    include: list[Path] = typer.Option(
        [], "--include", metavar="PATH", help="Also this file or directory, such as /srv/dualtrack (may be repeated)."
    ),
    json: bool = LISTING,
) -> None:
    """Seal all that another controller needs into FILE: the state, the facts file, the stack's settings.

    Keys that your inventory names elsewhere are not known: include their directories.
    """
    recipients = keyfiles.recipients(recipient, passphrase_file)
    with changing("state backup"), Progress("sealed", 0) as tick:
        made = state_backup.backup(target, recipients, include, tick)
    _print(made, json)
    echo(f"{target}: for {len(recipients)} to open", err=True)


@app.command()
def show(
    source: Path = SOURCE,
    identity: list[Path] = IDENTITIES,
    passphrase_file: Path = PASSPHRASE,
    identity_passphrase_file: Path = KEY_PASSPHRASE,
    json: bool = LISTING,
) -> None:
    """List what a backup holds, and check every byte of it."""
    identities = keyfiles.identities(identity, passphrase_file, identity_passphrase_file)
    with Progress("read", actions.length(str(source))) as tick:
        found = state_backup.show(source, identities, tick)
    _print(found, json)


@app.command()
def restore(
    source: Path = SOURCE,
    identity: list[Path] = IDENTITIES,
    passphrase_file: Path = PASSPHRASE,
    identity_passphrase_file: Path = KEY_PASSPHRASE,
    yes: bool = YES,
    dry_run: bool = DRY_RUN,
) -> None:
    """Put the state of a backup in place on this controller. Refused where any part of it is there already."""
    identities = keyfiles.identities(identity, passphrase_file, identity_passphrase_file)
    # Without the lock of commands that change hosts: it is in the state directory, which must not be there yet.
    with Progress("read", actions.length(str(source))) as tick:
        found = state_backup.restore(source, identities, tick, dry_run=True)
    lines = [f"would write {it.target()}: {it.files} files, {size(it.size)}" for it in found.parts]
    if not agreed(map(visible, lines), f"Restore the state of {found.taken}?", yes=yes, dry_run=dry_run):
        return
    state_backup.restore(source, identities, lambda _: None)
    echo(f"the state of {found.taken} is in place; next: dualtrack verify", err=True)


def _print(found: state_backup.Manifest, json: bool) -> None:
    rows = [(visible(str(it.target())), str(it.files), size(it.size)) for it in found.parts]
    result("state-backup", found, lambda: table(COLUMNS, rows), json=json)
