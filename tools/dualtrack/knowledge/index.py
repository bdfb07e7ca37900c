"""Indexes of vectors: exact while that is quick; then lists of near ones in small codes, the best looked at again.

How many lists are asked is chosen on the data itself: the least with which chunks of it find the ten nearest others.
Indexes are made of nothing but the vectors that they are given, by the same steps each time.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from dualtrack.core.errors import External

Vectors = npt.NDArray[np.float32]
Kind = Literal["flat", "ivf-sq8", "ivf-rabitq"]
#: Rows up to which all are compared (20,000 of 768 numbers: 60 MB, 5 to 10 ms on one core), and up to which codes have
#: a byte for each number. Beyond it they have a bit, and the best are looked at again with a byte.
FLAT, BYTES = 20_000, 500_000
#: The part of the ten nearest that must be found, on `ASKED` rows, and what is asked of a choice: questions find less
#: than chunks do (0.97 of a million gave questions 0.946).
RECALL, WANTED, NEAREST, ASKED = 0.95, 0.985, 10, 256
#: Lists are as many as the square root of the rows says, to a power of two: each step costs as much as the other.
#: Vectors for each list from which the lists are made, and how many times as many as are wanted are looked at again.
TRAINED, AGAIN = 64, 10


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What was chosen for some rows, and which part of the ten nearest others it finds (of `ASKED` rows, or all)."""

    kind: Kind
    lists: int = 0
    asked: int = 0
    recall: float = 1.0


class Index:
    """Some vectors of length 1, a row each; with a choice that was made for them before, it is not made again."""

    def __init__(self, vectors: Vectors, choice: Choice | None = None) -> None:
        import faiss

        rows, dimension = vectors.shape
        self._faiss, self._vectors = faiss, vectors
        if rows <= FLAT:
            self.choice = Choice(kind="flat")
            self._index: Any = faiss.IndexFlatIP(dimension)
            self._index.add(vectors)
            return
        kind: Kind = "ivf-sq8" if rows <= BYTES else "ivf-rabitq"
        lists = choice.lists if choice else 1 << round(np.log2(np.sqrt(rows)))
        codes = "SQ8" if kind == "ivf-sq8" else "RaBitQfs,Refine(SQ8)"
        self._index = faiss.index_factory(dimension, f"IVF{lists},{codes}", faiss.METRIC_INNER_PRODUCT)
        # At even distances: the same rows each time, of all parts.
        self._index.train(np.ascontiguousarray(vectors[:: max(1, rows // (TRAINED * lists))]))
        self._index.add(vectors)
        self.choice = choice or self._chosen(kind, lists)

    def nearest(self, asked: Vectors, count: int) -> npt.NDArray[np.int64]:
        """Return the rows of the nearest vectors, at most ``count``; those that are found, which may not be all."""
        return self._rows(asked[None, :], count, self.choice)[0]

    def _rows(self, asked: Vectors, count: int, choice: Choice) -> list[npt.NDArray[np.int64]]:
        count = min(len(self._vectors), count)
        faiss = self._faiss
        if choice.kind == "flat":
            found = self._index.search(asked, count)[1]
        else:
            within = faiss.SearchParametersIVF(nprobe=choice.asked)
            if choice.kind == "ivf-rabitq":
                within = faiss.IndexRefineSearchParameters(k_factor=AGAIN, base_index_params=within)
            found = self._index.search(asked, count, params=within)[1]
        return [it[it >= 0] for it in found]

    def _chosen(self, kind: Kind, lists: int) -> Choice:
        """Return the least number of lists with which rows find the nearest others; External where all are too few."""
        rows = np.arange(0, len(self._vectors), max(1, len(self._vectors) // ASKED))[:ASKED]
        asked = np.ascontiguousarray(self._vectors[rows])
        # Each is its own nearest, and does not count.
        nearest = self._faiss.knn(asked, self._vectors, NEAREST + 1, metric=self._faiss.METRIC_INNER_PRODUCT)[0]
        probes = 1
        while True:
            choice = Choice(kind=kind, lists=lists, asked=min(probes, lists))
            found = self._rows(asked, 10 * NEAREST, choice)
            recall = float(np.mean([self._recall(*it) for it in zip(rows, asked, found, nearest, strict=True)]))
            if recall >= WANTED or probes >= lists:
                break
            probes *= 2
        if recall < RECALL:
            raise External(f"an index of {len(self._vectors):,} vectors finds {recall:.0%} of the nearest: too few")
        return Choice(kind=kind, lists=lists, asked=min(probes, lists), recall=round(recall, 4))

    def _recall(self, row: int, asked: Vectors, found: npt.NDArray[np.int64], nearest: Vectors) -> float:
        """Return the part of the nearest that is among what was found; of those as near, each is as right."""
        scores = np.sort(self._vectors[found[found != row]] @ asked)[::-1]
        return float(np.mean(scores[:NEAREST] >= nearest[-1] - 1e-6)) if len(scores) >= NEAREST else 0.0
