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


@app.command()
def verify(
    source: Path = typer.Option(None, "--from", metavar="DIR", help="The mirror; the shared cache's without it."),
    key: Path = typer.Option(
        None, "--key", metavar="FILE", help="The public key, which came another way; this checkout's own without it."
    ),
    json: bool = typer.Option(False, "--json", help="Print one JSON document instead of lines."),
) -> None:
    """Check a mirror that was carried in: its signature and every digest. Exit code 1 names what is wrong."""
    from dualtrack.errors import Findings
    from dualtrack.mirror import check
    from dualtrack.mirror.repository import KEY_NAME
    from dualtrack.output import document
    from dualtrack.paths import LAB, cache_dir
    from dualtrack.progress import size

    folder = source or cache_dir() / "mirror"
    folder = folder / "apt" if (folder / "apt").is_dir() else folder
    found = check.check(folder, key or LAB / "mirror" / KEY_NAME)
    if json:
        document("mirror-check", found)
    elif not found.problems:
        typer.echo(f"{folder}: {found.files} files, {size(found.bytes)}, all as they were signed")
    if found.problems:
        for line in found.problems[1:]:
            typer.echo(line, err=True)
        raise Findings(f"{folder}: {found.problems[0]}")
