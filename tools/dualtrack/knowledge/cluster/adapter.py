"""What each kind of cluster is to do, and what is sent to it and comes back."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from dualtrack.errors import BadInput
from dualtrack.knowledge.embedding import Vectors
from dualtrack.knowledge.versions import Made

#: Seconds for one answer.
TIMEOUT_S = 20.0
#: Chunks that are sent, and documents that are removed, in one request; documents or chunks that are listed in one.
SENT, REMOVED, PAGE = 200, 500, 5000
#: The graph (HNSW): neighbours of a vector, and how many are looked at when one is added.
NEIGHBOURS, BUILT = 16, 100


class Row(NamedTuple):
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

    def add(self, rows: Sequence[Row]) -> None:
        """Have rows there, in place of those with the same ids."""

    def remove(self, documents: Sequence[str]) -> None:
        """Remove all rows of documents that `documents` said."""

    def settle(self) -> None:
        """Have what was added and removed in what is searched."""

    def nearest(self, vector: Vectors, labels: frozenset[str], count: int) -> Iterator[Near]:
        """Yield the rows with one of the labels that are nearest to a vector, ``count`` at most."""

    def health(self) -> Health:
        """Return how the cluster is."""


def trusted(ca_file: str, certificate: str, key: str) -> ssl.SSLContext:
    """Return TLS that believes one authority and shows a certificate, where one is named; BadInput for unread files."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
        if certificate:
            context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise BadInput(f"the certificates for the cluster cannot be read: {error}") from None
    return context
