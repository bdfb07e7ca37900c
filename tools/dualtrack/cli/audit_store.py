"""`dualtrack audit ship|fetch|search`: trails in the search store."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from dualtrack.cli.audit import TRAIL
from dualtrack.cli.options import JSON, LISTING, SINCE, in_place_of, moment_option
from dualtrack.core import moments
from dualtrack.core.daemon import Daemon
from dualtrack.core.errors import BadInput
from dualtrack.core.output import document, echo, table
from dualtrack.core.progress import Progress
from dualtrack.remote.opensearch import SearchStore
from dualtrack.security.audit import fetch as fetching
from dualtrack.security.audit import ship as shipping
from dualtrack.security.audit import summarize

URLS = "A node of the store: https://HOST:9200. Repeat it for each"
STORE = typer.Option(..., "--store", metavar="URL", help=f"{URLS}.")
CA = typer.Option(..., "--ca", metavar="FILE", help="The authority that the store's certificate must come from.")
UP = typer.Option([], "--store", metavar="URL", help=f"{URLS}; those of the tracks that are up without it.")
UP_CA = typer.Option(None, "--ca", metavar="FILE", help="The authority that the store's certificate must come from.")
AS = typer.Option(
    "", "--as", metavar="NAME", help="Where the authority is: as this person, by a certificate made for it."
)
CERT = typer.Option(None, "--cert", metavar="FILE", help="Our certificate: who we are to the store.")
CERT_KEY = typer.Option(None, "--cert-key", metavar="FILE", help="Its private key.")
USER = typer.Option("", "--user", help="A person's name, instead of a certificate.")
PASSWORD = typer.Option(None, "--password-file", metavar="FILE", help="The person's password, in its first line.")
TOKEN = typer.Option(None, "--token-file", metavar="FILE", help="A token (`dualtrack access token`) instead of both.")


UNTIL = moment_option("--until", "Not after")


def _stamp(when: str) -> str:
    return moments.stamp(moments.since(when, time.time())) if when else ""


def register(app: typer.Typer) -> None:
    """Add this file's commands to `dualtrack audit`."""
    for command in (ship, fetch, search):
        app.command()(command)


@contextmanager
def reading(
    addresses: list[str], ca: Path | None, who: str, cert: Path | None, key: Path | None, user: str,
    password: Path | None, token: Path | None,
) -> Iterator[SearchStore]:  # fmt: skip
    """Yield the store that was named, or that of the tracks that are up."""
    from dualtrack.inventory import deployment
    from dualtrack.security.opensearch import connections

    by: dict[str, Any] = {"cert": cert, "key": key, "user": user, "password": password, "token": token}
    if addresses:
        if ca is None or who:
            raise BadInput("--store goes with --ca, and without --as")
        yield SearchStore(addresses, ca=ca, **by)
        return
    if who:
        in_place_of(who)
    with connections.reached(deployment.inventories()) as nodes:
        if not nodes:
            raise BadInput(
                "no track with a search store is up", hint="--store https://HOST:9200, or dualtrack local up"
            )
        yield connections.searched(nodes, ca=ca, person=who, **by)


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
    """Send the trail to the search store, each record exactly once, and continue with what comes, until Ctrl-C.

    The trail is the queue: through outages, kills and full disks nothing is lost and nothing is sent twice for good.
    To a store that was built anew it sends again automatically.
    """
    from dualtrack.data.checkpoints.actions import bytes_of

    shipper = shipping.Shipper(
        folder, SearchStore(store, ca=ca, cert=cert, key=cert_key), state or folder / "shipped.json",
        alarm=bytes_of(alarm), tell=lambda said: echo(said, err=True), reach=reach,
    )  # fmt: skip
    if again:
        shipper.resend_from_start()
    with Daemon() as daemon:
        last = shipping.follow(shipper, once=once, stopped=daemon.stopped, pause=daemon.wait)
    echo(f"shipped up to record {last}", err=True)


def fetch(
    host: str = typer.Argument(..., metavar="HOST", help="Whose trail."),
    folder: Path = typer.Argument(..., metavar="DIRECTORY", help="A new directory."),
    store: list[str] = UP,
    ca: Path | None = UP_CA,
    who: str = AS,
    cert: Path | None = CERT,
    cert_key: Path | None = CERT_KEY,
    user: str = USER,
    password: Path | None = PASSWORD,
    token: Path | None = TOKEN,
    json: bool = JSON,
) -> None:
    """Bring a host's trail out of the store, as the store has it, as input for `dualtrack audit verify`."""
    with reading(store, ca, who, cert, cert_key, user, password, token) as found, Progress("fetched") as count:
        total = fetching.fetch(found, host, folder, count)
    if json:
        document("audit-fetch", {"host": host, "records": total})
    else:
        echo(f"{total} records of {host}: dualtrack audit verify {folder} --key …")


def search(
    store: list[str] = UP,
    ca: Path | None = UP_CA,
    who: str = AS,
    cert: Path | None = CERT,
    cert_key: Path | None = CERT_KEY,
    user: str = USER,
    password: Path | None = PASSWORD,
    token: Path | None = TOKEN,
    host: str = typer.Option("", "--host", help="Only this host's events."),
    kind: str = typer.Option("", "--kind", help="Only these events: sudo, sshd, journal, …"),
    text: str = typer.Option("", "--text", help="Only events with all of these words; quotes keep words together."),
    since: str = SINCE,
    until: str = UNTIL,
    last: int = typer.Option(50, "--last", min=1, max=10_000, help="The newest so many."),
    json: bool = LISTING,
) -> None:
    """Find events of all hosts: who, what, when, where; the newest last."""
    with reading(store, ca, who, cert, cert_key, user, password, token) as asked:
        found = fetching.search(
            asked, host=host, kind=kind, text=text, since=_stamp(since), until=_stamp(until), last=last
        )
    if json:
        document("audit-search", {"records": found})
        return
    rows = []
    for it in found:
        who, what = summarize.told(str(it.get("kind")), str(it.get("body") or it.get("raw", "")))
        rows.append(
            (str(it.get("@timestamp", ""))[:19], str(it.get("host")), who, str(it.get("kind")), what, str(it.get("n")))
        )
    table(("when", "where", "who", "kind", "what", "record"), rows)
