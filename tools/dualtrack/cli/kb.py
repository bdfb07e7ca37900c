"""`dualtrack kb …`: the private knowledge base: documents in, answers with sources out."""

from __future__ import annotations

import time
from pathlib import Path

import typer

from dualtrack.output import echo
from dualtrack.paths import LAB, ROOT

app = typer.Typer(
    help="The private knowledge base: take in documents, without personal data, and find in them what one may see.",
    no_args_is_help=True,
)
BASE = typer.Option(LAB / "knowledge", "--base", envvar="DUALTRACK_KB", metavar="DIRECTORY", help="Where it is kept.")
JSON = typer.Option(False, "--json", help="Print one JSON document instead of words.")
KEY_FILE = typer.Option(
    None, "--key-file", envvar="DUALTRACK_KB_KEY", metavar="FILE",
    help="The master key, 32 random bytes; without it master.key in the directory, made at first use.",
)  # fmt: skip
PEOPLE = typer.Option(
    ROOT / "inventories/access.yml", "--people", envvar="DUALTRACK_ACCESS", metavar="FILE",
    help="The file of people, roles and groups.",
)  # fmt: skip


@app.command()
def ingest(
    source: Path = typer.Argument(
        ..., metavar="DIRECTORY", help="With PDF, DOCX, XLSX, HTML, Markdown, text, CSV or mail."
    ),
    collection: str = typer.Option(..., "--collection", help="What the documents belong to, such as hr."),
    acl: list[str] = typer.Option(
        ["everyone"],
        "--acl",
        help="Who may see them: everyone, group:NAME, role:NAME or person:NAME (may be repeated).",
    ),
    remove_missing: bool = typer.Option(
        False, "--remove-missing", help="Remove documents of the collection that are not in the directory any more."
    ),
    keep: int = typer.Option(5, "--keep", min=1, max=1000, help="How many versions stay, to go back to."),
    base: Path = BASE,
    key_file: Path | None = KEY_FILE,
    json: bool = JSON,
) -> None:
    """Take in a directory: read, cleaned of personal data, cut and indexed; then switch to the new version.

    What is not new is not read again; an interrupted run goes on where it was. Exit code 1 when a file was left out.
    """
    from dualtrack.errors import Findings
    from dualtrack.output import document
    from dualtrack.tracks import knowledge

    done = knowledge.ingest(
        base, source, collection, tuple(acl), remove_missing=remove_missing, keep=keep, key_file=key_file, say=_Said()
    )
    if json:
        document("kb-ingest", done)
    else:
        same = "" if done.changed else ", as before"
        echo(f"version {done.version}{same}: {done.documents} documents, {done.chunks} chunks")
        echo(f"{done.new} read, {done.unchanged} as before, {done.removed} removed")
        if done.masked:
            echo("masked: " + ", ".join(f"{count} {kind}" for kind, count in sorted(done.masked.items())))
        for left in done.left_out:
            echo(f"left out: {left.path}: {left.reason}")
        for path in done.missing:
            echo(f"not in the directory any more: {path} (--remove-missing removes it)")
    if done.left_out:
        raise Findings(f"{len(done.left_out)} left out")


@app.command()
def search(
    question: str = typer.Argument(..., help="What is looked for."),
    name: str = typer.Option(..., "--as", help="For whom: a name in the file of people."),
    count: int = typer.Option(5, "--count", min=1, max=50, help="How many parts of documents."),
    base: Path = BASE,
    people: Path = PEOPLE,
    key_file: Path | None = KEY_FILE,
    json: bool = JSON,
) -> None:
    """Find parts of documents by what they mean, with their sources; nothing that the person may not see."""
    from dualtrack.access import model
    from dualtrack.output import document
    from dualtrack.tracks import knowledge

    found = knowledge.search(base, question, knowledge.labels(model.load(people), name), count, key_file, _Said())
    if json:
        document("kb-search", found)
        return
    for number, it in enumerate(found.hits, 1):
        where = " > ".join([f"{it.collection}/{it.source}", *it.headings, *([it.place] if it.place else [])])
        echo(f"{number}. {it.score:.2f}  {where}")
        echo(f"   {' '.join(it.text.split())[:300]}")
    if not found.hits:
        echo("nothing found that this person may see", err=True)


@app.command()
def versions(base: Path = BASE, json: bool = JSON) -> None:
    """List the versions that are kept, the newest first, and which one answers."""
    from dualtrack.knowledge import versions as kept
    from dualtrack.output import document, table

    found = kept.listed(base)
    if json:
        document("kb-versions", {"versions": found})
        return
    rows = [
        (it.id, f"{it.since:%Y-%m-%d %H:%M:%S}", str(it.card.documents), str(it.card.chunks), it.card.model_name,
         "answers" * it.current)
        for it in found
    ]  # fmt: skip
    table(("version", "since (UTC)", "documents", "chunks", "model", ""), rows)


