"""`dualtrack kb …`: the private knowledge base: documents in, answers with sources out.

Commands that read documents or ask models import those parts themselves: the other commands take a third of the time.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from dualtrack.cli.confirm import DRY_RUN, YES, agreed, confirmed, only_shows
from dualtrack.cli.options import AS_PERSON, BASE, JSON, KEY_FILE, LISTING, PEOPLE, Said, in_place_of
from dualtrack.core.characters import visible
from dualtrack.core.errors import BadInput, Findings, Missing
from dualtrack.core.output import document, echo, table
from dualtrack.core.paths import STATE

if TYPE_CHECKING:
    from dualtrack.knowledge.answering import Answered, Message
    from dualtrack.knowledge.messages import Hit, IngestReport
    from dualtrack.knowledge.overview import Changed
    from dualtrack.serving.client import End

app = typer.Typer(no_args_is_help=True)
OWN_BASE = STATE / "knowledge"
ASKED = typer.Option(
    None, "--base", envvar="DUALTRACK_KB", metavar="DIRECTORY",
    help="A knowledge base on this machine; that of the site that is up without it.",
)  # fmt: skip
#: The most tokens of an answer.
ANSWER_TOKENS = 512
MODEL = typer.Option(
    None, "--model", envvar="DUALTRACK_KB_MODEL", metavar="DIRECTORY",
    help="A model of your own that makes vectors: model.onnx, tokenizer.json, card.json; or one by kb endpoint.",
)  # fmt: skip
CLUSTER = typer.Option(
    None, "--cluster", envvar="DUALTRACK_KB_CLUSTER", metavar="FILE",
    help="Says where vectors are searched by several machines (OpenSearch, Milvus); by this one without it.",
)  # fmt: skip


@app.command()
def ingest(
    source: Path = typer.Argument(
        ..., metavar="DIRECTORY", help="With PDF, DOCX, XLSX, HTML, Markdown, text, CSV or mail."
    ),
    collection: str = typer.Option(..., "--collection", help="What the documents belong to, such as hr."),
    acl: list[str] = typer.Option(
        [],
        "--acl",
        help="Readers of the documents: everyone, group:NAME, role:NAME or person:NAME (may be repeated)."
        " Default: the present readers of the collection, or everyone for a new collection.",
    ),
    remove_missing: bool = typer.Option(
        False, "--remove-missing", help="Remove documents of the collection that are not in the directory any more."
    ),
    leave_out: bool = typer.Option(
        False, "--leave-out", help="Exit with code 0 also when files cannot be read. They are named."
    ),
    keep: int = typer.Option(5, "--keep", min=1, max=1000, help="How many versions stay, to go back to."),
    base: Path = BASE,
    key_file: Path | None = KEY_FILE,
    model: Path | None = MODEL,
    json: bool = JSON,
) -> None:
    """Take in a directory: read, masked, cut and indexed; then switch to the new version.

    What is not new is not read again; an interrupted run continues where it was. Exit code 1 when a file was left out.
    """
    from dualtrack.tracks import knowledge

    done = knowledge.ingest(
        base, source, collection, tuple(acl), remove_missing=remove_missing, keep=keep, key_file=key_file,
        directory=model, say=Said(),
    )  # fmt: skip
    if json:
        document("kb-ingest", done)
    else:
        same = "" if done.changed else ", as before"
        echo(f"version {done.version}{same}: {done.documents} documents, {done.chunks} chunks")
        echo(f"{done.new} looked at, {done.unchanged} as before, {done.removed} removed")
        for line in _readers(collection, done):
            echo(line)
        if done.masked:
            echo("masked: " + ", ".join(f"{count} {kind}" for kind, count in sorted(done.masked.items())))
        if done.shortened:
            echo(f"{done.shortened} chunks are longer than the model reads: take their directories in again")
        for left in done.left_out:
            echo(f"left out: {visible(left.path)}: {left.reason}")
        for path in done.missing:
            echo(f"not in the directory any more: {visible(path)} (--remove-missing removes it)")
    if done.left_out and not leave_out:
        raise Findings(f"{len(done.left_out)} left out")


def _readers(collection: str, done: IngestReport) -> Iterator[str]:
    """Yield who may see a collection: all of it, or what was in the directory and what was not."""
    acl = ", ".join(done.acl)
    other = {it: count for it, count in done.readers.items() if it != acl}
    if not other:
        yield f"{collection} is for {acl}"
        return
    yield f"what is in this directory is for {acl}"
    for labels, count in sorted(other.items()):
        are = f"document of {collection} is" if count == 1 else f"documents of {collection} are"
        yield f"{count} other {are} for {labels}, as before"


@app.command()
def search(
    question: str = typer.Argument(..., help="What is looked for."),
    name: str = AS_PERSON,
    count: int = typer.Option(5, "--count", min=1, max=50, help="How many parts of documents."),
    base: Path = ASKED,
    people: Path = PEOPLE,
    key_file: Path | None = KEY_FILE,
    model: Path | None = MODEL,
    cluster: Path | None = CLUSTER,
    json: bool = JSON,
) -> None:
    """Find parts of documents by what they mean and say, with their sources; nothing that the person may not see."""
    from dualtrack.tracks import knowledge, knowledge_site

    if not question.strip():
        raise BadInput("a question has at least one word")
    person = in_place_of(name, people)
    if at := None if base else knowledge_site.site():
        found = knowledge_site.search(at, name, question, count)
    else:
        found = knowledge.search(base or OWN_BASE, question, person.labels, count, key_file, Said(), model, cluster)
    if json:
        document("kb-search", found)
        return
    if found.note:
        echo(found.note, err=True)
    for number, it in enumerate(found.hits, 1):
        echo(f"{number}. {it.score:.2f}  {_where(it)}")
        echo(f"   {' '.join(it.text.split())[:300]}")
    if not found.hits:
        echo("nothing found that this person may see", err=True)


@app.command()
def ask(
    question: str = typer.Argument(..., help="What is asked; - reads it from stdin."),
    name: str = AS_PERSON,
    base: Path = ASKED,
    people: Path = PEOPLE,
    api_key_file: Path | None = typer.Option(
        None,
        "--api-key-file",
        metavar="FILE",
        help="With --base: a file with the gateway's API key, as `dualtrack serving chat` takes it.",
    ),
    key_file: Path | None = KEY_FILE,
    model: Path | None = MODEL,
    cluster: Path | None = CLUSTER,
    json: bool = JSON,
) -> None:
    """Answer a question in sentences, by a model behind the gateway, from documents that the person may see.

    The answer comes as it is made, then its sources; a star marks those that it names. Where there are none, no model
    is asked.
    """
    from dualtrack.knowledge.answering import Answered
    from dualtrack.serving import client
    from dualtrack.tracks import knowledge_site

    person = in_place_of(name, people)
    text = client.read_prompt(question, sys.stdin.buffer)
    at = None if base else knowledge_site.site()
    if at:
        answer = knowledge_site.ask(at, name, text)
    else:
        answer = _ask_here(base or OWN_BASE, text, person.labels, api_key_file, key_file, model, cluster)
    pieces: list[str] = []
    try:
        for it in answer:
            if isinstance(it, Answered):
                end = it
            else:
                pieces.append(it)
                if not json:
                    echo(it, nl=False)
    finally:
        if pieces and not json:
            echo()  # also where it breaks off: why is a line of its own
    if json:
        document("kb-ask", {"answer": "".join(pieces), "citations": end.citations, "end": end.end})
        return
    for source in end.citations:
        echo(f"[{source.number}]{'*' * source.cited} {_where(source.hit)}")
    echo(end.end.line if end.citations and end.end else "no model was asked", err=True)


def _ask_here(
    base: Path,
    text: str,
    seen: tuple[str, ...],
    api_key_file: Path | None,
    key_file: Path | None,
    directory: Path | None,
    cluster: Path | None,
) -> Iterator[str | Answered]:
    from dualtrack.serving import client
    from dualtrack.tracks import knowledge, serving

    site = serving.sites()[0]
    found = client.find_key(api_key_file, os.environ, serving.chat_key(site))
    asked = client.Client(site.endpoint.url, serving.ca_file(site), found)
    model = client.chosen("", site.writers or asked.models())

    def chat(messages: Sequence[Message]) -> Iterator[str | End]:
        return asked.chat(model, messages, ANSWER_TOKENS)

    return knowledge.ask(base, text, seen, chat, key_file, Said(), directory, cluster)


@app.command()
def address(json: bool = JSON) -> None:
    """Say where the site's knowledge base answers: its page, and its API for clients with a token."""
    from dualtrack.tracks import knowledge_site

    if (at := knowledge_site.site()) is None:
        raise Missing("no host with the role knowledge_base is up", hint="make up")
    if json:
        document("kb-address", {"host": at.host, "url": at.url, "ca_file": str(at.ca_file)})
    else:
        echo(at.url)
        echo(f"certificates by {at.ca_file}", err=True)


