"""Where the files of a trail lie, for who writes and who judges."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from dualtrack.audit import record

SEGMENT = re.compile(r"(\d{8})\.log")


class Place:
    """A trail's folder.

    segments/NNNNNNNN.log   the records of a segment, a line each
    heads.log               the segments' heads, a line each, signed
    root.pem                the public key of epoch 0; it counts only where it came another way
    keys/NNNNNN.pem         the private key of the present epoch, and nothing else
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.heads, self.root, self.lock = folder / "heads.log", folder / "root.pem", folder / "lock"
        self.keys, self.segments = folder / "keys", folder / "segments"

    def segment(self, number: int) -> Path:
        """Return the file of a segment."""
        return self.segments / f"{number:08d}.log"

    def key(self, epoch: int) -> Path:
        """Return the file of an epoch's private key."""
        return self.keys / f"{epoch:06d}.pem"

    def head_lines(self) -> Iterator[bytes]:
        """Yield the lines of the file of heads, none where there is no file; the last one may be written just now."""
        if self.heads.is_file():
            with self.heads.open("rb") as file:
                yield from lines(file)

    def numbers(self) -> list[int]:
        """Return the segments that there are files of."""
        return sorted(int(found[1]) for it in self._names() if (found := SEGMENT.fullmatch(it)))

    def strangers(self) -> list[str]:
        """Return what lies among the segments and is none."""
        return sorted(it for it in self._names() if not SEGMENT.fullmatch(it))

    def _names(self) -> Iterator[str]:
        return (it.name for it in self.segments.iterdir()) if self.segments.is_dir() else iter(())


def lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a file in bounded memory: one that is longer than any record comes in pieces."""
    while text := file.readline(record.LINE):
        yield text