@app.command()
def rollback(
    version: str = typer.Argument(..., help="One of those that `dualtrack kb versions` lists."),
    base: Path = BASE,
    key_file: Path | None = KEY_FILE,
) -> None:
    """Have another version answer. The next `kb ingest` switches to a new one, with all documents as they are then.

    What was deleted in the meantime stays deleted.
    """
    from dualtrack.knowledge import versions as kept

    kept.roll_back(base, version, key_file)
    echo(f"version {version} answers", err=True)


@app.command()
def diff(
    before: str = typer.Argument(..., metavar="A", help="A version, as `dualtrack kb versions` lists them."),
    after: str = typer.Argument(..., metavar="B", help="Another one."),
    base: Path = BASE,
    key_file: Path | None = KEY_FILE,
    json: bool = JSON,
) -> None:
    """Print which documents version B has, lacks or has otherwise than version A, and how many chunks each has."""
    from dualtrack.knowledge import overview
    from dualtrack.output import document

    found = overview.difference(base, before, after, key_file)
    if json:
        document("kb-diff", found)
        return
    for mark, rows in (("+", found.added), ("-", found.removed), ("~", found.changed)):
        for it in rows:
            echo(f"{mark} {it.collection}/{it.source}: {it.before} → {it.after} chunks")
    echo(f"{found.unchanged} documents are the same")
    if found.deleted_before or found.deleted_after:
        echo(f"deleted since: {found.deleted_before} of {before}, {found.deleted_after} of {after}")


@app.command()
def status(base: Path = BASE, key_file: Path | None = KEY_FILE, json: bool = JSON) -> None:
    """Print which version answers, what is in it, how much was deleted, and whether the master key is there.

    Exit code 1 when something is wrong.
    """
    from dualtrack.errors import Findings
    from dualtrack.knowledge import overview
    from dualtrack.output import document

    found = overview.status(base, key_file)
    if json:
        document("kb-status", found)
    else:
        echo(f"version {found.version}: {found.documents} documents, {found.chunks} chunks, {found.bytes:,} bytes")
        echo(f"model {found.model}; {found.versions} versions are kept")
        echo(f"{found.deletions} deletions, of {found.deleted_documents} documents; master key: {found.master_key}")
    if found.problem:
        raise Findings(found.problem)


@app.command(name="delete-person")
def delete_person(
    identifiers: Path | None = typer.Option(
        None, "--identifiers", metavar="FILE",
        help="The person's names, numbers and addresses, one a line; without it, and without --document: stdin.",
    ),
    documents: list[str] = typer.Option(
        [], "--document", metavar="COLLECTION/PATH", help="A document to delete as well (may be repeated)."
    ),
    yes: bool = typer.Option(False, "--yes", help="Delete them. Without it they are listed, and nothing is changed."),
    trail: Path | None = typer.Option(
        None, "--trail", metavar="DIR", help="An audit trail of this host that gets the receipt."
    ),
    base: Path = BASE,
    key_file: Path | None = KEY_FILE,
    json: bool = JSON,
) -> None:  # fmt: skip
    """Delete the documents that mention a person, in all versions, and keep them and later ones out; with --yes.

    Their keys are destroyed: nothing that is left of them can be read. Whoever was interrupted runs it again.
    """
    from dualtrack.knowledge import deletion, mentions
    from dualtrack.output import document
    from dualtrack.tracks import knowledge

    people = [] if documents and identifiers is None else mentions.read(identifiers)
    if not yes:
        found = deletion.mentioned(base, people, documents, key_file)
        if json:
            document("kb-mentions", {"documents": found})
            return
        for it in found:
            why = f"{it.mentions} mentions" if it.mentions else "named" if it.named else "the same file"
            echo(f"{it.collection}/{it.source}: {why}, in {it.versions} versions")
        echo(f"{len(found)} documents; nothing was changed: --yes deletes them")
        return
    receipt = knowledge.delete_person(base, people, documents, key_file, trail)
    if json:
        document("kb-receipt", receipt)
        return
    again = " (done before)" * receipt.repeated
    echo(f"deletion {receipt.deletion}{again}: {receipt.documents} documents, {receipt.chunks} chunks")
    echo(f"{receipt.keys} keys destroyed, {len(receipt.versions)} versions affected; ledger {receipt.ledger}")


class _Said:
    """Progress on stderr: what takes no second is not said."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, text: str) -> None:
        if time.monotonic() - self._last >= 1:
            self._last = time.monotonic()
            echo(text, err=True)
