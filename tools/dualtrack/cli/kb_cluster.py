"""`dualtrack kb cluster …`: vectors that several machines search."""

from __future__ import annotations

from pathlib import Path

import typer

from dualtrack.cli.options import BASE, JSON, KEY_FILE, Said
from dualtrack.core.errors import Findings
from dualtrack.core.output import document, echo

app = typer.Typer(no_args_is_help=True)
CLUSTER = typer.Option(
    ..., "--cluster", envvar="DUALTRACK_KB_CLUSTER", metavar="FILE",
    help="Says where the cluster is: kind (opensearch, milvus), urls or url, ca_file, certificate, certificate_key, "
    "token_file, index, shards, replicas.",
)  # fmt: skip


def register(kb: typer.Typer) -> None:
    """Add the commands to those of the knowledge base."""
    kb.add_typer(app, name="cluster")


@app.command()
def fill(cluster: Path = CLUSTER, base: Path = BASE, key_file: Path | None = KEY_FILE, json: bool = JSON) -> None:
    """Send what the cluster lacks of the version that answers, remove what is not in it. Interrupted, it continues."""
    from dualtrack.tracks import knowledge

    done = knowledge.fill(base, cluster, key_file, Said())
    if json:
        document("kb-cluster-fill", done)
        return
    echo(f"version {done.version}: {done.added} documents sent ({done.chunks} chunks), {done.removed} removed")
    echo(f"{done.unchanged} as before")


@app.command()
def status(cluster: Path = CLUSTER, base: Path = BASE, key_file: Path | None = KEY_FILE, json: bool = JSON) -> None:
    """Print how the cluster is, and how many of the documents it has. Exit code 1 where some are missing."""
    from dualtrack.tracks import knowledge

    found = knowledge.cluster_status(base, cluster, key_file, Said())
    if json:
        document("kb-cluster-status", found)
    else:
        nodes = "" if found["nodes"] is None else f", {found['nodes']} nodes"
        echo(f"{found['health']}{nodes}; {found['present']} of {found['documents']} documents")
        if found["foreign"]:
            echo(f"{found['foreign']} that are not in the version: dualtrack kb cluster fill removes them")
    if found["present"] < found["documents"]:
        raise Findings("documents are missing: dualtrack kb cluster fill")
