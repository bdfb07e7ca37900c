"""Vectors of texts: what must be known of a model, and the vectors that were made before.

The models themselves are in `models`. Vectors are kept by a keyed digest of the text, each under the key of the
document that it was made for.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from dualtrack.knowledge.keys import Keys
from dualtrack.knowledge.tables import Held, Table

Vectors = npt.NDArray[np.float32]
#: Tokens that a model puts around a text.
MARKS = 2
#: The least that a model must read of a passage beside what is written before it, in tokens.
LEAST_ROOM = 32


class Endpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A model that others serve: ``url`` has OpenAI's `/v1/embeddings` and knows it as ``model``.

    ``query_model`` is its name for questions, where that is another one. ``probe`` is how the vector of `PROBE` begins,
    which has the length 1: by it another model under the same name is told.
    """

    url: str
    model: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    probe: Annotated[tuple[Annotated[float, msgspec.Meta(ge=-1, le=1)], ...], msgspec.Meta(min_length=8, max_length=64)]
    query_model: str = ""


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What must be known of a model: how many numbers a vector has, how many tokens it reads, and what it is told.

    ``query`` and ``passage`` are written before what is asked and what is searched. ``pooling``: a text's vector is
    that of its first token, or the mean of all. ``endpoint`` is where it answers, where it is not in the directory.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    dimension: Annotated[int, msgspec.Meta(ge=1, le=8192)]
    tokens: Annotated[int, msgspec.Meta(ge=MARKS + 1, le=1 << 20)]
    query: str = ""
    passage: str = ""
    pooling: Literal["first", "mean"] = "first"
    endpoint: Endpoint | None = None


class Model(ABC):
    """A model. ``digest`` is of all that a vector depends on; ``room`` is how many tokens of a passage are read.

    ``shortened`` counts texts that were longer than that, ``together`` is how many are best given at once.
    """

    card: Card
    digest: str
    room: int
    shortened = 0
    together = 1

    @abstractmethod
    def count(self, text: str) -> int:
        """Return how many tokens a text has, also one that is longer than the model reads."""

    @abstractmethod
    def passages(self, texts: Sequence[str]) -> Vectors:
        """Return a vector of length 1 for each text that is searched, a row each; External where there is none."""

    @abstractmethod
    def question(self, text: str) -> Vectors:
        """Return the vector of length 1 of what is asked; External where there is none."""


class Kept(Held):
    """Vectors that were made before."""

    def __init__(self, base: Path, model: Model, keys: Keys) -> None:
        """Open the file, or make it."""
        self._model, self._keys, self._table = model, keys, _kept(base)

    def vectors(self, texts: Sequence[tuple[bytes, str]], say: Callable[[str], None] = lambda _: None) -> Vectors:
        """Return the vectors of passages, a row each, with the numbers of their documents.

        Every hundred that had to be made are said.
        """
        found = np.empty((len(texts), self._model.card.dimension), np.float32)
        missing: dict[str, list[int]] = {}
        made = 0

        def make(done: int) -> None:
            nonlocal made
            for text, vector in zip(missing, self._model.passages([*missing]), strict=True):
                for row in missing[text]:
                    found[row] = vector
                    self._keep(self._key(text), texts[row][0], vector)
            if made // 100 != (made := made + len(missing)) // 100:
                say(f"{done:,} of {len(texts):,} chunks have a vector")
            missing.clear()

        for row, (document, text) in enumerate(texts):
            key = self._key(text)
            if (own := self._look(key, "AND document = ?", document)) is not None:
                found[row] = own
            elif (others := self._look(key, "LIMIT 4")) is not None:
                found[row] = others
                self._keep(key, document, others)
            else:
                missing.setdefault(text, []).append(row)
                if len(missing) >= self._model.together:
                    make(row + 1)
        if missing:
            make(len(texts))
        return found

    def _key(self, text: str) -> bytes:
        return self._keys.mac("vector", f"{self._model.digest}\0{text}".encode())

    def _keep(self, key: bytes, document: bytes, vector: Vectors) -> None:
        """Note a vector under a document's key: another one's go with it."""
        sealed = self._keys.seal(document, "vector", key + vector.tobytes())
        self._table.change("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", [(key, document, sealed)])

    def _look(self, key: bytes, which: str, *values: bytes) -> Vectors | None:
        """Return the vector of a text that some document has."""
        rows = self._table.ask(f"SELECT document, sealed FROM vectors WHERE text = ? {which}", (key, *values))  # noqa: S608
        return next((it for row in rows if (it := self._opened(row[0], key, row[1])) is not None), None)

    def _opened(self, document: bytes, key: bytes, sealed: bytes) -> Vectors | None:
        """Return a vector; None where its document is gone, or it is not what was written for this text."""
        data = self._keys.open(document, "vector", sealed)
        if data is None or data[: len(key)] != key or len(data) != len(key) + 4 * self._model.card.dimension:
            return None
        return np.frombuffer(data, np.float32, offset=len(key))


def forget(base: Path, documents: Iterable[bytes], *, settle: bool = True) -> None:
    """Remove the vectors that were made for documents; with ``settle`` nothing of them stays beside the file."""
    with contextlib.closing(_kept(base)) as table:
        table.change("DELETE FROM vectors WHERE document = ?", [(it,) for it in documents])
        if settle:
            table.settle()


def _kept(base: Path) -> Table:
    return Table(
        base / "vectors.sqlite",
        "CREATE TABLE IF NOT EXISTS vectors"
        " (text BLOB, document BLOB, sealed BLOB NOT NULL, PRIMARY KEY (text, document)) WITHOUT ROWID",
        "CREATE INDEX IF NOT EXISTS documents ON vectors (document)",
    )
