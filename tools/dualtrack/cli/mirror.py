"""`dualtrack mirror …`: the packages that a site without a way out installs from."""

from __future__ import annotations

from pathlib import Path

import typer

app = typer.Typer(help="A signed package repository of our own: the start of the offline mirror.", no_args_is_help=True)


@app.command()
def build(
    dest: Path = typer.Option(None, "--dest", help="Where to; the shared cache, which the lab serves, without it."),
    json: bool = typer.Option(False, "--json", help="Print one JSON document instead of lines."),
) -> None:
    """Build and sign the repository: today the NVIDIA container toolkit, from its Go module. Again: nothing."""
    from dualtrack import mirror
    from dualtrack.output import Steps, document
    from dualtrack.paths import cache_dir

    made = mirror.build(dest or cache_dir() / "mirror", Steps(quiet=json))
    if json:
        document("mirror", {"apt": str(made.apt), "key": str(made.key), "built": made.built})
        return
    typer.echo(f"{'built' if made.built else 'up to date'}: {made.apt}")
    typer.echo(f"its public key, for gpu_runtime_repository_key: {made.key}")
