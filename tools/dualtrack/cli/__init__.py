"""The command line: it parses, calls and prints. `groups` names the commands and imports each when it is called."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import typer

from dualtrack import __version__
from dualtrack.cli.groups import LazyGroup
from dualtrack.core.characters import printable
from dualtrack.core.errors import DualtrackError, Exit
from dualtrack.core.output import ClosedStdin, ClosedStdout, Stream, echo, stdout_is_closed

app = typer.Typer(
    name="dualtrack",
    cls=LazyGroup,
    help=(
        "Deploy a large language model and its knowledge base on two tracks: [bold]cloud[/] (GPU pools on AWS) and"
        " [bold]local[/] (servers you own).\n\n"
        "Start with [bold]dualtrack up[/]: both tracks on this machine's lab, configured and verified. Then"
        " [bold]dualtrack status[/]. Commands that print tables take --format (table, wide, json, yaml, csv); --json is"
        " short for --format json."
    ),
    epilog="Exit codes: 0 fine, 1 findings, 2 bad input, 3 prerequisite missing, 4 something outside failed, 5 refused,"
    " 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        echo(f"dualtrack {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(  # noqa: ARG001 - its callback has done all
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
    debug: bool = typer.Option(
        False, "--debug", "-v", help="Log what this does to stderr: the programs that it runs, and how long they take."
    ),
) -> None:
    if debug:
        from dualtrack.core import logs

        logs.debug()
    if os.environ.get("DUALTRACK_MIRROR"):
        from dualtrack.data.mirror import offline

        offline.settle(os.environ)
    if not os.environ.get("DUALTRACK_STATE_DIR"):
        _settle_state()


def _settle_state() -> None:
    """Move the state of a deployment to where it is kept now, where that has not been done."""
    from dualtrack.core import paths

    if paths.misplaced(paths.LAB, paths.STATE):
        from dualtrack.core import state_migration

        if moved := state_migration.move(paths.LAB, paths.STATE):
            echo(f"dualtrack: the state of the deployment ({', '.join(moved)}) is now in {paths.STATE}", err=True)


def commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command with its path, for what is generated from them and for what holds them to their promises."""

    def walk(group: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
        for name in group.commands:
            command = group.load(name) if isinstance(group, LazyGroup) else group.commands[name]
            if command.hidden:
                continue
            if hasattr(command, "commands"):
                yield from walk(command, (*path, name))
            else:
                yield (*path, name), command

    yield from walk(typer.main.get_command(app), ())


#: Signals that end a process; SIGHUP where a terminal or its connection is closed.
ENDING = (signal.SIGTERM, signal.SIGHUP)


class Terminated(KeyboardInterrupt):
    """One of `ENDING` has come: everything is stopped as on Ctrl-C, and then the signal ends the process."""


def _terminate(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as the system calls it
    raise Terminated(number)


def _run() -> None:
    """Run the command line; what it printed has left this process then, or OSError says why it could not."""
    try:
        app()
    except (SystemExit, DualtrackError):
        sys.stdout.flush()
        raise


def _forget_unwritten() -> None:
    """Take what stdout did not accept out of its buffer, which Python would try to write again when it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main() -> None:
    """Run the command line; a DualtrackError becomes one line on stderr and its exit code."""
    for number in ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:  # as `nohup` has it
            signal.signal(number, _terminate)
    if sys.stderr is None:  # closed by the caller: what is printed there is lost
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    if sys.stdin is None:  # closed by the caller
        sys.stdin = io.TextIOWrapper(io.BufferedReader(ClosedStdin()))
        os.open(os.devnull, os.O_RDONLY)  # where its number is free: no other file gets it
    Stream.install()
    if stdout_is_closed():  # commands are refused before they begin (`groups`), help and the like when they print
        sys.stdout = ClosedStdout()
        os.open(os.devnull, os.O_WRONLY)  # where its number is free: no other file gets it
    if isinstance(sys.stdout, io.TextIOWrapper):  # what the terminal's character set lacks is written as `\\u2500`
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        _run()
    except DualtrackError as error:
        echo(f"dualtrack: {printable(str(error))}", err=True)
        sys.exit(int(error.code))
    except KeyboardInterrupt as error:
        with contextlib.suppress(OSError):  # a terminal that is gone
            echo("dualtrack: interrupted; the next run continues from here", err=True)
        if isinstance(error, Terminated):
            signal.signal(error.args[0], signal.SIG_DFL)
            os.kill(os.getpid(), error.args[0])
        sys.exit(int(Exit.INTERRUPTED))
    except MemoryError:
        echo("dualtrack: there is not enough memory for this", err=True)
        sys.exit(int(Exit.EXTERNAL))
    except OSError as error:  # a full disk, a directory that is not ours: the system's own words are clear enough
        _forget_unwritten()
        said = printable(f"{error.filename or 'cannot continue'}: {error.strerror or error}")
        echo(f"dualtrack: {said}", err=True)
        sys.exit(int(Exit.EXTERNAL))
