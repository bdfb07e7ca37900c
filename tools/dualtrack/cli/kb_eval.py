"""`dualtrack kb eval`: how well questions are answered, and the weights that follow from it."""

from __future__ import annotations

from pathlib import Path

import typer

from dualtrack.cli.kb import MODEL
from dualtrack.cli.options import AS_PERSON, BASE, KEY_FILE, LISTING, PEOPLE, Said, in_place_of, output_path
from dualtrack.core.files import write_output
from dualtrack.core.output import document, echo, table
from dualtrack.knowledge import questions as asked


def register(app: typer.Typer) -> None:
    """Add this file's command to `dualtrack kb`."""
    app.command(name="eval")(evaluate)


def evaluate(
    questions: Path = typer.Argument(
        ..., metavar="QUESTIONS", help="JSON lines, or a list in YAML: a question, and the sources that answer it."
    ),
    name: str = AS_PERSON,
    fit: bool = typer.Option(
        False, "--fit", help="Write retrieval.json: what search goes by from now on, for everybody."
    ),
    page: Path = typer.Option(
        None, "--page", metavar="FILE.html", help="Write a page with each question, too.", callback=output_path
    ),
    picture: Path = typer.Option(
        None, "--picture", metavar="FILE.svg", help="Draw the figures, too.", callback=output_path
    ),
    base: Path = BASE,
    people: Path = PEOPLE,
    key_file: Path | None = KEY_FILE,
    model: Path | None = MODEL,
    json: bool = LISTING,
) -> None:
    """Measure how well questions are answered: by vectors, by words (BM25), and by both.

    Recall, MRR and nDCG of sources, and which questions are refused. What is fitted is evaluated on other questions
    than it was fitted on. Words count only where they win, and only after --fit.
    """
    from dualtrack.knowledge import evaluation_page as shown
    from dualtrack.tracks import knowledge

    seen = in_place_of(name, people).labels
    done = knowledge.evaluate(
        base, asked.load(questions), seen, fit=fit, key_file=key_file, say=Said(), directory=model
    )
    for path, text in ((page, shown.page), (picture, shown.picture)):
        if path:
            write_output(path, text(done).encode())
            echo(f"written: {path}", err=True)
    if json:
        document("kb-eval", done)
        return
    echo(f"version {done.version}: {done.questions} questions, {done.vectors.questions} with an answer")
    rows = [(way, *(f"{it:.3f}" for it in shown.measures(found).values())) for way, found in shown.ways(done).items()]
    table(("", *shown.measures(done.vectors)), rows)
    for line in shown.said(done):
        echo(line)
    if fit:
        echo(f"written: {base / 'retrieval.json'}", err=True)
