"""`dualtrack audit …`: a trail of events that its host's administrator cannot change unseen."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import typer

from dualtrack.cli.confirm import DRY_RUN, YES, agreed
from dualtrack.cli.options import JSON, LISTING, PRINT, output_path
from dualtrack.core.characters import visible
from dualtrack.core.daemon import Daemon
from dualtrack.core.errors import BadInput, Findings, Refused
from dualtrack.core.files import read_whole, write_output
from dualtrack.core.output import check_stdin, check_stdout, document, echo, result, table
from dualtrack.security.audit import anchors, ingest, journal, proof, query, writer
from dualtrack.security.audit import quorum as judging
from dualtrack.security.audit import verify as check
from dualtrack.security.audit.layout import Place
from dualtrack.security.audit.verify import Start
from dualtrack.security.audit.writer import Writer

app = typer.Typer(no_args_is_help=True)

TRAIL = typer.Argument(..., metavar="DIRECTORY", help="The trail's directory.")
KEY = typer.Option(..., "--key", metavar="FILE", help="The host's registered public key, which `audit init` printed.")


def stamp(ns: int) -> str:
    """Return a time (nanoseconds since 1970, UTC) for people; nothing for 0."""
    return f"{datetime.fromtimestamp(ns / 1e9, UTC):%Y-%m-%d %H:%M:%S}" if ns else ""


def turns(writer: Writer) -> None:
    """Let SIGUSR1 end the epoch of a trail that is being written."""
    signal.signal(signal.SIGUSR1, lambda *_: setattr(writer, "turning", True))


@app.command(name="init")
def begin(
    folder: Path = TRAIL, host: str = typer.Option("", "--host", help="Its name; this machine's without it.")
) -> None:
    """Begin a trail and print the public key to register elsewhere: all that comes later is verified by it."""
    echo(writer.begin(folder, host or socket.gethostname()).pem().decode(), nl=False)


@app.command()
def record(
    folder: Path = TRAIL,
    kind: str = typer.Option("event", "--kind", help="What the events are: sudo, sshd, journal, …"),
    source: str = typer.Option("", "--source", help="Where they come from: a unit, a file, a person."),
    ack: bool = typer.Option(
        False, "--ack", help="Print the number of the last record that is safe, after each group."
    ),
) -> None:
    """Take every line of stdin as an event, until its end or Ctrl-C; heartbeats in between.

    A line is safe when it is on the disk, signed within a minute. `journalctl -f -o json | dualtrack audit record DIR`
    keeps a journal.
    """
    check_stdin()
    with Daemon() as daemon, Writer(folder) as writer:
        turns(writer)
        say = (lambda last: echo(str(last))) if ack else (lambda _: None)
        count = ingest.follow(0, writer, ingest.Lines(kind, source), safe=say, stopped=daemon.stopped)
    echo(f"{count} events, the last record is {writer.last}", err=True)


@app.command()
def collect(folder: Path = TRAIL) -> None:
    """Record what the journal of this host says of logins and rights (sudo, sshd, auditd, …), until Ctrl-C.

    Each entry once: after a restart it continues behind the last one that is in the trail. Whoever is in the group
    systemd-journal may.
    """
    with Daemon() as daemon, Writer(folder) as writer:
        turns(writer)
        count = journal.collect(writer, stopped=daemon.stopped)
    echo(f"{count} events, the last record is {writer.last}", err=True)


@app.command(name="sign")
def seal(folder: Path = TRAIL, json: bool = JSON) -> None:
    """Sign what is not signed yet, without waiting for the minute to be over."""
    with Writer(folder) as writer:
        head = writer.seal()
    if json:
        document("audit-seal", {"segment": head.segment if head else None, "last": writer.last})
    else:
        echo(f"segment {head.segment}: records {head.first} to {head.last}" if head else "all is signed already")


@app.command(name="rotate-key")
def turn(folder: Path = TRAIL, yes: bool = YES, dry_run: bool = DRY_RUN, json: bool = JSON) -> None:
    """End the present key's epoch now: its key may be stolen. It signs what is there, names another one, and is gone.

    Asks, since a key that is destroyed does not come back.

    Keys change automatically once a day. Where a service writes the trail, tell it: systemctl reload
    dualtrack-audit-collect, or SIGUSR1 to its process.
    """
    host = Place(folder).name()
    lines = [f"would sign the trail of {host} up to its end, name another key, and destroy the present one"]
    if not agreed(lines, "Destroy the key?", yes=yes, dry_run=dry_run, json=json):
        if json:
            document("audit-turn", {"applied": False, "host": host})
        return
    with Writer(folder) as writer:
        head = writer.turn()
    if json:
        document("audit-turn", {"applied": True, "segment": head.segment, "last": head.last, "epoch": writer.epoch})
    else:
        echo(f"segment {head.segment}, up to record {head.last}, ends epoch {head.epoch}: another key signs now")


@app.command()
def anchor(
    folder: Path = TRAIL,
    to: str = typer.Option(
        "", "--to", metavar="PLACE", help="Keep it: a line of a file, or s3://BUCKET/PATH of a bucket with object lock."
    ),
    days: int = typer.Option(3650, "--days", min=1, help="How long nobody can delete it from the bucket."),
    json: bool = JSON,
) -> None:
    """Show the newest signed head, to be kept where this host's administrator cannot reach it; also on paper."""
    found = anchors.newest(folder)
    if to:
        anchors.keep(found, to, days=days)
    if json:
        document("audit-anchor", found)
    else:
        echo(anchors.paper(found))