@app.command()
def serve(settings: Path = typer.Argument(..., help="Its settings, as the role knowledge_base writes them.")) -> None:
    """Be the service of the knowledge base, as systemd runs it on a host."""
    from dualtrack.tracks import knowledge

    knowledge.serve(settings)


@app.command(name="issue-token")
def issue_token() -> None:
    """Issue a token to the account that is connected to stdin, as systemd runs it on a host (`dualtrack-kb-token`)."""
    from dualtrack.knowledge.service import own_token

    own_token.main()


@app.command()
def versions(base: Path = BASE, json: bool = LISTING) -> None:
    """List the versions that are kept, the newest first, and which one answers."""
    from dualtrack.knowledge import versions as kept

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
    yes: bool = YES,
    dry_run: bool = DRY_RUN,
) -> None:
    """Have another version answer. The next `kb ingest` switches to a new one, with all documents as they are then.

    Shows both versions, and asks. Who may read what is as in that version, also after the next `kb ingest`. What was
    deleted in the meantime stays deleted.
    """
    from dualtrack.knowledge import overview
    from dualtrack.knowledge import rollback as rollbacks
    from dualtrack.knowledge import versions as kept

    kept.own(base)
    if any(it.current and it.id == version for it in kept.listed(base)):
        echo(f"version {version} answers already", err=True)
        return
    change = kept.change_to(base, version)
    readers = overview.change_of_readers(base, version, key_file)
    if not agreed([*change, *readers], "Have that version answer?", yes=yes, dry_run=dry_run):
        return
    rollbacks.roll_back(base, version, key_file)
    echo("\n".join([*(readers if yes else []), f"version {version} answers"]), err=True)


