"""Finds chunks by a question, for somebody: what they may not see is not looked at, and not counted.

A person's answer is the same, to the byte, as from a knowledge base that has nothing but what the person may see: each
chunk is compared with the question alone (FAISS, exact), and ties are broken by the chunk itself.
"""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np

from dualtrack.errors import External
from dualtrack.knowledge.embedding import Model
from dualtrack.knowledge.versions import Entry, Version

MOST = 100


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A chunk that was found: how near it is (cosine, 1 is the same), and what it is."""

    score: float
    collection: str
    source: str
    place: str
    headings: tuple[str, ...]
    text: str


def search(version: Version, model: Model, question: str, labels: frozenset[str], count: int) -> list[Hit]:
    """Return the nearest chunks that a person with some labels may see, the nearest first.

    External where the version was made by another model: its vectors would mean nothing.
    """
    import faiss

    if model.digest != version.card.model:
        raise External(f"version {version.id} was made by another model ({version.card.model_name}): ingest again")
    rows = np.array([row for row, it in enumerate(version.entries) if labels & set(it.labels)], np.int64)
    if not len(rows):
        return []
    index = faiss.IndexFlatIP(version.card.dimension)
    index.add(np.ascontiguousarray(version.vectors[rows]))
    asked = model.vector(model.card.query + question)[None, :]
    scores, found = index.search(asked, min(len(rows), MOST))
    hits = []
    for score, place in zip(scores[0], found[0], strict=True):
        entry = version.entries[rows[place]] if place >= 0 else None
        # Asked again of each that leaves, whatever the index did.
        if entry is not None and labels & set(entry.labels):
            hits.append((round(float(score), 4), _key(entry), entry))
    hits.sort(key=lambda it: (-it[0], it[1]))
    return [
        Hit(score=score, collection=it.collection, source=it.source, place=it.place, headings=it.headings, text=it.text)
        for score, _, it in hits[:count]
    ]


def _key(entry: Entry) -> bytes:
    return hashlib.sha256(msgspec.msgpack.encode(entry)).digest()
