"""How much a copy of a knowledge base moves for a change of 1 % of its documents, beside rsync with its own blocks.

    PYTHONPATH=.:tests/bench .venv/bin/python tests/bench/bench_kb_sync.py [GIGABYTES] [DIRECTORY]

Documents have 10 chunks of 700 characters and 512 numbers each, about 28 KB, as bge-small-zh's have; every hundredth,
by chance, is another one in the second version. Source and copy are on this machine: rsync moves through a pipe what it
would move through ssh. Needs four times the space.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dualtrack.knowledge import versions
from dualtrack.knowledge.keys import Keys
from dualtrack.knowledge.sync import copy, offer
from dualtrack.knowledge.sync.source import Source
from dualtrack.knowledge.versions import Block, Entry

CHUNKS, DIMENSION, CHARACTERS = 10, 512, 700
PART = 0.01


class Documents(Sequence[tuple[bytes, Block]]):
    """Documents that are made when they are asked for: 10 GB of them need no memory."""

    def __init__(self, numbers: list[bytes], seeds: list[int]) -> None:
        self.numbers, self.seeds = numbers, seeds

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[tuple[bytes, Block]]:
        """Yield documents with their numbers."""
        return (self[it] for it in range(len(self)))

    def __getitem__(self, at: Any) -> Any:
        """Return a document."""
        chance = random.Random(self.seeds[at])
        text = chance.randbytes(CHARACTERS // 2).hex()
        entries = [
            Entry(
                collection="it", source=f"{at}.md", document="d", labels=("everyone",), headings=(), text=f"{it} {text}"
            )
            for it in range(CHUNKS)
        ]
        vectors = chance.randbytes(4 * DIMENSION) * CHUNKS
        return self.numbers[at], Block(
            collection="it", path=f"{at}.md", content="c", entries=entries, vectors=vectors
        )  # fmt: skip


def version(base: Path, documents: Documents) -> str:
    """Make a version and switch to it."""
    with Keys(base) as keys:
        name = versions.write(base, keys, documents, dimension=DIMENSION, model_name="m", model="m", rules="r")
    versions.switch(base, name)
    return name


def plain(source: Path, name: str, before: Path, to: Path, *options: str) -> tuple[int, float]:
    """Copy a version's file by rsync with other options, and return the bytes that were moved and the seconds."""
    began = time.monotonic()
    to.mkdir()
    out = subprocess.run(
        ["rsync", "--ignore-times", "--inplace", "--stats", f"--copy-dest={before}", *options,
         f"{source}/versions/{name}/{versions.SEALED}", f"{to}/"], check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    shutil.rmtree(to)
    lines = [it for it in out.splitlines() if it.startswith(("Total bytes sent", "Total bytes received"))]
    return sum(int(it.split()[-1].replace(",", "")) for it in lines), time.monotonic() - began


def main() -> None:
    """Measure, and print the table."""
    size = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    chance = random.Random(1)
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as folder:
        source, to = Path(folder, "source"), Path(folder, "copy")
        for it in (source, to):
            it.mkdir(mode=0o700)
        count = int(size * 1e9 / (CHUNKS * (4 * DIMENSION + CHARACTERS + 25)))
        with Keys(source, make=True) as keys:
            numbers = [keys.new() for _ in range(count)]
            version(source, Documents(numbers, list(range(count))))
            shutil.copy2(source / "master.key", to / "master.key")
            at = Source(place=str(source))
            first = copy.run(to, at, keep=5, say=lambda _: None)
            before = (to / "current").resolve()
            seeds = list(range(count))
            for it in chance.sample(range(count), int(count * PART)):
                numbers[it], seeds[it] = keys.new(), count + it
        name = version(source, Documents(numbers, seeds))
        small = len(offer.make(source))
        peers = [
            (f"rsync, {label}", *plain(source, name, before, Path(folder, "peer"), *options))
            for label, options in (("its own blocks", ["--no-whole-file"]), ("whole files", ["--whole-file"]))
        ]
        again = copy.run(to, at, keep=5, say=lambda _: None)
        print(f"{count:,} documents, {first.bytes / 1e9:.2f} GB; {PART:.0%} of the documents changed")
        print(f"{'':28}{'moved, MB':>12}{'of the file':>14}{'seconds':>10}")
        rows = [
            ("the first version", first.moved, first.seconds), ("a change, sync run", again.moved, again.seconds),
            *peers, ("the message beside it", small, 0.0),
        ]  # fmt: skip
        for label, moved, seconds in rows:
            print(f"{label:28}{moved / 1e6:12.1f}{moved / again.bytes:14.2%}{seconds:10.1f}")
        print(f"all that a change moves: {(again.moved + small) / again.bytes:.2%} of the file")


if __name__ == "__main__":
    main()
