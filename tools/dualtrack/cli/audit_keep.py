"""`dualtrack audit snapshot|snapshots|restore|retain|hold|release|holds`: keeping what the search store has."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import typer

from dualtrack.cli import names
from dualtrack.cli.audit import stamp
from dualtrack.cli.audit_store import CA, STORE
from dualtrack.cli.confirm import DRY_RUN, YES, agreed, confirmed, only_shows
from dualtrack.cli.options import JSON, LISTING, PKI
from dualtrack.core.daemon import Daemon
from dualtrack.core.errors import BadInput, Findings
from dualtrack.core.output import Steps, document, echo, table
from dualtrack.remote.opensearch import SearchStore, by_way_of, node, straight
from dualtrack.security.audit import anchors, index_requests
from dualtrack.security.audit import holds as ledger
from dualtrack.security.audit import index_documents as naming
from dualtrack.security.audit import snapshots as keeping

CERT = typer.Option(..., "--cert", metavar="FILE", help="A certificate of kind keeper, or admin.")
CERT_KEY = typer.Option(..., "--cert-key", metavar="FILE", help="Its private key.")
REPOSITORY = typer.Option("disk", "--repository", help="The repository of snapshots; the role opensearch makes `disk`.")

SSH = typer.Option("", "--ssh", metavar="HOST", help="Reach the store through this host's ssh server.")
REASON = typer.Option("", "--reason", help="Which one, where a host is held more than once.")


def register(app: typer.Typer) -> None:
    """Add this file's commands to `dualtrack audit`."""
    for command in (admit, indices, snapshot, snapshots, restore, retain, hold, release, holds):
        app.command()(command)


def admit(
    host: str = typer.Argument(..., metavar="HOST", help="The name in its certificate."),
    store: list[str] = STORE,
    pki: Path = PKI,
    ssh: str = SSH,
    logs: bool = typer.Option(False, "--logs", help="It sends ordinary logs, too: its first two days' indices."),
) -> None:
    """Let a host ship its trail to the store: it gets the index in which it asks for others.

    The roles audit and log_forwarding do this for each host. Who is admitted already stays so.
    """
    from dualtrack.security.opensearch import reconcile
    from dualtrack.security.pki import authority

    mine = authority.issue(_authority(pki), "admin", "admin")
    paths = Path(mine.authority), Path(mine.certificate), Path(mine.key)
    with node(store[0], *paths, by_way_of(ssh) if ssh else straight) as connection:
        new = reconcile.admit(connection, naming.host(host), logs=logs)
    echo(f"{host} is admitted" if new else f"{host} was admitted before")


def indices(
    store: list[str] = STORE,
    ca: Path = CA,
    cert: Path = CERT,
    cert_key: Path = CERT_KEY,
    days: int = typer.Option(400, "--days", min=1, help="Days that a host may have; today is always made."),
    once: bool = typer.Option(False, "--once", help="Answer what is asked now, and end."),
) -> None:
    """Create the indices that hosts ask for, each its own, until Ctrl-C: hosts may write to them, and create none.

    The role opensearch runs this on the store's nodes.
    """
    keeper = index_requests.Keeper(
        SearchStore(store, ca=ca, cert=cert, key=cert_key), days, lambda said: echo(said, err=True)
    )
    with Daemon() as daemon:
        index_requests.follow(keeper, once=once, stopped=daemon.stopped, pause=daemon.wait)


def snapshot(
    store: list[str] = STORE,
    ca: Path = CA,
    cert: Path = CERT,
    cert_key: Path = CERT_KEY,
    repository: str = REPOSITORY,
    json: bool = JSON,
) -> None:
    """Take a snapshot of all indices, whole or an error. Only what is new since the last one is written.

    Where an index keeps it from being whole, the audit trails are saved alone (`trails-…`), and the exit code is 4.
    The role opensearch's timer does this once a day, by a certificate that can do nothing else.
    """
    found = keeping.take_all(SearchStore(store, ca=ca, cert=cert, key=cert_key), repository, time.time_ns())
    if json:
        document("audit-snapshot", found)
    else:
        echo(f"{found.name}: {len(found.indices)} indices")


