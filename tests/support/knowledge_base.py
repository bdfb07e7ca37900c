"""A knowledge base without a model: vectors are made of digests, so that what is kept of documents can be tested."""

from __future__ import annotations

import hashlib
import mmap
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from dualtrack.knowledge import ingest, versions
from dualtrack.knowledge.embedding import Card, Model, Vectors

CARD = Card(name="digests", dimension=16, tokens=512)


class Digests(Model):
    """Replaces `embedding.Model`: the same text has the same vector, and no other text has it."""

    card, digest = CARD, "d" * 64
    room, shortened, together = 510, 0, 1

    def count(self, text: str) -> int:
        return len(text)

    def passages(self, texts: Sequence[str]) -> Vectors:
        return np.stack([self.question(it) for it in texts])

    def question(self, text: str) -> Vectors:
        numbers = np.frombuffer(hashlib.sha512(text.encode()).digest(), np.uint32)[: CARD.dimension].astype(np.float32)
        found: Vectors = numbers / np.linalg.norm(numbers)
        return found


def take_in(base: Path, source: Path, collection: str = "hr", **how: object) -> ingest.IngestReport:
    """Take in a directory as `dualtrack kb ingest` does."""
    options = {"say": lambda _: None, **how}
    return ingest.ingest(base, source, collection, ("everyone",), Digests(), **options)  # type: ignore[arg-type]


def texts(base: Path, key_file: Path | None = None) -> list[str]:
    """Return the texts that the current version answers with."""
    return [it.text for it in versions.load(base, key_file).entries]


def forms(text: str) -> list[bytes]:
    """Return how a text may lie in a file or in memory."""
    return [text.encode(), text.encode("utf-16-le"), text.encode("utf-32-le"), text.encode("gb18030")]


def holding(folder: Path, marks: Iterable[bytes]) -> list[str]:
    """Return the files below a directory that have one of some bytes in them, or in their names."""
    wanted = re.compile(b"|".join(map(re.escape, marks)))
    found = []
    for path in folder.rglob("*"):
        if wanted.search(bytes(path.relative_to(folder))):
            found.append(path.name)
        elif path.is_file() and path.stat().st_size:
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                if wanted.search(data):
                    found.append(path.name)
    return found


def in_memory(pid: int, marks: Iterable[bytes]) -> str:
    """Return the first part of a process's memory that has one of some bytes in it, or nothing.

    What is mapped from a file and cannot be written is what the file is.
    """
    wanted = list(marks)
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            begin, end = (int(it, 16) for it in line.split()[0].split("-"))
            rights, name = line.split()[1], " ".join(line.split()[5:])
            if rights[0] != "r" or name == "[vvar]" or (rights[1] != "w" and name.startswith("/")):
                continue
            try:
                memory.seek(begin)
                data = memory.read(end - begin)
            except (OSError, OverflowError):
                continue
            if any(it in data for it in wanted):
                return name or line.split()[0]
    return ""
