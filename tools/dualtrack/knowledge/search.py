"""Finds chunks by a question, for somebody: what they may not see is not looked at, and not counted.

A person's answer is the same, to the byte, as from a knowledge base that has nothing but what the person may see: both
indexes are of those chunks alone (`index`, `lexical`), scores are exact, and ties are broken by the chunk itself.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from threading import Lock

import msgspec
import numpy as np
import numpy.typing as npt

from dualtrack.core.errors import External
from dualtrack.knowledge.chunks import Chunk
from dualtrack.knowledge.embedding import Model
from dualtrack.knowledge.index import Index
from dualtrack.knowledge.lexical import Lexical
from dualtrack.knowledge.messages import Hit
from dualtrack.knowledge.retrieval import Fitted
from dualtrack.knowledge.versions import Entry, Version

#: How many are looked at further, by vectors and by words.
MOST = 100
#: Rows of all indexes that a `Searcher` keeps; each has a vector in memory, of 2 KB with 512 dimensions.
KEPT_ROWS = 500_000


@dataclass(frozen=True)
class Candidates:
    """What may be an answer: chunks with both scores, in an order that depends on nothing else than them."""

    entries: list[Entry]
    vectors: npt.NDArray[np.float64]
    words: npt.NDArray[np.float64]

    def ranked(self, weight: float) -> list[tuple[float, Entry]]:
        """Return the best `MOST`, with the score that a weight of words gives them, the best first.

        Where words are all that counts, what has none of them was not found.
        """
        scores = np.round((1 - weight) * self.vectors + weight * self.words, 4)
        order = [it for it in np.argsort(-scores, kind="stable")[:MOST] if weight < 1 or self.words[it] > 0]
        return [(float(scores[it]), self.entries[it]) for it in order]


class Searcher:
    """A version that answers. What it makes for somebody it keeps, for all who may see the same."""

    def __init__(self, version: Version, model: Model) -> None:
        """External where the version was made by another model: its vectors would mean nothing."""
        if model.digest != version.card.model:
            raise External(
                f"version {version.id} was made by another model ({version.card.model_name})",
                hint="name that one, or make another version: dualtrack kb ingest",
            )
        self.version, self.model = version, model
        self.id, self.chunks = version.id, len(version.entries)
        self._by_labels: dict[tuple[str, ...], list[int]] = {}
        for row, it in enumerate(version.entries):
            self._by_labels.setdefault(it.labels, []).append(row)
        self._kept: OrderedDict[frozenset[tuple[str, ...]], _Permitted] = OrderedDict()
        self._lock = Lock()

    def search(self, question: str, labels: frozenset[str], count: int, fitted: Fitted | None = None) -> list[Hit]:
        """Return the best chunks that a person with some labels may see; none where the best is below the least."""
        weight = fitted.weight if fitted else 0.0
        found = self.candidates(question, labels, words=weight > 0).ranked(weight)
        return hits(found, count, fitted.least if fitted else None)

    def prepare(self, kinds: Iterable[frozenset[str]], *, words: bool) -> None:
        """Make the indexes of people with some labels, the first ones first, as many as are kept."""
        rows = 0
        for labels in kinds:
            rows += sum(len(found) for it, found in self._by_labels.items() if labels & set(it))
            if rows > KEPT_ROWS:
                return
            if permitted := self._permitted(labels):
                _ = permitted.index, words and permitted.words

    def candidates(self, question: str, labels: frozenset[str], *, words: bool) -> Candidates:
        """Return the nearest chunks by vectors and, with ``words``, those that say the most of the question."""
        permitted = self._permitted(labels)
        if permitted is None:
            return Candidates([], np.zeros(0), np.zeros(0))
        asked = self.model.question(question)
        said = permitted.words.scores(question) if words else np.zeros(len(permitted.rows))
        best = np.argsort(-said, kind="stable")[:MOST]
        places = np.union1d(permitted.index.nearest(asked, MOST), best[said[best] > 0])
        # Asked again of each that leaves, whatever the index did.
        found = [
            (key_of(entry), place, entry)
            for place in places
            if labels & set((entry := self.version.entries[permitted.rows[place]]).labels)
        ]
        found.sort(key=lambda it: it[:2])
        order = np.array([place for _, place, _ in found], np.int64)
        # Each row separately, in the same order of sums, however many there are.
        nearness = (self.version.vectors[permitted.rows[order]].astype(np.float64) * asked).sum(axis=1)
        return Candidates([it for _, _, it in found], nearness, said[order])

    def _permitted(self, labels: frozenset[str]) -> _Permitted | None:
        """Return the chunks that somebody may see, indexed; nothing where there are none."""
        key = frozenset(it for it in self._by_labels if labels & set(it))
        if not key:
            return None
        with self._lock:
            found = self._kept.pop(key, None)
            if found is None:
                rows = np.array(sorted(row for it in key for row in self._by_labels[it]), np.int64)
                found = _Permitted(self.version, rows)
            self._kept[key] = found
            while len(self._kept) > 1 and sum(len(it.rows) for it in self._kept.values()) > KEPT_ROWS:
                self._kept.popitem(last=False)
        return found


class _Permitted:
    """Some rows of a version, with indexes of them alone, each made once: others wait for theirs, and for no more."""

    def __init__(self, version: Version, rows: npt.NDArray[np.int64]) -> None:
        self._version, self.rows = version, rows
        self._index: Index | None = None
        self._words: Lexical | None = None
        self._locks = Lock(), Lock()

    @property
    def index(self) -> Index:
        """The index of vectors."""
        with self._locks[0]:
            if self._index is None:
                card = self._version.card
                known = card.index if len(self.rows) == card.chunks else msgspec.UNSET
                self._index = Index(np.ascontiguousarray(self._version.vectors[self.rows]), known or None)
            return self._index

    @property
    def words(self) -> Lexical:
        """The lexical index; texts are what vectors were made of."""
        with self._locks[1]:
            if self._words is None:
                entries = (self._version.entries[it] for it in self.rows)
                self._words = Lexical([Chunk(it.headings, it.text).embedded for it in entries])
            return self._words


def hits(found: Sequence[tuple[float, Entry]], count: int, least: float | None) -> list[Hit]:
    """Return the first of what was found, the best first; none where the best is below the least."""
    if least is not None and found and found[0][0] < least:
        return []
    return [
        Hit(score=score, collection=it.collection, source=it.source, place=it.place, headings=it.headings, text=it.text)
        for score, it in found[:count]
    ]


def key_of(entry: Entry) -> bytes:
    """Return what chunks of the same score are ordered by."""
    return hashlib.sha256(msgspec.msgpack.encode(entry)).digest()