def snapshots(
    store: list[str] = STORE,
    ca: Path = CA,
    cert: Path = CERT,
    cert_key: Path = CERT_KEY,
    repository: str = REPOSITORY,
    json: bool = LISTING,
) -> None:
    """Show the snapshots, the newest last. Exit code 1 when the newest one is not whole."""
    found = keeping.listed(SearchStore(store, ca=ca, cert=cert, key=cert_key), repository)
    names.keep_snapshots(it.name for it in found)
    if json:
        document("audit-snapshots", {"snapshots": found})
    else:
        table(("snapshot", "begun", "state", "indices"),
              [(it.name, stamp(it.begun), it.state, str(len(it.indices))) for it in found])  # fmt: skip
    if found and not found[-1].whole:
        raise Findings(f"{found[-1].name} is {found[-1].state}: {found[-1].why}")


def _as_controller(addresses: list[str], pki: Path, ssh: str) -> SearchStore:
    """Return the store, spoken to with the certificate that goes past every rule."""
    from dualtrack.security.pki import authority

    mine = authority.issue(_authority(pki), "admin", "admin")
    return SearchStore(
        addresses, ca=Path(mine.authority), cert=Path(mine.certificate), key=Path(mine.key),
        opener=by_way_of(ssh) if ssh else straight,
    )  # fmt: skip


def _authority(pki: Path) -> Path:
    if not (pki / "ca.pem").is_file():
        raise BadInput(f"{pki} holds no authority", hint="this is done on the controller: --pki names its directory")
    return pki


def restore(
    name: str = typer.Argument(
        "",
        metavar="[SNAPSHOT]",
        help="Its name; without it the newest whole one, and newer ones of trails.",
        autocompletion=names.snapshots,
    ),
    store: list[str] = STORE,
    pki: Path = PKI,
    ssh: str = SSH,
    repository: str = REPOSITORY,
    dry_run: bool = typer.Option(False, "--dry-run", help="Say what would come back, and touch nothing."),
    json: bool = JSON,
) -> None:
    """Bring back from a snapshot the indices that the store has lost; one that is there stays as it is.

    Hosts then send again what the snapshot lacks: automatically after a store was lost, else `audit ship --again`.
    """
    connection = _as_controller(store, pki, ssh)
    taken = keeping.chosen(keeping.listed(connection, repository), name)
    restored: list[str] = []
    there: dict[str, None] = {}
    for found in taken:
        # What came back from a newer one is there for an older one, or would be.
        back, kept = (
            [it for it in indices if it not in restored]
            for indices in keeping.restore(connection, repository, found, dry_run=dry_run)
        )
        restored += back
        there |= dict.fromkeys(kept)
        if not json:
            will = "would come back" if dry_run else "came back"
            echo(f"{found.name} of {stamp(found.begun)}: {len(back)} indices {will}, {len(kept)} were there")
    if json:
        document("audit-restore", {
            "snapshots": [it.name for it in taken], "restored": restored, "there": list(there), "dry_run": dry_run,
        })  # fmt: skip


