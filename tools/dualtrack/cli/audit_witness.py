"""`dualtrack audit witness`: co-signing the heads of other hosts."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import typer

from dualtrack.cli.audit_store import CERT, CERT_KEY
from dualtrack.cli.options import LISTING
from dualtrack.core.daemon import Daemon
from dualtrack.core.errors import BadInput, Findings, Refused
from dualtrack.core.output import document, echo, table
from dualtrack.remote.opensearch import Away, SearchStore
from dualtrack.security.audit import fetch
from dualtrack.security.audit import witness as witnesses
from dualtrack.security.audit.witness import Round, Witness


def register(app: typer.Typer) -> None:
    """Add this file's command to `dualtrack audit`."""
    app.command()(witness)


def witness(
    folder: Path = typer.Argument(..., metavar="DIRECTORY", help="The witness's own directory."),
    begin: bool = typer.Option(False, "--begin", help="Make a witness there, and print its public key to register."),
    name: str = typer.Option("", "--name", help="What it is called when it begins; this machine's name without it."),
    keys: Path | None = typer.Option(
        None,
        "--keys",
        metavar="DIRECTORY",
        help="The registered keys of the hosts to witness for: HOST.pem, a file each.",
    ),
    store: list[str] = typer.Option(
        [], "--store", metavar="URL", help="A node of the store that shows the heads: https://HOST:9200. Or --from."
    ),
    ca: Path | None = typer.Option(None, "--ca", metavar="FILE", help="The authority of the store's certificate."),
    cert: Path | None = CERT,
    cert_key: Path | None = CERT_KEY,
    carried: Path | None = typer.Option(
        None,
        "--from",
        metavar="DIRECTORY",
        help="Heads that were carried here: HOST/heads.log in a directory, a copy each.",
    ),
    interval: int = typer.Option(
        0, "--interval", min=0, help="Seconds from one look to the next, until Ctrl-C; one look without it."
    ),
    json: bool = LISTING,
) -> None:
    """Co-sign the newest heads of other hosts, each segment once; say what does not continue from what was co-signed.

    DIR/statements.log is what to give away: `audit verify --anchors FILE --witness KEY` verifies a trail by it. Exit
    code 1 when something was found now. A witness that was rolled back or has lost what it signed signs nothing more.
    """
    if begin:
        echo(witnesses.begin(folder, name or socket.gethostname()).pem().decode(), nl=False)
        return
    if keys is None or bool(store) == bool(carried) or bool(store) != bool(ca):
        raise BadInput("say whose heads, and from where", hint="--keys, and --store with --ca, or --from")
    with Daemon() as daemon, witnesses.Witness(folder) as mine:
        if ca is None:
            shown = witnesses.carried(carried or folder)
        else:
            shown = fetch.heads_shown(SearchStore(store, ca=ca, cert=cert, key=cert_key))
        for _ in daemon.rounds(interval):
            _look(mine, keys, shown, json=json, lasting=interval > 0)
            if not interval:
                return


def _look(
    mine: Witness, keys: Path, shown: Callable[[str, int], Sequence[bytes]], *, json: bool, lasting: bool
) -> None:
    """Ask about every host once; what cannot be asked now is asked again in the next round."""
    rounds: list[Round] = []
    for host, root in witnesses.registered(keys):
        try:
            mine.register_host(host, root)
            rounds.append(mine.round(host, shown))
        except (Away, Refused) as error:
            if not lasting:
                raise
            echo(f"{host}: {error}", err=True)
    found = [(it.host, one) for it in rounds for one in it.found]
    if lasting:
        for host, one in found:
            echo(f"{host}, segment {one.segment}: {one.what}: not co-signed", err=True)
        return
    if json:
        document("audit-witness", {"hosts": rounds})
    else:
        rows = [(it.host, str(it.segment), str(it.signed), ", ".join(one.what for one in it.found)) for it in rounds]
        table(("host", "co-signed up to", "now", "found"), rows)
    if found:
        host, one = found[0]
        raise Findings(f"{host}, segment {one.segment}: {one.what}", hint="statements.log has the heads as evidence")
