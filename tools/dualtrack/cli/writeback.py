"""`dualtrack writeback …`: documents of one knowledge base for another one, reviewed, through a bucket."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import msgspec
import typer

from dualtrack.cli.options import BASE, JSON, KEY_FILE, LISTING, Said
from dualtrack.core.characters import visible
from dualtrack.core.errors import BadInput, Findings
from dualtrack.core.output import document, echo, result, table
from dualtrack.knowledge.writeback import log, push, receive
from dualtrack.knowledge.writeback.log import Log, LogState

app = typer.Typer(no_args_is_help=True)
COLLECTIONS = typer.Option(
    ..., "--collection", envvar="DUALTRACK_WRITEBACK_COLLECTIONS",
    help="Whose documents are sent (may be repeated). No other ones leave.",
)  # fmt: skip
BUCKET = typer.Option(
    ..., "--bucket", envvar="DUALTRACK_WRITEBACK_BUCKET", metavar="s3://BUCKET/PREFIX",
    help="What both sides have in common. Objects below PREFIX/objects/ are written and removed.",
)  # fmt: skip
SHARED_KEY = typer.Option(
    ..., "--shared-key", envvar="DUALTRACK_WRITEBACK_KEY", metavar="FILE",
    help="A key that both sides have, 32 random bytes, mode 0600: openssl rand -out FILE 32.",
)  # fmt: skip
REGION = typer.Option("", "--region", help="The bucket's region; your AWS settings' without it.")
ENDPOINT = typer.Option("", "--endpoint", metavar="URL", help="Another S3 than AWS's; AWS_ENDPOINT_URL without it.")


def _log(bucket: str, shared_key: Path, region: str, endpoint: str) -> Log:
    return log.at(bucket, shared_key, region=region, endpoint=endpoint)


@app.command()
def review(
    ids: list[str] = typer.Argument(None, metavar="[ID]…", help="Texts; `all` for every one that waits."),
    approve: bool = typer.Option(False, "--approve", help="Let them leave."),
    reject: bool = typer.Option(False, "--reject", help="Let them not leave, or no more."),
    decided: bool = typer.Option(False, "--decided", help="Show those that were decided about."),
    collection: list[str] = COLLECTIONS,
    shared_key: Path = SHARED_KEY,
    base: Path = BASE,
    key_file: Path | None = KEY_FILE,
    json: bool = LISTING,
) -> None:
    """Show what waits to be sent, as it would leave; with IDs whole texts. --approve and --reject decide about them.

    A text that changes waits again. Nothing is sent before it was approved; what is rejected later is removed again.
    """
    if approve and reject:
        raise BadInput("--approve or --reject, not both")
    names = log.Names(shared_key)
    if approve or reject:
        if not ids:
            raise BadInput("name the texts by their ids", hint="`all` for every one that waits")
        done = push.decide(base, collection, names, ids, key_file, approved=approve, person=_person())
        told = f"{len(done)} {'approved' if approve else 'rejected'}"
        result("writeback-decided", {"approved": approve, "ids": done}, lambda: echo(told, err=True), json=json)
        return
    every = push.texts(base, collection, names, key_file)
    found = [it for it in every if (it[0].approved is not None) == decided]
    if ids and ids != ["all"]:
        if unknown := set(ids) - {it.id for it, _ in every}:
            raise BadInput(f"there is no text {min(unknown)}", hint="dualtrack writeback review lists them")
        found = [it for it in every if it[0].id in ids]

    def show() -> None:
        if ids:
            for it, record in found:
                echo(f"== {it.id} {visible(f'{it.collection}/{it.source}')}")
                for line in record.text().split("\n"):
                    echo(visible(line))
            return
        said = {None: "", True: "approved", False: "rejected"}
        table(
            ("id", "collection", "document", "characters", ""),
            [(it.id, it.collection, it.source, str(it.characters), said[it.approved]) for it, _ in found],
        )

    rows = [{**msgspec.structs.asdict(it), "text": record.text()} for it, record in found]
    result("writeback-review", {"texts": rows}, show, json=json)


def _person() -> str:
    """Return who runs this, as the system knows it."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


@app.command(name="push")
def push_(
    collection: list[str] = COLLECTIONS,
    bucket: str = BUCKET,
    shared_key: Path = SHARED_KEY,
    take_over: bool = typer.Option(
        False, "--take-over", help="Write there instead of who did: what that one sends from now on does not count."
    ),
    check: bool = typer.Option(False, "--check", help="Read what is there, and send what is damaged once more."),
    region: str = REGION,
    endpoint: str = ENDPOINT,
    base: Path = BASE,
    key_file: Path | None = KEY_FILE,
    json: bool = JSON,
) -> None:
    """Send what was approved and is not there yet, and remove what is not here any more. Interrupted, it continues.

    Exit code 1 where a document could not be cleaned of personal data: it stays here.
    """
    log = _log(bucket, shared_key, region, endpoint)
    done = push.push(base, collection, log, key_file, take_over=take_over, check=check, say=Said())
    if json:
        document("writeback-push", done)
    else:
        echo(f"{done.sent} sent, {done.removed} removed, {done.unchanged} as before (epoch {done.epoch})")
        if done.waiting or done.rejected:
            echo(f"{done.waiting} wait for a review, {done.rejected} were rejected: dualtrack writeback review")
        for it in done.unclean:
            echo(f"not sent: {visible(it.source)}: {it.reason}")
    if done.unclean:
        raise Findings(f"{len(done.unclean)} not sent")


@app.command()
def pull(
    to: Path = typer.Argument(
        ..., metavar="DIRECTORY", help="Gets a file for each document; for `dualtrack kb ingest`."
    ),
    bucket: str = BUCKET,
    shared_key: Path = SHARED_KEY,
    region: str = REGION,
    endpoint: str = ENDPOINT,
    json: bool = JSON,
) -> None:
    """Bring what was sent into a directory: what is new and changed, without what is gone.

    Exit code 1 for a conflict: a writer sent something after another one had taken over. It is kept in conflicts/.
    """
    done = receive.pull(_log(bucket, shared_key, region, endpoint), to, Said())
    if json:
        document("writeback-pull", done)
    else:
        echo(f"{done.new} new, {done.changed} changed, {done.removed} removed, {done.unchanged} as before")
        for it in done.conflicts:
            echo(f"came too late: {it}")
    if done.conflicts:
        raise Findings(f"{len(done.conflicts)} came after another writer had taken over")


@app.command()
def status(
    bucket: str = BUCKET,
    shared_key: Path = SHARED_KEY,
    region: str = REGION,
    endpoint: str = ENDPOINT,
    json: bool = JSON,
) -> None:
    """Print who writes to the bucket, since when, and how many documents are there."""
    log = _log(bucket, shared_key, region, endpoint)
    epoch, state = log.epoch(), log.follow(LogState())
    found = {
        "epoch": epoch[0] if epoch else None, "documents": len(state.live), "number": state.number,
        "late": len(state.late),
    }  # fmt: skip
    if json:
        document("writeback-status", found)
        return
    if epoch is None:
        echo(f"nobody has written to {log.place} yet")
        return
    echo(f"{epoch[0].writer} writes since {epoch[0].since:%F %T} UTC (epoch {epoch[0].epoch})")
    echo(f"{len(state.live)} documents; {state.number} batches, of which {len(state.late)} came too late")
