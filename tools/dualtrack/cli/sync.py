"""`dualtrack sync …`: copies of a knowledge base on other hosts, a whole version at a time."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from dualtrack.cli.confirm import DRY_RUN, YES, agreed
from dualtrack.cli.options import BASE, JSON, KEY_FILE, Said
from dualtrack.core.errors import Findings
from dualtrack.core.output import document, echo
from dualtrack.knowledge import overview, versions
from dualtrack.knowledge.sync import copy
from dualtrack.knowledge.sync import offer as offered
from dualtrack.knowledge.sync.source import Source

app = typer.Typer(no_args_is_help=True)
SOURCE = typer.Option(
    ..., "--from", envvar="DUALTRACK_SYNC_FROM", metavar="SOURCE",
    help="What is copied: a knowledge base in a DIRECTORY of this machine, or a host that lets this one, [USER@]HOST:.",
)  # fmt: skip


@app.command()
def run(
    source: str = SOURCE,
    identity: Path | None = typer.Option(
        None, "--identity", envvar="DUALTRACK_SYNC_IDENTITY", metavar="FILE",
        help="The private key that the host knows; ssh's own without it.",
    ),
    known_hosts: Path | None = typer.Option(
        None, "--known-hosts", envvar="DUALTRACK_SYNC_KNOWN_HOSTS", metavar="FILE",
        help="Has the host's key; then no other host is believed.",
    ),
    port: int = typer.Option(
        22, "--port", envvar="DUALTRACK_SYNC_PORT", min=1, max=65535, help="Where the host takes ssh."
    ),
    keep: int = typer.Option(
        5, "--keep", envvar="DUALTRACK_SYNC_KEEP", min=1, max=1000, help="How many versions stay, to go back to."
    ),
    check: bool = typer.Option(
        False, "--check", help="Read what is here already again, and bring what is damaged once more."
    ),
    base: Path = BASE,
    key_file: Path | None = KEY_FILE,
    json: bool = JSON,
) -> None:  # fmt: skip
    """Copy what is new: the version that answers at the source, its keys, and all deletions; then switch to it.

    Both have the same master key. An interrupted run continues where it was; until it is done the old version answers.
    """
    at = Source(place=source, identity=identity, known_hosts=known_hosts, port=port)
    done = copy.run(base, at, key_file, keep=keep, check=check, say=Said())
    if json:
        document("sync-run", done)
        return
    if done.held:
        echo(f"version {done.version} of the source was rolled back from here: it is not switched to")
    elif not done.changed:
        echo(f"version {done.version}, as before")
    else:
        part = f"{done.moved / done.bytes:.1%}" if done.bytes else "0 %"
        echo(f"version {done.version} answers: {done.moved:,} of {done.bytes:,} bytes moved ({part})")
        echo(f"{done.seconds:.1f} s; {done.lag_s:.0f} s after the source")


@app.command()
def status(base: Path = BASE, json: bool = JSON) -> None:
    """Print what was copied last, from where, and how long after its source. Exit code 1 when the last run failed."""
    found = copy.status(base)
    if json:
        document("sync-status", {"state": found, "lag_s": found.lag_s})
    else:
        if found.copied:
            echo(f"version {found.version} of {found.source}, {found.lag_s:.0f} s after it: {found.copied:%F %T} UTC")
            echo(f"{found.moved:,} of {found.bytes:,} bytes moved, in {found.seconds:.1f} s")
        if found.checked:
            echo(f"the source was asked last at {found.checked:%F %T} UTC")
        if found.held:
            echo(f"rolled back: another version than {found.held} is waited for")
    if found.failed:
        raise Findings(f"the last run failed: {found.failed}")


@app.command()
def rollback(
    version: str = typer.Argument(..., metavar="VERSION", help="One of those that `dualtrack kb versions` lists."),
    base: Path = BASE,
    key_file: Path | None = KEY_FILE,
    yes: bool = YES,
    dry_run: bool = DRY_RUN,
) -> None:
    """Have another version answer in this copy, until the source has a new one. What was deleted stays deleted.

    Shows both versions, and asks.
    """
    state = copy.status(base)
    if not state.held and any(it.current and it.id == version for it in versions.listed(base)):
        echo(f"version {version} answers already", err=True)
        return
    change = versions.change_to(base, version)
    readers = overview.change_of_readers(base, version, key_file)
    if not agreed([*change, *readers], "Have that version answer?", yes=yes, dry_run=dry_run):
        return
    copy.roll_back(base, version, key_file)
    echo("\n".join([*(readers if yes else []), f"version {version} answers"]), err=True)


@app.command()
def offer(base: Path = BASE, key_file: Path | None = KEY_FILE) -> None:
    """Print, sealed under the master key, what a copy needs beside a version's file; hosts that copy ask for it."""
    sys.stdout.buffer.write(offered.make(base, key_file))
    sys.stdout.buffer.flush()
