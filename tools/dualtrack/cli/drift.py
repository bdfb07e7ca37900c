"""`dualtrack drift`: is everything still as declared, and if not, what, since when, and what repairs it."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from dualtrack.cli.context import StackName
from dualtrack.cli.options import LISTING, STACK
from dualtrack.core.errors import BadInput, Exit
from dualtrack.core.output import Steps, echo, result, table
from dualtrack.tracks.drift.detect import Wanted, look
from dualtrack.tracks.drift.model import Drift


def drift(
    stack: StackName = STACK,
    cloud: bool = typer.Option(True, "--cloud/--no-cloud", help="Look at resources, instances and pools."),
    hosts: bool = typer.Option(True, "--hosts/--no-hosts", help="Look at the hosts of the tracks that are up."),
    json: bool = LISTING,
) -> None:
    """Compare what runs with what was declared: OpenTofu, the live API and the hosts' checks. Changes nothing.

    Exit code 0 when all of it is clean, 1 when something drifted, 4 when a part could not be looked at.
    """
    if not cloud and not hosts:
        raise BadInput("--no-cloud and --no-hosts leave nothing to look at")
    found = look(Wanted(stack.value, cloud, hosts), Steps(quiet=json))

    def show() -> None:
        _show(found.drifted, "Drifted")
        _show(found.expected, "Differs by design")
        for line in found.unknown:
            echo(f"could not tell  {line}")
        for line in found.looked_at:
            echo(f"looked at       {line}")
        echo(f"{found.state}, {found.seconds} s")

    fields = {name: getattr(found, name) for name in found.__struct_fields__}
    result("drift", {"state": found.state, **fields}, show, stack=stack.value, json=json)
    codes = {"clean": Exit.OK, "drifted": Exit.FINDINGS, "could not tell": Exit.EXTERNAL}
    raise typer.Exit(int(codes[found.state]))


def _show(drifted: Sequence[Drift], title: str) -> None:
    rows: list[tuple[str, str, str, str, str, str]] = []
    for it in drifted:
        rows.append((it.kind, it.name, it.what, it.since, it.who, it.remedy))
        rows += [("", f"  {field.path}", f"{field.declared or 'nothing'} → {field.actual or 'nothing'}", "", "", "")
                 for field in it.fields]  # fmt: skip
    if rows:
        table(("kind", "name", "what, declared → actual", "since", "by", "repaired by"), rows, title=title)
