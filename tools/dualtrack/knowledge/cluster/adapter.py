"""What each kind of cluster is to do, and what is sent to it and comes back."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple, Protocol, TypeVar

import msgspec

from dualtrack.core import https
from dualtrack.core.errors import BadInput, External
from dualtrack.core.files import read_whole
from dualtrack.core.retries import retried
from dualtrack.knowledge.embedding import Vectors
from dualtrack.knowledge.versions import Made

T = TypeVar("T")
#: Seconds for one answer; until a cluster that has lost a node, or has none that answers, is given up; and between.
TIMEOUT_S, PATIENCE_S, PAUSE_S = 20.0, 60.0, 0.5
#: Chunks that are sent, and documents that are removed, in one request; documents or chunks that are listed in one.
SENT, REMOVED, PAGE = 200, 500, 5000
#: The graph (HNSW): neighbours of a vector, and how many are looked at when one is added.
NEIGHBOURS, BUILT = 16, 100
#: A file that has to be named: an empty name would be none, and TLS without an authority of ours.
Named = Annotated[str, msgspec.Meta(min_length=1)]


class ClusterRow(NamedTuple):
    """A chunk: its document's number (hex), which of its chunks, its labels, vector and sealed entry (base64)."""

    document: str
    place: int
    labels: tuple[str, ...]
    vector: Vectors
    sealed: str

    @property
    def id(self) -> str:
        """What it is called: a row that is sent again replaces the one before."""
        return f"{self.document}-{self.place}"


class Near(NamedTuple):
    """A chunk that a cluster says is near: the cosine, and its id and sealed entry, which anybody may have written."""

    score: float
    id: object
    sealed: object


class Health(NamedTuple):
    """How a cluster says that it is; its nodes, where it counts them."""

    state: str
    nodes: int | None


class Adapter(Protocol):
    """One index of a cluster. All of it raises External where the cluster does not answer, or refuses."""

    def make(self, card: Made) -> None:
        """Make the index where it is not there; BadInput where it is of another model."""

    def documents(self) -> Iterator[tuple[str, int]]:
        """Yield the documents that are there, and how many chunks of each; none where there is no index."""

    def add(self, rows: Sequence[ClusterRow]) -> None:
        """Have rows there, in place of those with the same ids."""

    def remove(self, documents: Sequence[str]) -> None:
        """Remove all rows of documents that `documents` said."""

    def settle(self) -> None:
        """Have what was added and removed in what is searched."""

    def nearest(self, vector: Vectors, labels: frozenset[str], count: int) -> Iterator[Near]:
        """Yield the rows with one of the labels that are nearest to a vector, ``count`` at most."""

    def health(self) -> Health:
        """Return how the cluster is."""


class Away(Exception):
    """Nobody answers just now: who, and why. ``after_s`` is the seconds that it asks to be left alone for."""

    def __init__(self, reason: str, after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.after_s = after_s


def patiently(ask: Callable[[], T]) -> T:
    """Ask until nobody is `Away`, and return the answer; External where that takes longer than `PATIENCE_S`.

    All that a cluster is asked may be asked twice.
    """
    until = time.monotonic() + PATIENCE_S

    def wait(_: int, away: Away) -> float:
        if time.monotonic() + away.after_s > until:
            raise External(f"the cluster does not answer: {away}", hint="the next run continues from here") from None
        return max(PAUSE_S, away.after_s)

    return retried(ask, Away, wait)


def trusted(ca_file: str, certificate: str, key: str) -> ssl.SSLContext:
    """Return TLS that believes one authority and shows a certificate, where one is named; BadInput for unread files."""

    def passphrase() -> str:  # not asked for: there may be nobody at the terminal, or none
        raise BadInput(f"{key} has a passphrase", hint="openssl pkey -in FILE -out FILE writes it without one")

    try:
        context = https.trusted(Path(ca_file))
        if certificate:
            for it in (certificate, key):
                read_whole(Path(it), https.MOST_PEM, regular=True)
            context.load_cert_chain(certificate, key, password=passphrase)
    except (BadInput, OSError, ValueError) as error:
        reason = error.reason if isinstance(error, ssl.SSLError) and error.reason else error
        raise BadInput(f"the certificates for the cluster cannot be used: {reason}") from None
    return context
