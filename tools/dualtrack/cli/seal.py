"""`dualtrack seal …` and `dualtrack unseal`: files, directories and pipes under SM4."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from dualtrack.cli.options import JSON
from dualtrack.core.errors import BadInput, Findings
from dualtrack.core.output import document, echo
from dualtrack.core.progress import Progress, size
from dualtrack.security.seal import actions, keyfiles
from dualtrack.security.seal import rekey as work


class _FileOrCommand(TyperGroup):
    """A group whose first command need not be named: `dualtrack seal IN` is `dualtrack seal new IN`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, *self.get_help_option_names(ctx)}:
            args = ["new", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_FileOrCommand,
    no_args_is_help=True,
)

OUT = typer.Option(..., "--output", "-o", help="Where to: a file that does not exist yet, or - for stdout.")
FORCE = typer.Option(False, "--force", help="Replace the output file when it exists.")
RECIPIENTS = typer.Option([], "--recipient", "-r", help="A public SM2 key file that may open it (may be repeated).")
IDENTITIES = typer.Option(
    [], "--identity", "-i", help="A private SM2 key file, mode 0600, to open it with (may be repeated)."
)
PASSPHRASE = typer.Option(None, "--passphrase-file", help="A file, mode 0600, whose one line is the passphrase.")
KEY_PASSPHRASE = typer.Option(
    None,
    "--identity-passphrase-file",
    help="A file, mode 0600, with the passphrase that the private key itself is under.",
)


@app.command()
def new(
    source: str = typer.Argument(..., metavar="IN", help="A file, a directory, or - for stdin."),
    output: str = OUT,
    recipient: list[Path] = RECIPIENTS,
    passphrase_file: Path = PASSPHRASE,
    force: bool = FORCE,
) -> None:
    """Seal IN, a file, a directory or - for stdin: `dualtrack seal IN -o OUT`. IN stays as it is."""
    recipients = keyfiles.recipients(recipient, passphrase_file)
    with Progress("sealed", actions.length(source)) as tick:
        count = actions.seal(source, output, recipients, force=force, tick=tick)
    echo(f"sealed {size(count)} for {len(recipients)} to open", err=True)


def unseal(
    source: str = typer.Argument(..., metavar="IN", help="A sealed file, or - for stdin."),
    output: str = OUT,
    identity: list[Path] = IDENTITIES,
    passphrase_file: Path = PASSPHRASE,
    identity_passphrase_file: Path = KEY_PASSPHRASE,
    part: str = typer.Option("", "--range", help="Only these bytes: OFFSET:LENGTH, or OFFSET: for all that follow."),
    force: bool = FORCE,
) -> None:
    """Open a sealed file, or - for stdin. A file or directory appears complete or not at all; IN stays unchanged."""
    identities = keyfiles.identities(identity, passphrase_file, identity_passphrase_file)
    if part:
        offset, length = _range(part)
        opened = actions.unseal_range(source, output, identities, offset, length, force=force)
    else:
        with Progress("unsealed", actions.length(source)) as tick:
            opened = actions.unseal(source, output, identities, force=force, tick=tick)
    if not opened.twins:
        echo("note: the two copies of its header differ: see dualtrack seal verify", err=True)


@app.command()
def verify(
    source: str = typer.Argument(..., metavar="FILE", help="A sealed file, or - for stdin."),
    identity: list[Path] = IDENTITIES,
    passphrase_file: Path = PASSPHRASE,
    identity_passphrase_file: Path = KEY_PASSPHRASE,
    json: bool = JSON,
) -> None:
    """Check every byte of a sealed file without writing it anywhere. Exit code 1 names the first bad bytes."""
    if not identity and not passphrase_file:
        raise BadInput(
            "without a key nothing can be verified", hint="--identity or --passphrase-file; `seal show` needs none"
        )
    identities = keyfiles.identities(identity, passphrase_file, identity_passphrase_file)
    with Progress("verified", actions.length(source)) as tick:
        check = actions.verify(source, identities, tick)
    if json:
        document("seal-check", check)
    elif check.ok:
        echo(f"{source} is as it was sealed: {size(check.verified)}, for {', '.join(check.header.recipients)}")
    if not check.ok:
        raise Findings(f"{source}: {check.message}")


@app.command()
def show(
    source: Path = typer.Argument(..., metavar="FILE", help="A sealed file."),
    json: bool = JSON,
) -> None:
    """Say for whom a file is sealed. Needs no key, and so cannot tell whether it is true."""
    found = actions.show(source)
    if json:
        document("seal-header", found)
        return
    echo(f"{found.content} in chunks of {found.chunk >> 10} KiB, generation {found.generation} of its keys; opens:")
    for recipient in found.recipients:
        echo(f"  {recipient}")


@app.command()
def rekey(
    source: Path = typer.Argument(..., metavar="FILE", help="A sealed file."),
    recipient: list[Path] = RECIPIENTS,
    new_passphrase_file: Path = typer.Option(None, "--new-passphrase-file", help="A passphrase that shall open it."),
    identity: list[Path] = IDENTITIES,
    passphrase_file: Path = PASSPHRASE,
    identity_passphrase_file: Path = KEY_PASSPHRASE,
    json: bool = JSON,
) -> None:
    """Make exactly these recipients those who can open FILE. Only its header is written; any size takes a moment."""
    recipients = keyfiles.recipients(recipient, new_passphrase_file)
    identities = keyfiles.identities(identity, passphrase_file, identity_passphrase_file)
    found = actions.summary(work.rekey(source, identities, recipients).header)
    if json:
        document("seal-header", found)
    else:
        echo(f"{source} now opens for {', '.join(found.recipients)} (generation {found.generation})")


def _range(text: str) -> tuple[int, int | None]:
    """Read OFFSET:LENGTH or OFFSET: in bytes."""
    offset, colon, length = text.partition(":")
    if not colon or not offset.isdecimal() or not (length.isdecimal() or not length):
        raise BadInput(f"--range {text}", hint="OFFSET:LENGTH or OFFSET:, in bytes, as in 4096:512")
    return int(offset), int(length) if length else None