def retain(
    store: list[str] = STORE,
    days: int = typer.Option(..., "--days", min=1, help="Keep at least so many whole days."),
    pki: Path = PKI,
    keys: Path | None = typer.Option(
        None,
        "--keys",
        metavar="DIRECTORY",
        help="Registered keys, HOST.pem; `audit-keys` beside the authority without it.",
    ),
    anchor_place: list[str] = typer.Option(
        [], "--anchors", metavar="PLACE", help="Heads that were kept elsewhere: a file, or s3://BUCKET/PATH."
    ),
    snapshots: int = typer.Option(
        0, "--snapshots", metavar="DAYS", min=0, help="Keep snapshots so many days, then remove them; all without it."
    ),
    ssh: str = SSH,
    repository: str = REPOSITORY,
    yes: bool = YES,
    dry_run: bool = DRY_RUN,
    json: bool = LISTING,
) -> None:
    """Show which days are old enough to leave the store, which stay and why; then remove them.

    A day goes only when its records were verified, are in a snapshot, are not held, and begin their host's chain. The
    authority notes what went, for `audit verify --retired`. With --snapshots old snapshots go, too, and with them for
    good what only they have; the only one of something that is held stays. Exit code 1 when a trail that is not in
    order keeps its days.
    """
    from dualtrack.security.audit import retention as retaining

    keeper = retaining.Keeper(
        store=_as_controller(store, pki, ssh),
        pki=pki,
        keys=keys or pki.absolute().parent / "audit-keys",
        repository=repository,
        anchors=tuple(anchors.read(anchor_place)),
    )
    shows, agreed_to = only_shows(yes=yes, dry_run=dry_run, json=json), yes

    def agree(planned: retaining.Result) -> bool:
        nonlocal agreed_to
        if not yes:
            _show_retained(planned, json, applied=False)
            if agreed_to := any(it.goes for it in (*planned.indices, *planned.snapshots)):
                confirmed("Remove what goes?")
        return agreed_to

    found = retaining.retain(keeper, days, apply=not shows, saved_days=snapshots, say=Steps(), agree=agree)
    if shows or agreed_to:
        _show_retained(found, json, applied=not shows)
    if wrong := [it for it in found.indices if it.wrong]:
        raise Findings(f"{wrong[0].index} stays: {wrong[0].why}")


def _show_retained(found: Any, json: bool, *, applied: bool) -> None:
    if json:
        document("audit-retain", {"applied": applied, "indices": found.indices, "snapshots": found.snapshots})
        return
    goes = "gone" if applied else "goes"
    for what, verdicts in (("index", found.indices), ("snapshot", found.snapshots)):
        if verdicts or what == "index":
            table((what, "", "why"), [(it.index, goes if it.goes else "stays", it.why) for it in verdicts])


def hold(
    host: str = typer.Argument(..., metavar="HOST", help="Whose records stay."),
    reason: str = typer.Option(..., "--reason", help="Why: a case, an order. It is kept with the hold."),
    until: str = typer.Option(
        "", "--until", metavar="DATE", help="The last day of it; until it is released without it."
    ),
    pki: Path = PKI,
    json: bool = JSON,
) -> None:
    """Keep all records of a host, whatever their age, until the hold is released."""
    found = ledger.hold(pki, host, reason, until)
    if json:
        document("audit-hold", found)
    else:
        echo(f"{host} is held: {found.reason}" + (f", until {until}" if until else ""))


def release(
    host: str = typer.Argument(..., metavar="HOST", help="Whose hold ends."),
    reason: str = REASON,
    pki: Path = PKI,
    yes: bool = YES,
    dry_run: bool = DRY_RUN,
    json: bool = JSON,
) -> None:
    """Show a hold, and end it. That it was there, from when to when and by whom, stays written down."""
    held = ledger.find(ledger.read(pki), host, reason)
    line = f"would release {host}: {held.reason}, since {stamp(held.at)} by {held.by}"
    if not agreed([line], "End this hold?", yes=yes, dry_run=dry_run, json=json):
        if json:
            document("audit-release", {"applied": False, "hold": held})
        return
    found = ledger.release(pki, host, held.reason)
    if json:
        document("audit-release", {"applied": True, **msgspec.structs.asdict(found)})
    else:
        echo(f"{host} is released: {found.reason}")


def holds(
    history: bool = typer.Option(False, "--history", help="Every change, not only what is held now."),
    pki: Path = PKI,
    json: bool = LISTING,
) -> None:
    """Show which hosts are held, why, since when and by whom."""
    changes = ledger.read(pki)
    found = list(changes) if history else ledger.active(changes, ledger.day(time.time_ns()))
    if json:
        document("audit-holds", {"changes" if history else "holds": found})
    else:
        table(("host", "what", "reason", "at", "by", "until"),
              [(it.host, it.action, it.reason, stamp(it.at), it.by, it.until) for it in found])  # fmt: skip