@app.command()
def verify(
    folder: Path = TRAIL,
    key: Path = KEY,
    anchor_place: list[str] = typer.Option(
        [], "--anchors", metavar="PLACE", help="Heads that were kept elsewhere: a file, or s3://BUCKET/PATH."
    ),
    live: bool = typer.Option(False, "--live", help="The host is alive: that nothing came lately is a finding."),
    witness: list[Path] = typer.Option(
        [], "--witness", metavar="FILE", help="The public key of a witness that counts; its statements by --anchors."
    ),
    quorum: int = typer.Option(0, "--quorum", min=0, help="How many must have co-signed; more than half without it."),
    patience: int = typer.Option(
        15, "--max-head-age", min=0, help="Minutes that a head may be old before it must be co-signed."
    ),
    retired: Path | None = typer.Option(
        None,
        "--retired",
        metavar="FILE",
        help="The authority's notes of what left the store when its time was over (PKI/retired/HOST.notes).",
    ),
    ca: Path | None = typer.Option(None, "--ca", metavar="FILE", help="The authorities that the notes may come from."),
    json: bool = LISTING,
) -> None:
    """Say whether every record is as it was written and none is missing. Exit code 1 names what is wrong, and when.

    Reads a million records in seconds, in constant memory, also while the trail is being written. With --witness
    enough witnesses must have co-signed every head, and all the same one.
    """
    now = time.time_ns()
    root = read_whole(key, 1 << 14)
    plain, said = judging.split(anchor_place) if witness else (anchor_place, [])
    known = check.of(folder, list(anchors.read(plain)))
    starts = _starts(folder, root, retired, ca) if retired else ()
    report = check.judge(folder, root, known, now=now if live else 0, starts=starts)
    if witness:
        report = judging.judge(
            folder, report, said, [read_whole(it, 1 << 14) for it in witness], quorum or len(witness) // 2 + 1,
            now=now, patience_ns=patience * 60 * 10**9,
        )  # fmt: skip

    def show() -> None:
        told = f"{report.records} records in {report.segments} segments, signed up to record {report.signed}"
        told += f", co-signed up to segment {report.cosigned}" if witness else ""
        echo(f"{report.host}: {told}, {stamp(report.begun)} to {stamp(report.ended)} by its clock")
        if report.retired:
            echo(f"records 1 to {report.retired} were retired, says the authority; they are not verified here")
        if report.findings:
            rows = [
                (it.kind, f"{it.first}-{it.last}" if it.last else "", stamp(it.begun), stamp(it.ended), it.detail)
                for it in report.findings
            ]
            table(("finding", "records", "from", "until", "what"), rows)

    result("audit-report", report, show, json=json)
    if report.findings:
        raise Findings(f"{report.host}: {report.findings[0].kind}: {report.findings[0].detail}")


def _starts(folder: Path, root: bytes, file: Path, ca: Path | None) -> list[Start]:
    from dualtrack.security.audit import retention_receipts

    if ca is None:
        raise BadInput("--retired without --ca", hint="whose word is it? name the authority's ca.pem")
    if os.path.lexists(Place(folder).root):
        raise Refused(f"{folder} is a host's own trail, which nothing shortens", hint="verify it without --retired")
    return retention_receipts.starts(retention_receipts.read(file, ca), root)


@app.command()
def prove(
    directory: Path = TRAIL,
    number: int = typer.Argument(..., metavar="RECORD", help="The record's number."),
    output: Path = typer.Option(..., "--output", "-o", help="The proof's file, or - for stdout.", callback=output_path),
) -> None:
    """Write the proof of one event, for a stranger: it shows that record and no other one's content."""
    if str(output) == PRINT:
        check_stdout()
    data = msgspec.json.encode(proof.prove(directory, number)) + b"\n"
    if str(output) == PRINT:
        sys.stdout.buffer.write(data)
    else:
        write_output(output, data)


@app.command(name="check-proof")
def check_proof(
    file: Path = typer.Argument(..., metavar="FILE", help="The proof."), key: Path = KEY, json: bool = JSON
) -> None:
    """Check the proof of one event by the host's registered key alone, and show the event."""
    found, head = proof.check(read_whole(file, 64 << 20), read_whole(key, 1 << 14))
    if json:
        document("audit-proof-check", {"host": head.host, "segment": head.segment, "record": found})
    else:
        what = " ".join(filter(None, (found.kind, found.source, found.body or found.raw)))
        echo(f"{head.host}, record {found.n}, {stamp(found.t)} by its clock: {visible(what)}")


@app.command()
def show(
    folder: Path = TRAIL,
    kind: str = typer.Option("", "--kind", help="Only these events."),
    text: str = typer.Option("", "--text", help="Only events with this in them."),
    last: int = typer.Option(50, "--last", min=1, help="The newest so many."),
    json: bool = LISTING,
) -> None:
    """Show events, the newest last. Shown is what the files say: `audit verify` tells what that is worth.

    Exit code 1 where a part of the trail is missing, after what is there.
    """
    found = deque(query.matching(folder, kind, text), maxlen=last)
    if json:
        document("audit-events", {"records": list(found)})
    else:
        table(("record", "time", "kind", "source", "what"),
              [(str(it.n), stamp(it.t), it.kind, it.source, it.body or it.raw) for it in found])  # fmt: skip
    if missing := query.missing(folder):
        raise Findings(f"not all of the trail is there: {missing}", hint="dualtrack audit verify says what is wrong")
