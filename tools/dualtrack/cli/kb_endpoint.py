"""`dualtrack kb endpoint`: a model for vectors that others serve."""

from __future__ import annotations

from pathlib import Path

import typer

from dualtrack.cli.options import JSON, Said
from dualtrack.core.output import document, echo


def register(app: typer.Typer) -> None:
    """Add this file's command to `dualtrack kb`."""
    app.command()(endpoint)


def endpoint(
    directory: Path = typer.Argument(
        ..., metavar="DIRECTORY", help="Made for its description: not there yet. --model names it then."
    ),
    url: str = typer.Option(..., "--url", metavar="URL", help="Such as https://HOST:443, with /v1/embeddings there."),
    ca_file: Path = typer.Option(..., "--ca-file", metavar="FILE", help="The authority that it is known by (PEM)."),
    name: str = typer.Option(..., "--name", help="What the model is called there."),
    query_name: str = typer.Option("", "--query-name", help="What it is called for questions, where that differs."),
    tokens: int = typer.Option(512, "--tokens", min=64, max=1 << 20, help="How many tokens of a text it reads."),
    query: str = typer.Option("", "--query", help="What it wants before questions."),
    passage: str = typer.Option("", "--passage", help="What it wants before what is searched."),
    tokenizer: Path | None = typer.Option(
        None,
        "--tokenizer",
        metavar="FILE",
        help="The model's tokenizer.json; without it, three bytes count as a token.",
    ),
    json: bool = JSON,
) -> None:
    """Describe a model behind OpenAI's /v1/embeddings, such as one that a site serves, for --model of other commands.

    It is asked once. Its API key is in DUALTRACK_API_KEY, or in the file that DUALTRACK_API_KEY_FILE names, now and
    whenever vectors are made. The texts go to it, without personal data.
    """
    from dualtrack.tracks import knowledge

    card = knowledge.describe(
        directory, url, ca_file, name, query_name=query_name, tokens=tokens, query=query, passage=passage,
        tokenizer=tokenizer, say=Said(),
    )  # fmt: skip
    if json:
        document("kb-endpoint", card)
    else:
        echo(f"{card.name}: {card.dimension} numbers, {card.tokens} tokens; --model {directory} takes it")
