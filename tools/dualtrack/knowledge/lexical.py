"""Lexical search: how much of what a question says is in a text, word for word (BM25).

An index is made of the texts that somebody may see, and of nothing else: how rare a term is, and how long texts are,
would tell of the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dualtrack.knowledge.terms import terms

#: What further occurrences of a term, and a long text, count: the values that BM25 is mostly used with.
K1, B = 1.5, 0.75


class Lexical:
    """An index of texts."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Make it."""
        import bm25s

        self._known: dict[str, int] = {}
        rows = [[self._known.setdefault(it, len(self._known)) for it in terms(text)] for text in texts]
        self._texts = len(rows)
        self._having = np.zeros(len(self._known), np.int64)
        for row in rows:
            self._having[list(set(row))] += 1
        self._index = bm25s.BM25(k1=K1, b=B, method="lucene")
        if self._known:
            self._index.index((rows, self._known), create_empty_token=False, show_progress=False)

    def scores(self, question: str) -> npt.NDArray[np.float64]:
        """Return a score from 0 to 1 for each text: BM25, as a part of what a text could have at most.

        So scores of different questions can be compared. A term that no text has is the rarest: it counts as missed.
        """
        asked = list(dict.fromkeys(terms(question)))
        known = [self._known[it] for it in asked if it in self._known]
        if not known:
            return np.zeros(self._texts)
        most = math.fsum(self._rarity(int(self._having[it])) for it in known)
        most += (len(asked) - len(known)) * self._rarity(0)
        found: npt.NDArray[np.float64] = self._index.get_scores_from_ids(known).astype(np.float64) / most
        return found

    def _rarity(self, having: int) -> float:
        """Return what a term counts that so many texts have; in Lucene's form no text gets more for it."""
        return math.log(1 + (self._texts - having + 0.5) / (having + 0.5))
