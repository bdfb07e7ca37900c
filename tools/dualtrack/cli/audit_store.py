"""`dualtrack audit ship|fetch|search`: trails in the search store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from dualtrack.cli.audit import JSON, TRAIL, until_ended

if TYPE_CHECKING:
    from dualtrack.audit.searchstore import SearchStore

STORE = typer.Option(..., "--store", metavar="URL", help="A node of the store: https://HOST:9200. Repeat it for each.")
CA = typer.Option(..., "--ca", metavar="FILE", help="The authority that the store's certificate must come from.")
CERT = typer.Option(None, "--cert", metavar="FILE", help="Our certificate: who we are to the store.")
CERT_KEY = typer.Option(None, "--cert-key", metavar="FILE", help="Its private key.")
USER = typer.Option("", "--user", help="A person's name, instead of a certificate.")
PASSWORD = typer.Option(None, "--password-file", metavar="FILE", help="The person's password, in its first line.")


def register(app: typer.Typer) -> None:
    """Add this file's commands to `dualtrack audit`."""
    for command in (ship, fetch, search):
        app.command()(command)


def open_store(
    addresses: list[str], ca: Path, cert: Path | None, key: Path | None, user: str = "", password: Path | None = None
) -> SearchStore:
    """Return the store, as who asks of it by certificate or by password."""
    from dualtrack.audit.searchstore import SearchStore

    return SearchStore(addresses, ca=ca, cert=cert, key=key, user=user, password=password)


def ship(
    folder: Path = TRAIL,
    store: list[str] = STORE,
    ca: Path = CA,
    cert: Path = typer.Option(..., "--cert", metavar="FILE", help="The host's certificate; its name is the host's."),
    cert_key: Path = typer.Option(..., "--cert-key", metavar="FILE", help="Its private key."),
    state: Path | None = typer.Option(
        None, "--state", metavar="FILE", help="Where it notes what the store has; shipped.json in DIR without it."
    ),
    alarm: str = typer.Option("1GB", "--alarm", help="Say so when more than this waits; nothing is ever dropped."),
    once: bool = typer.Option(False, "--once", help="End when all is shipped."),
    again: bool = typer.Option(
        False, "--again", help="Send what was sent before once more: the store has lost some of it."
    ),
    reach: int = typer.Option(
        0, "--reach", metavar="DAYS", min=0, help="How far back it sends again; to the trail's begin without it."
    ),
) -> None:
    """Send the trail to the search store, each record exactly once, and go on with what comes, until Ctrl-C.

    The trail is the queue: through outages, kills and full disks nothing is lost and nothing is sent twice for good.
    To a store that was built anew it sends again by itself.
    """
    from dualtrack.audit import ship as shipping
    from dualtrack.store.actions import bytes_of

    ended = until_ended()
    shipper = shipping.Shipper(
        folder, open_store(store, ca, cert, cert_key), state or folder / "shipped.json", alarm=bytes_of(alarm),
        tell=lambda said: typer.echo(said, err=True), reach=reach,
    )  # fmt: skip
    if again:
        shipper.again()
    last = shipping.follow(shipper, once=once, stopped=ended.is_set, pause=ended.wait)
    typer.echo(f"shipped up to record {last}", err=True)


def fetch(
    host: str = typer.Argument(..., metavar="HOST", help="Whose trail."),
    folder: Path = typer.Argument(..., metavar="DIR", help="A new folder."),
    store: list[str] = STORE,
    ca: Path = CA,
    cert: Path | None = CERT,
    cert_key: Path | None = CERT_KEY,
    user: str = USER,
    password: Path | None = PASSWORD,
    json: bool = JSON,
) -> None:
    """Bring a host's trail out of the store, as the store has it, for `dualtrack audit verify` to judge."""
    from dualtrack.audit import fetch as fetching
    from dualtrack.output import document
    from dualtrack.progress import Progress

    with Progress("fetched") as count:
        total = fetching.fetch(open_store(store, ca, cert, cert_key, user, password), host, folder, count)
    if json:
        document("audit-fetch", {"host": host, "records": total})
    else:
        typer.echo(f"{total} records of {host}: dualtrack audit verify {folder} --key …")


def search(
    store: list[str] = STORE,
    ca: Path = CA,
    cert: Path | None = CERT,
    cert_key: Path | None = CERT_KEY,
    user: str = USER,
    password: Path | None = PASSWORD,
    host: str = typer.Option("", "--host", help="Only this host's events."),
    kind: str = typer.Option("", "--kind", help="Only these events: sudo, sshd, journal, …"),
    text: str = typer.Option("", "--text", help="Only events with all of these words; quotes keep words together."),
    since: str = typer.Option("", "--since", help="Not before: 2026-11-25, 2026-11-25T14:00, now-1h."),
    until: str = typer.Option("", "--until", help="Not after."),
    last: int = typer.Option(50, "--last", min=1, max=10_000, help="The newest so many."),
    json: bool = JSON,
) -> None:
    """Find events of all hosts: who, what, when, where; the newest last."""
    from dualtrack.audit import fetch as fetching
    from dualtrack.output import document, table

    found = fetching.search(
        open_store(store, ca, cert, cert_key, user, password),
        host=host, kind=kind, text=text, since=since, until=until, last=last,
    )  # fmt: skip
    if json:
        document("audit-search", {"records": found})
        return
    table(("time", "host", "record", "kind", "source", "what"),
          [(str(it.get("@timestamp", ""))[:19], str(it.get("host")), str(it.get("n")), str(it.get("kind")),
            str(it.get("source", "")), str(it.get("body") or it.get("raw", ""))) for it in found])  # fmt: skip
