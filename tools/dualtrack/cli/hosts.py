"""`dualtrack ssh`, `logs` and `events`: what one wants to see of hosts of either track."""

from __future__ import annotations

import os
import re
import time

import typer

from dualtrack.cli import names
from dualtrack.cli.options import JSON, LISTING, SINCE
from dualtrack.cli.watching import INTERVAL, WATCH, until_interrupted
from dualtrack.core import moments
from dualtrack.core.errors import BadInput
from dualtrack.core.output import document, echo, form, reader_left, records, table
from dualtrack.tracks import events as recorded
from dualtrack.tracks import reach
from dualtrack.tracks.events import Event

HOST = typer.Argument(
    ..., metavar="HOST", help="A name, an instance id or an address of `dualtrack status`.", autocompletion=names.hosts
)
#: What systemd calls a unit, or a pattern of such names.
UNIT = re.compile(r"[A-Za-z0-9*?@:_.\\][A-Za-z0-9*?@:_.\\-]*")
LINES = 100


def ssh(
    host: str = HOST,
    command: list[str] = typer.Argument(
        None, metavar="[-- COMMAND…]", help="A command to run there; without one, a shell."
    ),
) -> None:
    """Log in to a host of a track that is up, its host key verified, or run a command on it.

    The exit code is that of the command; 255 where the connection failed.
    """
    words = command[1:] if command and command[0] == "--" else command or []
    name, facts = reach.find(host)
    line = reach.ssh_words(name, facts, words)
    os.execvp(line[0], line)  # noqa: S606 - replaces this process, so that signals and the terminal are ssh's


def logs(
    host: str = HOST,
    unit: str = typer.Argument("", metavar="[UNIT]", help="Only of this systemd unit; the whole journal without it."),
    follow: bool = typer.Option(False, "--follow", "-f", help="Continue with new entries, until Ctrl-C."),
    since: str = SINCE,
    lines: int = typer.Option(
        None, "--lines", "-n", min=1, max=1_000_000, show_default=False,
        help="The newest so many; 100 without it, and all with --since.",
    ),
    json: bool = JSON,
) -> None:  # fmt: skip
    """Show the journal of a host of a track that is up. --json prints each entry as a line of JSON."""
    if unit and not UNIT.fullmatch(unit):
        raise BadInput(f"{unit} is not the name of a unit", hint="such as slurmd, or dualtrack-*")
    begin = moments.since(since, time.time()) if since else None
    name, facts = reach.find(host)
    show = records("log-entry") if json else lambda entry: echo(entry.line)
    most = lines if lines or since else LINES
    count = 0
    with until_interrupted():
        for entry in reach.journal(name, facts, unit=unit, since=begin, lines=most, follow=follow):
            show(entry)
            count += 1
            if reader_left():
                break
    if not count:
        echo(f"there is no entry{f' of {unit}' if unit else ''} in the journal of {name}", err=True)


def events(
    since: str = SINCE,
    watch: bool = WATCH,
    interval: float = INTERVAL,
    json: bool = LISTING,
) -> None:
    """List what this controller has recorded: decisions about pools, verifications, break-glass access, tracks."""
    begin = moments.stamp(moments.since(since, time.time())) if since else ""
    found = [it for it in recorded.events() if it.at >= begin]
    if not watch:
        if json:
            document("events", {"events": found})
        elif found or form.format == "csv":
            table(("time", "source", "what", "about", "text"), [_row(it) for it in found])
        else:
            echo("nothing is recorded" + " since then" * bool(since), err=True)
        return
    show = records("event") if json or form.format == "csv" else lambda it: echo("  ".join(_row(it)))
    seen: set[Event] = set()
    with until_interrupted():
        while True:
            for it in found:
                if it not in seen:
                    show(it)
            if reader_left():
                break
            seen.update(found)
            time.sleep(interval)
            found = [it for it in recorded.events() if it.at >= begin]


def _row(it: Event) -> tuple[str, ...]:
    return it.at, it.source, it.what, it.about, it.text
