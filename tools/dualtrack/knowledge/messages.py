"""What the command line asks of the program of the knowledge base (`program`), and what that answers.

Nothing here needs the libraries that search and read documents: whoever only asks starts in half of the time.
"""

from __future__ import annotations

import msgspec

from dualtrack.knowledge.questions import Question

#: How many versions stay, unless somebody says otherwise.
KEPT_VERSIONS = 5


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A chunk that was found: how near it is (cosine, or a mean of it with the lexical score; 1 is the most)."""

    score: float
    collection: str
    source: str
    place: str
    headings: tuple[str, ...]
    text: str


class Left(msgspec.Struct, frozen=True):
    """A file that was left out, and why; or, of one that was taken in, what in it was not read."""

    path: str
    reason: str


class IngestReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a directory, and who may see its documents (``acl``).

    ``readers``: how many documents of the collection, also of those that are not in the directory, are for whom.

    ``shortened``: chunks whose vectors were made now, and whose ends the model does not read, since they were cut for
    another one.
    """

    version: str
    changed: bool
    new: int
    unchanged: int
    removed: int
    documents: int
    chunks: int
    masked: dict[str, int]
    left_out: list[Left]
    missing: list[str]
    acl: tuple[str, ...]
    readers: dict[str, int] = {}
    shortened: int = 0


class Ingest(msgspec.Struct, frozen=True, kw_only=True, tag="ingest"):
    """Take in a directory. Without ``labels`` those who see the collection already are the ones who may."""

    base: str
    model: str
    source: str
    collection: str
    labels: tuple[str, ...]
    remove_missing: bool = False
    keep: int = KEPT_VERSIONS
    key_file: str = ""


class Search(msgspec.Struct, frozen=True, kw_only=True, tag="search"):
    """Find chunks for somebody who has some labels."""

    base: str
    model: str
    question: str
    labels: tuple[str, ...]
    count: int
    key_file: str = ""
    cluster: str = ""


class Fill(msgspec.Struct, frozen=True, kw_only=True, tag="fill"):
    """Have in a cluster what the version that answers has (`cluster.fill`)."""

    base: str
    cluster: str
    key_file: str = ""


class Status(msgspec.Struct, frozen=True, kw_only=True, tag="status"):
    """Say how a cluster is (`cluster.status`)."""

    base: str
    cluster: str
    key_file: str = ""


class Describe(msgspec.Struct, frozen=True, kw_only=True, tag="describe"):
    """Describe a model that others serve (`models.describe`). It is of no knowledge base."""

    directory: str
    url: str
    authority: str
    name: str
    query_name: str
    tokens: int
    query: str
    passage: str
    tokenizer: str = ""


class Reload(msgspec.Struct, frozen=True, kw_only=True, tag="reload"):
    """Begin anew, with nothing in memory of what was read before. The answer is empty."""


class Evaluate(msgspec.Struct, frozen=True, kw_only=True, tag="evaluate"):
    """Measure how well questions are answered for somebody who has some labels; with ``fit`` keep what comes out."""

    base: str
    model: str
    questions: tuple[Question, ...]
    labels: tuple[str, ...]
    fit: bool = False
    key_file: str = ""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, the best first, and in which version.

    A site's service does not say the version. ``weight`` and ``least`` are those of `retrieval.json`; ``note`` says why
    it was not used.
    """

    version: str
    hits: list[Hit]
    weight: float = 0.0
    least: float | None = None
    note: str = ""


Request = Ingest | Search | Evaluate | Fill | Status | Describe | Reload
