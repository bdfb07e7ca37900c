"""What runs in the environment of the knowledge base: `python -m dualtrack.knowledge.program`.

Requests come on stdin as JSON, one a line; answers go to stdout in the same way, and progress to stderr. An error ends
the program: one line on stderr, and the exit code of its kind.

Whatever was read stays in a process's memory here and there. So the program begins anew, in place of itself, before the
first request after a deletion, and when it is told to: its memory is the kernel's again, which clears it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec

from dualtrack.core import proc
from dualtrack.core.characters import visible
from dualtrack.core.errors import DualtrackError, Exit
from dualtrack.core.output import echo
from dualtrack.knowledge import cluster, evaluation, ingest, ledger, models, retrieval, search, versions
from dualtrack.knowledge.embedding import Model
from dualtrack.knowledge.messages import Describe, Evaluate, Fill, Found, Ingest, Reload, Request, Search, Status
from dualtrack.knowledge.parsing import child, sandbox


@cache
def _model(folder: str) -> Model:
    return models.load(Path(folder))


def answer(request: Ingest | Search | Evaluate | Fill | Status) -> object:
    """Do what is asked for, and return a document of it."""
    key_file = Path(request.key_file) if request.key_file else None
    if isinstance(request, Fill):
        return cluster.fill(Path(request.base), cluster.load(Path(request.cluster)), key_file, say=_say)
    if isinstance(request, Status):
        return cluster.status(Path(request.base), cluster.load(Path(request.cluster)), key_file)
    model = _model(request.model)
    if isinstance(request, Ingest):
        return ingest.ingest(
            Path(request.base), Path(request.source), request.collection, request.labels, model,
            remove_missing=request.remove_missing, keep=request.keep, key_file=key_file, say=_say,
        )  # fmt: skip
    base, labels = Path(request.base), frozenset(request.labels)
    if isinstance(request, Evaluate):
        searcher = search.Searcher(versions.load(base, key_file), model)
        return evaluation.evaluate(base, searcher, request.questions, labels, fit=request.fit, say=_say)
    asked: search.Searcher | cluster.Clustered
    if request.cluster:
        asked = cluster.Clustered(base, cluster.load(Path(request.cluster)), model, key_file)
    else:
        asked = search.Searcher(versions.load(base, key_file), model)
    fitted, note = retrieval.load(base, model.digest)
    hits = asked.search(request.question, labels, request.count, fitted)
    return Found(
        version=asked.id, hits=hits, weight=fitted.weight if fitted else 0.0,
        least=fitted.least if fitted else None, note=note,
    )  # fmt: skip


def _say(text: str) -> None:
    echo(visible(text), err=True)


class _Lines:
    """The lines of stdin, and what a program before this one had read of them already."""

    def __init__(self, read: bytes) -> None:
        self._read = read

    def __iter__(self) -> Iterator[bytes]:
        """Yield lines."""
        more = True
        while more or self._read:
            line, end, rest = self._read.partition(b"\n")
            if end or not more:
                self._read = rest
                yield line
            else:
                more = bool(data := os.read(0, 1 << 16))
                self._read += data

    def renew(self, *first: bytes) -> None:
        """Become a new process of this program, which continues with some lines and what was read."""
        rest = os.memfd_create("requests", 0)
        os.write(rest, b"".join(it + b"\n" for it in first) + self._read)
        os.lseek(rest, 0, os.SEEK_SET)
        sys.stdout.buffer.flush()
        child.end()
        os.execv(sys.executable, [sys.executable, "-P", "-m", "dualtrack.knowledge.program", str(rest)])  # noqa: S606


def main() -> int:
    """Answer the requests on stdin and return the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if not proc.end_with_parent(signal.SIGTERM):
        return int(Exit.INTERRUPTED)
    sandbox.hide_memory()  # there will be keys in it
    read = b""
    if sys.argv[1:]:
        with os.fdopen(int(sys.argv[1]), "rb") as file:
            read = file.read()
    #: How long each ledger was when something was read from its knowledge base first.
    deletions: dict[str, int] = {}
    renewed = bool(sys.argv[1:])
    try:
        lines = _Lines(read)
        for line in lines:
            request = msgspec.json.decode(line, type=Request)
            if isinstance(request, Reload):
                if not renewed:
                    lines.renew(line)
                found: object = {}
            elif isinstance(request, Describe):
                found = models.describe(
                    Path(request.directory), request.url, Path(request.authority), request.name,
                    query_model=request.query_name, tokens=request.tokens, query=request.query,
                    passage=request.passage, tokenizer=Path(request.tokenizer) if request.tokenizer else None,
                )  # fmt: skip
            else:
                size = ledger.size(Path(request.base))
                if deletions.setdefault(request.base, size) != size:
                    lines.renew(line)
                found = answer(request)
            renewed = False
            sys.stdout.buffer.write(msgspec.json.encode(found) + b"\n")
            sys.stdout.buffer.flush()
    except DualtrackError as error:
        _say(str(error))
        return int(error.code)
    except KeyboardInterrupt:
        return int(Exit.INTERRUPTED)
    return 0


if __name__ == "__main__":
    sys.exit(main())
