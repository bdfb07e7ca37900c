"""`dualtrack keys …`: SM2 keys for sealing, and secrets that several custodians keep together."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import typer

from dualtrack.cli.options import JSON, LISTING
from dualtrack.core.output import document, echo, table
from dualtrack.security.seal import escrow, keyfiles

app = typer.Typer(no_args_is_help=True)

KEY_PASSPHRASE = typer.Option(None, "--identity-passphrase-file", help="A file with the key's own passphrase.")


@app.command()
def new(
    output: Path = typer.Option(..., "--output", "-o", help="The private key file to make; never an existing one."),
    passphrase_file: Path = typer.Option(
        None, "--passphrase-file", help="Put the key under the passphrase in this file's one line."
    ),
) -> None:
    """Make an SM2 key: the private half in a file that only you can read, the public half on stdout."""
    secret = keyfiles.passphrase(passphrase_file) if passphrase_file else b""
    key = keyfiles.new(output, secret)
    echo(key.pem().decode(), nl=False)
    echo(f"{output} is the private key of sm2:{key.id.hex()}; keep a copy where this machine is not", err=True)


@app.command()
def public(
    source: Path = typer.Argument(..., metavar="FILE", help="A private key file."),
    identity_passphrase_file: Path = KEY_PASSPHRASE,
) -> None:
    """Print the public half of a private key file: what others seal for."""
    secret = keyfiles.passphrase(identity_passphrase_file) if identity_passphrase_file else b""
    echo(keyfiles.private(source, secret).pem().decode(), nl=False)


@app.command()
def show(
    source: Path = typer.Argument(..., metavar="FILE", help="A public key file."),
    json: bool = JSON,
) -> None:
    """Check a public key file and print its id, as sealed files and `seal show` name it."""
    key = keyfiles.public(source)
    if json:
        document("seal-key", {"id": f"sm2:{key.id.hex()}", "point": key.point.hex()})
    else:
        echo(f"sm2:{key.id.hex()}")


@app.command()
def split(
    secret: Path = typer.Argument(..., metavar="SECRET", help="The file to keep: a key, a passphrase; 64 KiB at most."),
    threshold: int = typer.Option(..., "--threshold", "-k", help="How many custodians it takes to bring it back."),
    custodian: list[Path] = typer.Option(
        ..., "--custodian", "-c", help="A custodian's public key file (one for each)."
    ),
    output: Path = typer.Option(..., "--output", "-o", help="The directory to make for the shares."),
    json: bool = LISTING,
) -> None:
    """Split a secret among custodians, a sealed share for each; fewer than the threshold learn nothing."""
    given = escrow.split(secret, threshold, custodian, output, datetime.now(UTC).date().isoformat())
    if json:
        document("escrow-set", {"threshold": threshold, "shares": given})
    else:
        table(("share", "only this custodian opens it"), [(one.file, one.custodian) for one in given])


@app.command("hand-over")
def hand_over(
    share: Path = typer.Argument(..., metavar="SHARE", help="Your sealed share."),
    identity: list[Path] = typer.Option(..., "--identity", "-i", help="Your private key file."),
    recipient: Path = typer.Option(..., "--recipient", "-r", help="The public key file of who joins the shares."),
    output: str = typer.Option(..., "--output", "-o", help="The file to send them; it opens with their key alone."),
    identity_passphrase_file: Path = KEY_PASSPHRASE,
) -> None:
    """Seal your share anew for the one person who joins the shares; you see what it is a share of."""
    identities = keyfiles.identities(identity, None, identity_passphrase_file)
    echo(str(escrow.hand_over(share, identities, recipient, output)), err=True)


@app.command()
def join(
    shares: list[Path] = typer.Argument(..., metavar="SHARE…", help="Shares, as they were handed over or opened."),
    output: str = typer.Option(..., "--output", "-o", help="Where the secret goes to: a new file, or - for stdout."),
    identity: list[Path] = typer.Option([], "--identity", "-i", help="The private key file the shares are sealed for."),
    identity_passphrase_file: Path = KEY_PASSPHRASE,
    force: bool = typer.Option(False, "--force", help="Replace the output file when it exists."),
) -> None:
    """Bring a secret back from enough shares. A share that was mangled is left out and named."""
    identities = keyfiles.identities(identity, None, identity_passphrase_file) if identity else []
    joined = escrow.join(shares, identities, output, force=force)
    for complaint in joined.left_out:
        echo(f"note: {complaint}", err=True)
    echo(f"{joined.name} is back: {len(joined.secret)} bytes", err=True)
