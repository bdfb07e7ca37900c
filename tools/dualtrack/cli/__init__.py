"""The command line: it parses, calls and prints. What costs time to import is imported inside the command."""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import typer

from dualtrack import __version__
from dualtrack.cli import (
    access,
    audit,
    audit_keep,
    audit_store,
    audit_witness,
    cost,
    drift,
    drill,
    fabric,
    failover,
    inventory,
    kb,
    kb_cluster,
    kb_endpoint,
    kb_eval,
    keys,
    lab,
    mirror,
    pii,
    pki,
    play,
    pools,
    residency,
    seal,
    serving,
    spot,
    store,
    sync,
    tiers,
    tracks,
    writeback,
)
from dualtrack.core.errors import DualtrackError, Exit
from dualtrack.core.output import echo, visible

app = typer.Typer(
    name="dualtrack",
    help=(
        "Deploy a large language model and its knowledge base on two tracks: [bold]cloud[/] (GPU pools on AWS) and"
        " [bold]local[/] (servers you own).\n\n"
        "Start with [bold]dualtrack up[/]: both tracks on this machine's lab, configured and verified. Then"
        " [bold]dualtrack status[/]. Commands that print tables take --json."
    ),
    epilog="Exit codes: 0 fine, 1 findings, 2 bad input, 3 prerequisite missing, 4 something outside failed, 5 refused,"
    " 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
tracks.register(app)
app.command()(inventory.inventory)
audit_store.register(audit.app)
audit_witness.register(audit.app)
app.add_typer(access.app, name="access")
audit_keep.register(audit.app)
app.add_typer(audit.app, name="audit")
app.add_typer(fabric.app, name="fabric")
app.add_typer(lab.app, name="lab")
app.add_typer(mirror.app, name="mirror")
app.add_typer(seal.app, name="seal")
app.command()(seal.unseal)
kb_cluster.register(kb.app)
kb_endpoint.register(kb.app)
kb_eval.register(kb.app)
app.add_typer(kb.app, name="kb")
app.add_typer(keys.app, name="keys")
app.command()(play.play)
app.add_typer(cost.app, name="cost")
app.command()(drift.drift)
app.add_typer(drill.app, name="drill")
app.add_typer(pii.app, name="pii")
app.add_typer(pki.app, name="pki")
app.add_typer(pools.app, name="pools")
app.add_typer(failover.app, name="failover")
app.add_typer(residency.app, name="residency")
app.add_typer(serving.app, name="serving")
app.add_typer(spot.app, name="spot")
app.add_typer(store.app, name="store")
app.add_typer(sync.app, name="sync")
app.add_typer(tiers.app, name="tiers")
app.add_typer(writeback.app, name="writeback")


def _version(value: bool) -> None:
    if value:
        echo(f"dualtrack {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(  # noqa: ARG001 - its callback has done all
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    if os.environ.get("DUALTRACK_MIRROR"):
        from dualtrack.data.mirror import offline

        offline.settle(os.environ)


def commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command with its path, for what is generated from them and for what holds them to their promises."""

    def walk(group: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from walk(command, (*path, name))
            else:
                yield (*path, name), command

    yield from walk(typer.main.get_command(app), ())


def _narrowed(words: Sequence[str]) -> typer.Typer:
    """Return the app with only the group of commands that is asked for: to build all takes a third of a start."""
    groups = [it for it in app.registered_groups if words and it.name == words[0]]
    if not groups:
        return app
    found = copy.copy(app)
    found.registered_groups, found.registered_commands = groups, []
    return found


def main() -> None:
    """Run the command line; a DualtrackError becomes one line on stderr and its exit code."""
    try:
        _narrowed(sys.argv[1:])()
    except DualtrackError as error:
        echo(f"dualtrack: {visible(str(error))}", err=True)
        sys.exit(int(error.code))
    except KeyboardInterrupt:
        echo("dualtrack: interrupted; the next run goes on from here", err=True)
        sys.exit(int(Exit.INTERRUPTED))
    except BrokenPipeError:  # whoever read our output has read enough
        sys.stderr.close()
        sys.exit(int(Exit.OK))
    except MemoryError:
        echo("dualtrack: there is not enough memory for this", err=True)
        sys.exit(int(Exit.EXTERNAL))
    except OSError as error:  # a full disk, a folder that is not ours: the system's own words are clear enough
        said = visible(f"{error.filename or 'cannot go on'}: {error.strerror or error}")
        echo(f"dualtrack: {said}", err=True)
        sys.exit(int(Exit.EXTERNAL))