def _for_others(it: Changed) -> str:
    """Return who may see a document in each of two versions, where they are not the same."""
    if not (it.readers_before and it.readers_after) or it.readers_before == it.readers_after:
        return ""
    return f", for {', '.join(it.readers_before)} → for {', '.join(it.readers_after)}"


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

    found = overview.difference(base, before, after, key_file)
    if json:
        document("kb-diff", found)
        return
    for mark, rows in (("+", found.added), ("-", found.removed), ("~", found.changed)):
        for it in rows:
            echo(f"{mark} {it.collection}/{visible(it.source)}: {it.before} → {it.after} chunks{_for_others(it)}")
    echo(f"{found.unchanged} documents are the same")
    if found.deleted_before or found.deleted_after:
        echo(f"deleted since: {found.deleted_before} of {before}, {found.deleted_after} of {after}")


@app.command()
def status(base: Path = BASE, key_file: Path | None = KEY_FILE, json: bool = JSON) -> None:
    """Print which version answers, what is in it, how much was deleted, and whether the master key is there.

    Exit code 1 when something is wrong.
    """
    from dualtrack.knowledge import overview

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
    yes: bool = YES,
    dry_run: bool = DRY_RUN,
    trail: Path | None = typer.Option(
        None, "--trail", metavar="DIRECTORY", help="An audit trail of this host that gets the receipt."
    ),
    base: Path = BASE,
    key_file: Path | None = KEY_FILE,
    json: bool = JSON,
) -> None:  # fmt: skip
    """Delete the documents that mention a person, in all versions, and keep them and later ones out.

    Shows them and asks, also where there is none yet. Their keys are destroyed: nothing that is left of them can be
    read. Whoever was interrupted runs it again.
    """
    from dualtrack.knowledge import deletion, mentions
    from dualtrack.tracks import knowledge

    people = [] if documents and identifiers is None else mentions.read(identifiers)
    shows = only_shows(yes=yes, dry_run=dry_run, json=json)
    if shows or not yes:
        found = deletion.mentioned(base, people, documents, key_file)
        if json:
            document("kb-mentions", {"documents": found})
            return
        for it in found:
            why = f"{it.mentions} mentions" if it.mentions else "named" if it.named else "the same file"
            echo(f"{it.collection}/{visible(it.source)}: {why}, in {it.versions} versions")
        echo(f"{len(found)} documents")
        if shows:
            return
        # Whoever is in no document yet is noted all the same: that keeps later ones out.
        confirmed("Delete them, in all versions?" if found else "Keep later documents that mention them out?")
    receipt = knowledge.delete_person(base, people, documents, key_file, trail)
    if json:
        document("kb-receipt", receipt)
        return
    again = " (done before)" * receipt.repeated
    echo(f"deletion {receipt.deletion}{again}: {receipt.documents} documents, {receipt.chunks} chunks")
    echo(f"{receipt.keys} keys destroyed, {len(receipt.versions)} versions affected; ledger {receipt.ledger}")


def _where(it: Hit) -> str:
    return visible(" > ".join([f"{it.collection}/{it.source}", *it.headings, *([it.place] if it.place else [])]))
