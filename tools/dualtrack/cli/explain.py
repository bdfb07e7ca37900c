"""`dualtrack explain`: what an exit code, a role, a variable or a field means."""

from __future__ import annotations

import typer

from dualtrack.cli.options import LISTING
from dualtrack.core.output import document, echo, form, table
from dualtrack.tracks import explain as words
from dualtrack.tracks.explain import Entry


def explain(
    word: str = typer.Argument(
        ..., metavar="WORD", help="Such as 5, gpu, serving_models, hosts.gpus, region, missing."
    ),
    json: bool = LISTING,
) -> None:
    """Explain an exit code, a role (of a host, of Ansible), a field of the facts file, a variable, an alert."""
    found = words.explain(word)
    if json:
        document("explain", {"word": word, "entries": found})
    elif len(found) > 1 or form.format == "csv":
        table(
            ("name", "kind", "type", "default", "text", "where"),
            [(it.name, it.kind, it.type, _default(it), it.text, it.where) for it in found],
        )
    else:
        _show(found[0])


def _default(entry: Entry) -> str:
    return "required" if entry.required else entry.default


def _show(entry: Entry) -> None:
    echo(f"{entry.name}: {entry.kind}")
    if entry.text:
        echo(f"  {entry.text}")
    for name, value in (
        ("type", entry.type), ("default", _default(entry)), ("choices", ", ".join(it or '""' for it in entry.choices)),
        ("name" if entry.kind == "exit code" else "where", entry.where),
    ):  # fmt: skip
        if value:
            echo(f"  {name}: {value}")
