"""What runs in the environment of the knowledge base: `python -m dualtrack.knowledge.program`.

Requests come on stdin as JSON, one a line; answers go to stdout in the same way, and progress to stderr. An error ends
the program: one line on stderr, and the exit code of its kind.
"""

from __future__ import annotations

import signal
import sys
from functools import cache
from pathlib import Path

import msgspec

from dualtrack.errors import DualtrackError, Exit
from dualtrack.knowledge import evaluation, ingest, retrieval, search, versions
from dualtrack.knowledge.embedding import BGE_SMALL_ZH, Model
from dualtrack.knowledge.questions import Question
from dualtrack.output import echo


class Ingest(msgspec.Struct, frozen=True, kw_only=True, tag="ingest"):
    """Take in a directory."""

    base: str
    model: str
    source: str
    collection: str
    labels: tuple[str, ...]
    remove_missing: bool = False
    keep: int = ingest.KEPT_VERSIONS


class Search(msgspec.Struct, frozen=True, kw_only=True, tag="search"):
    """Find chunks for somebody who has some labels."""

    base: str
    model: str
    question: str
    labels: tuple[str, ...]
    count: int


class Evaluate(msgspec.Struct, frozen=True, kw_only=True, tag="evaluate"):
    """Measure how well questions are answered for somebody who has some labels; with ``fit`` keep what comes out."""

    base: str
    model: str
    questions: tuple[Question, ...]
    labels: tuple[str, ...]
    fit: bool = False


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, the best first, and in which version.

    ``weight`` and ``least`` are those of `retrieval.json`; ``note`` says why it was not used.
    """

    version: str
    hits: list[search.Hit]
    weight: float = 0.0
    least: float | None = None
    note: str = ""


Request = Ingest | Search | Evaluate


@cache
def _model(folder: str) -> Model:
    return Model(Path(folder), BGE_SMALL_ZH)


def answer(request: Request) -> ingest.Report | Found | evaluation.Evaluation:
    """Do what is asked for."""
    model = _model(request.model)
    if isinstance(request, Ingest):
        return ingest.ingest(
            Path(request.base), Path(request.source), request.collection, request.labels, model,
            remove_missing=request.remove_missing, keep=request.keep, say=_say,
        )  # fmt: skip
    base, labels = Path(request.base), frozenset(request.labels)
    searcher = search.Searcher(versions.load(base), model)
    if isinstance(request, Evaluate):
        return evaluation.evaluate(base, searcher, request.questions, labels, fit=request.fit, say=_say)
    fitted, note = retrieval.load(base, model.digest)
    hits = searcher.search(request.question, labels, request.count, fitted)
    return Found(
        version=searcher.version.id, hits=hits, weight=fitted.weight if fitted else 0.0,
        least=fitted.least if fitted else None, note=note,
    )  # fmt: skip


def _say(text: str) -> None:
    echo(text.replace("\n", " "), err=True)


def main() -> int:
    """Answer the request on stdin and return the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for line in sys.stdin.buffer:
            found = answer(msgspec.json.decode(line, type=Request))
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
