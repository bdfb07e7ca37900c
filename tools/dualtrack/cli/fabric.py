"""`dualtrack fabric …`: InfiniBand, held against what its operator declared."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from dualtrack.cli.options import LISTING, output_path
from dualtrack.core.errors import BadInput, Exit, Refused
from dualtrack.core.files import write_output
from dualtrack.core.output import console, echo, result
from dualtrack.hosts.fabric import collect, compare, parse, show, spec
from dualtrack.hosts.fabric import draw as drawing
from dualtrack.hosts.fabric import generate as writing
from dualtrack.hosts.fabric.collect import Runner
from dualtrack.hosts.fabric.parse import Raw
from dualtrack.hosts.fabric.spec import IGNORED
from dualtrack.inventory import deployment

app = typer.Typer(no_args_is_help=True)

FILE = typer.Argument(..., help="The fabric file: docs/how-to/fabric-check.md explains it.", show_default=False)
HOST = typer.Option("", "--host", help="Ask from this host of the inventory, over ssh; from this machine without it.")
INVENTORY = typer.Option(
    None, "--inventory", "-i", help="(with --host) An Ansible inventory; the tracks that are up without it."
)
FROM = typer.Option(None, "--from", help="Ask nothing: read the directory that `fabric snapshot` wrote.")
SINCE = typer.Option(None, "--baseline", help="An earlier snapshot: error counters count from there.")
TIMEOUT = typer.Option(60, "--timeout", min=1, max=3600, help="Seconds that one of the tools may take.")


@app.command()
def check(
    file: Path = FILE,
    host: str = HOST,
    inventory: list[Path] = INVENTORY,
    from_: Path = FROM,
    since: Path = SINCE,
    timeout: int = TIMEOUT,
    json: bool = LISTING,
) -> None:
    """Say what is not as declared: both ends of each cable, expected and seen, and what to do. Exit code 1 for any."""
    wanted = spec.load(file)
    earlier = parse.fabric(collect.read(since), wanted.names, wanted.ignore) if since else None
    raw = _raw(host, inventory, from_, timeout)
    report = compare.compare(wanted, parse.fabric(raw, wanted.names, wanted.ignore), earlier)
    result("fabric-check", report, lambda: show.show(report), json=json)
    if not report.ok:
        raise typer.Exit(int(Exit.FINDINGS))


@app.command()
def snapshot(
    dest: Path = typer.Option(..., "--output", "-o", help="The directory to write; made where it is not there."),
    host: str = HOST,
    inventory: list[Path] = INVENTORY,
    timeout: int = TIMEOUT,
) -> None:
    """Keep what the tools say now: to check elsewhere with --from, or to count errors from with --baseline."""
    collect.write(dest, _raw(host, inventory, None, timeout), host or _this_machine())
    echo(f"written: {dest}", err=True)


@app.command()
def declare(
    dest: Path = typer.Option(
        None, "--output", "-o", help="Write to this new file. Default: print.", callback=output_path
    ),
    host: str = HOST,
    inventory: list[Path] = INVENTORY,
    from_: Path = FROM,
    timeout: int = TIMEOUT,
) -> None:
    """Write a fabric file of what is there now, so that you correct it instead of typing it."""
    if dest and dest.exists():
        raise Refused(f"{dest} is there already", hint="name another file, and compare the two")
    text = writing.document(parse.fabric(_raw(host, inventory, from_, timeout), {}, IGNORED))
    if dest:
        write_output(dest, text.encode())
        echo(f"written: {dest}", err=True)
    else:
        echo(text, nl=False)


@app.command()
def draw(
    file: Path = FILE,
    dest: Path = typer.Option(
        None, "--output", "-o", help="Write an SVG picture to this file. Default: print a tree.", callback=output_path
    ),
    host: str = HOST,
    inventory: list[Path] = INVENTORY,
    from_: Path = FROM,
    since: Path = SINCE,
    timeout: int = TIMEOUT,
) -> None:
    """Draw the fabric as declared, what is wrong in red: a tree here, or a picture for the browser."""
    wanted = spec.load(file)
    earlier = parse.fabric(collect.read(since), wanted.names, wanted.ignore) if since else None
    seen = parse.fabric(_raw(host, inventory, from_, timeout), wanted.names, wanted.ignore)
    report = compare.compare(wanted, seen, earlier)
    if dest:
        write_output(dest, drawing.svg(wanted, report).encode())
        echo(f"written: {dest}", err=True)
    else:
        console().print(drawing.tree(wanted, report))


def _raw(host: str, inventory: list[Path] | None, recorded: Path | None, timeout: int) -> Raw:
    if recorded and host:
        raise BadInput("--from and --host exclude each other", hint="a snapshot is read, a host is asked")
    if recorded:
        return collect.read(recorded)
    with _runner(host, inventory, timeout) as call:
        return collect.gather(call)


@contextmanager
def _runner(host: str, inventory: list[Path] | None, timeout: int) -> Iterator[Runner]:
    if host:
        with collect.remote(host, list(inventory or deployment.inventories()), timeout) as call:
            yield call
    else:
        yield collect.local(timeout)


def _this_machine() -> str:
    return socket.gethostname()
