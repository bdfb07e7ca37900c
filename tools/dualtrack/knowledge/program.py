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
from dualtrack.knowledge import ingest, search, versions
from dualtrack.knowledge.embedding import BGE_SMALL_ZH, Model
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


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, the nearest first, and in which version."""

    version: str
    hits: list[search.Hit]


Request = Ingest | Search


@cache
def _model(folder: str) -> Model:
    return Model(Path(folder), BGE_SMALL_ZH)


def answer(request: Request) -> ingest.Report | Found:
    """Do what is asked for."""
    model = _model(request.model)
    if isinstance(request, Ingest):
        return ingest.ingest(
            Path(request.base), Path(request.source), request.collection, request.labels, model,
            remove_missing=request.remove_missing, keep=request.keep, say=_say,
        )  # fmt: skip
    version = versions.load(Path(request.base))
    hits = search.search(version, model, request.question, frozenset(request.labels), request.count)
    return Found(version=version.id, hits=hits)


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
