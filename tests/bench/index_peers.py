"""What `bench_kb_index.py` measures, in the environment of the peers: `index_peers.py TEXTS DIRECTORY ROWS…`."""

from __future__ import annotations

import gzip
import hashlib
import html
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import faiss
import hnswlib
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

from dualtrack.knowledge.index import Index

WORDS, DIMENSION, QUESTIONS, NEAREST, CANDIDATES = 64, 768, 1000, 10, 100
WORD = re.compile("[\u4e00-\u9fff]|[^\\W\\d_]+|\\d+")
#: Words of a document that are looked at together.
PART = 20_000


def documents(place: Path) -> Iterator[list[str]]:
    """Yield the words of each document."""
    for path in sorted(place.rglob("*")):
        if path.suffix == ".html":
            text = path.read_text(errors="replace")
            text = html.unescape(re.sub(r"<[^>]+>", " ", re.sub(r"(?s)<(script|style).*?</\1>", " ", text)))
        elif path.suffix == ".gz" and "man" in path.parts:
            text = re.sub(r"(?m)^[.'].*$|\\f.", " ", gzip.decompress(path.read_bytes()).decode(errors="replace"))
        else:
            continue
        words = WORD.findall(text.lower())
        for start in range(0, len(words), PART):
            if len(part := words[start : start + PART]) >= WORDS:
                yield part


def signs(word: str) -> Any:
    """Return a word's direction: 768 signs that depend on it alone."""
    return np.unpackbits(np.frombuffer(hashlib.shake_128(word.encode()).digest(DIMENSION // 8), np.uint8)) * 2.0 - 1.0


def vectors(place: Path, rows: int) -> tuple[Any, Any, int]:
    """Return vectors of windows, those of questions, and by how many words windows are apart."""
    every = list(documents(place))
    known: Counter[str] = Counter()
    for it in every:
        known.update(set(it))
    number = {word: at for at, word in enumerate(known)}
    table = np.stack([signs(it) * np.log(1 + len(every) / known[it]) for it in number]).astype(np.float32)
    asked, kept = every[::50], [it for at, it in enumerate(every) if at % 50]
    apart = max(1, sum(len(it) - WORDS for it in kept) // rows)

    def windows(of: list[list[str]], step: int) -> Iterator[Any]:
        for it in of:
            sums = np.cumsum(table[[number[word] for word in it]].astype(np.float64), axis=0)
            found = sums[WORDS::step] - sums[:-WORDS:step][: len(sums[WORDS::step])]
            yield (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)

    base = np.empty((rows, DIMENSION), np.float32)
    at = 0
    for it in windows(kept, apart):
        part = it[: rows - at]
        base[at : at + len(part)] = part
        at += len(part)
    # Neighbours are apart: whoever adds documents adds them in any order.
    order = np.random.default_rng(1).permutation(at)
    questions = np.concatenate(list(windows(asked, 97)))
    return base[:at][order], questions[np.random.default_rng(2).permutation(len(questions))[:QUESTIONS]], apart


def measured(
    name: str, seconds: float, size: int, base: Any, questions: Any, exact: Any, ask: Callable[[Any], Any]
) -> None:
    """Ask all questions one by one on one core, and print a row of the table."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    faiss.omp_set_num_threads(1)
    for it in questions[:20]:
        ask(it)
    spent, right = [], []
    for it, nearest in zip(questions, exact, strict=True):
        began = time.perf_counter()
        found = ask(it)
        scores = np.sort(base[found] @ it)[::-1][:NEAREST]
        spent.append(1000 * (time.perf_counter() - began))
        right.append(np.sum(scores >= nearest[-1] - 1e-6) / NEAREST)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    mean, last = np.mean(spent), np.percentile(spent, 99)
    print(
        f"{len(base):>9,}  {name:34}{np.mean(right):8.3f}{mean:9.2f}{last:9.2f}{seconds:9.1f}{size / len(base):10.0f}",
        flush=True,
    )


def main() -> None:
    """Print the table."""
    place, folder = Path(sys.argv[1]), Path(sys.argv[2])
    sizes = sorted(int(it) for it in sys.argv[3:])
    whole, questions, apart = vectors(place, sizes[-1])
    print(f"{len(whole):,} windows, {apart} words apart; {len(questions)} questions")
    print(f"{'rows':>9}  {'index':34}{'recall':>8}{'ms':>9}{'p99 ms':>9}{'made, s':>9}{'B/vector':>10}")
    for rows in sizes:
        base = np.ascontiguousarray(whole[:rows])
        exact = faiss.knn(questions, base, NEAREST, metric=faiss.METRIC_INNER_PRODUCT)[0]
        began = time.monotonic()
        ours = Index(base)
        seconds, choice = time.monotonic() - began, ours.choice
        faiss.write_index(ours._index, str(folder / "ours"))
        size = (folder / "ours").stat().st_size
        name = f"ours: {choice.kind}" + (f", {choice.asked} of {choice.lists} lists" if choice.lists else "")
        measured(name, seconds, size, base, questions, exact, lambda it, index=ours: index.nearest(it, CANDIDATES))
        del ours
        if rows > 20_000:
            flat = faiss.IndexFlatIP(DIMENSION)
            flat.add(base)
            few = questions[:100]
            measured("faiss flat", 0, 4 * DIMENSION * rows, base, few, exact[:100],
                     lambda it, index=flat: index.search(it[None, :], NEAREST)[1][0])  # fmt: skip
            del flat
        began = time.monotonic()
        peer = hnswlib.Index(space="ip", dim=DIMENSION)
        peer.init_index(max_elements=rows, ef_construction=100, M=16)
        peer.add_items(base)
        seconds = time.monotonic() - began
        peer.save_index(str(folder / "peer"))
        size = (folder / "peer").stat().st_size
        peer.set_num_threads(1)
        for width in (64, 256):
            peer.set_ef(width)
            measured(f"hnswlib, M 16, ef {width}", seconds, size, base, questions, exact,
                     lambda it, index=peer: index.knn_query(it, NEAREST)[0][0].astype(np.int64))  # fmt: skip
        del peer


if __name__ == "__main__":
    main()
