"""What `test_kb_index.py` asks of indexes, in the knowledge base's environment; prints what came out as JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import Any

import numpy as np

from dualtrack.core.errors import External
from dualtrack.knowledge import index, search, versions
from dualtrack.knowledge.embedding import Card
from dualtrack.knowledge.index import Index

CHANCE = np.random.default_rng(1)


def unit(rows: Any) -> Any:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def near(rows: int, dimension: int = 64) -> Any:
    """Return vectors that have neighbours, as texts have: around 200 others."""
    middle = CHANCE.standard_normal((200, dimension))
    return unit(middle[CHANCE.integers(0, 200, rows)] + 0.6 * CHANCE.standard_normal((rows, dimension)))


class Model:
    """Gives the vector that it was told for whatever is asked."""

    digest, card = "m", Card(name="x", dimension=64, tokens=10)

    def __init__(self) -> None:
        self.told: Any = None

    def question(self, _: str) -> Any:
        return self.told


def recall(found: list[Any], asked: Any, base: Any) -> float:
    """Return the part of the ten nearest that is among what was found."""
    exact = np.sort(asked @ base.T, axis=1)[:, -10]
    scores = [np.sort(base[it] @ one)[::-1][:10] for it, one in zip(found, asked, strict=True)]
    return float(np.mean([np.mean(it >= least - 1e-6) for it, least in zip(scores, exact, strict=True)]))


def kinds() -> dict[str, Any]:
    """Return for each kind what was chosen, and what it finds for questions that are not in it."""
    out = {}
    for kind, flat, byte in (("flat", 10_000, 0), ("ivf-sq8", 100, 10_000), ("ivf-rabitq", 100, 100)):
        index.FLAT, index.BYTES = flat, byte
        rows = near(6200)
        base, asked = rows[:6000], rows[6000:]
        made = Index(base)
        found = [made.nearest(it, 100) for it in asked]
        again = Index(base)
        out[kind] = {
            "kind": made.choice.kind, "stated": made.choice.recall, "measured": recall(found, asked, base),
            "asked": made.choice.asked, "lists": made.choice.lists,
            "same": all(np.array_equal(again.nearest(it, 100), one) for it, one in zip(asked, found, strict=True)),
            "nothing": len(made.nearest(np.full(64, np.nan, np.float32), 100)),
            "known": Index(base, made.choice).choice == made.choice,
        }  # fmt: skip
    return out


def twins() -> dict[str, Any]:
    """Return what is found where many texts are the same: as many as there are places."""
    index.FLAT, index.BYTES = 100, 10_000
    base = np.repeat(near(300), 20, axis=0)
    made = Index(base)
    return {"recall": made.choice.recall, "found": len(made.nearest(base[0], 100))}


def nothing_near() -> str:
    """Return the error for an index that finds too little."""
    index.FLAT, index.BYTES = 100, 10_000
    index.WANTED = index.RECALL = 1.01
    try:
        Index(near(1000))
    except External as error:
        return str(error)
    finally:
        index.WANTED, index.RECALL = 0.985, 0.95
    return ""


def own_alone() -> int:
    """Return how many questions are answered otherwise from all documents than from those of the person alone."""
    different = 0
    for flat, byte in ((100, 10_000), (100, 100)):
        index.FLAT, index.BYTES = flat, byte
        rows, labels = near(4000), [("everyone",), ("group:hr",), ("person:bo",)]
        entries = [
            versions.Entry(
                collection="c",
                source=f"{at}.md",
                document=str(at),
                labels=labels[at % 3],
                headings=(),
                text=f"word{at % 50} text {at}",
            )
            for at in range(4000)
        ]
        card = versions.Made(
            id="x", model_name="m", model="m", dimension=64, rules="r", documents=4000, chunks=4000, bytes=0, digest="",
            index=Index(rows).choice,
        )  # fmt: skip
        whole = versions.Version("x", card, entries, rows)
        seen = frozenset({"everyone", "person:bo"})
        own = [at for at, it in enumerate(entries) if set(it.labels) & seen]
        alone = replace(whole, entries=[entries[at] for at in own], vectors=rows[own])
        model: Any = Model()
        searchers = [search.Searcher(it, model) for it in (whole, alone)]
        for model.told in near(50):
            both = [it.search("word7", seen, 10) for it in searchers]
            different += both[0] != both[1] or len(both[0]) != 10
    return different


def prepared() -> dict[str, int]:
    """Return how many indexes are made before people ask, and when they do: where all are kept, and where some are."""
    index.FLAT, index.BYTES = 100, 10_000
    rows, labels = near(900), [("everyone",), ("group:hr",), ("person:bo",)]
    entries = [
        versions.Entry(
            collection="c", source=f"{at}.md", document=str(at), labels=labels[at % 3], headings=(), text=f"text {at}"
        )
        for at in range(900)
    ]
    card = versions.Made(
        id="x", model_name="m", model="m", dimension=64, rules="r", documents=900, chunks=900, bytes=0, digest=""
    )  # fmt: skip
    kinds = [
        frozenset({"everyone"}),
        frozenset({"everyone", "group:hr"}),
        frozenset({"nobody"}),
        frozenset({"person:bo"}),
    ]
    made: list[int] = []
    real, kept, out = search.Index, search.KEPT_ROWS, dict[str, int]()

    def counted(*words: Any) -> Index:
        made.append(1)
        return real(*words)

    search.Index = counted  # type: ignore[assignment, misc]
    try:
        for name, most in (("all", 10_000), ("some", 1000)):
            search.KEPT_ROWS, model = most, Model()
            made.clear()
            searcher = search.Searcher(versions.Version("x", card, entries, rows), model)  # type: ignore[arg-type]
            searcher.prepare(kinds, words=True)
            out[f"{name} before"] = len(made)
            model.told = near(1)[0]
            for it in kinds[:2]:
                assert searcher.search("word", it, 5)
            out[f"{name} asked"] = len(made) - out[f"{name} before"]
    finally:
        search.Index, search.KEPT_ROWS = real, kept  # type: ignore[misc]
    return out


def main() -> None:
    """Print all of it."""
    out = {
        "kinds": kinds(),
        "twins": twins(),
        "too little": nothing_near(),
        "different": own_alone(),
        "prepared": prepared(),
    }
    json.dump(out, sys.stdout)


if __name__ == "__main__":
    main()
