"""Where the files of a trail lie, for who writes and who judges."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from dualtrack.audit import record
from dualtrack.errors import BadInput
from dualtrack.files import open_below

#: The file of a segment: from 1 on.
SEGMENT = re.compile(r"(?!0{8})([0-9]{8})\.log")


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

    def has(self, number: int) -> bool:
        """Tell whether there is a file of a segment."""
        return _is_segment(self.segment(number))

    def numbers(self) -> list[int]:
        """Return the segments that there are files of."""
        return sorted(int(it.name[:8]) for it in self._entries() if _is_segment(it))

    def strangers(self) -> list[str]:
        """Return what lies among the segments and is none: other names, directories, links."""
        return sorted(it.name for it in self._entries() if not _is_segment(it))

    def name(self) -> str:
        """Return the host's name; BadInput where no trail is, or the name is none."""
        try:
            with open_below(self.folder, "host") as file:
                found = re.fullmatch(rf"({record.HOST})\n", file.read(record.HEX * 8).decode("ascii"))
        except (OSError, UnicodeDecodeError) as error:
            if isinstance(error, OSError):
                raise BadInput(f"{self.folder} holds no trail", hint="dualtrack audit begin") from None
            found = None
        if found is None:
            raise BadInput(f"the file host in {self.folder} is no name of a host")
        return found[1]

    def _entries(self) -> list[Path]:
        return list(self.segments.iterdir()) if self.segments.is_dir() else []


def _is_segment(path: Path) -> bool:
    return bool(SEGMENT.fullmatch(path.name)) and path.is_file() and not path.is_symlink()


def lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a file in bounded memory: one that is longer than any record comes in pieces."""
    while text := file.readline(record.LINE):
        yield text


def whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a file that somebody writes to: one that was whole by the time it was read comes whole."""
    for text in lines(file):
        if not text.endswith(b"\n") and len(text) < record.LINE:
            file.seek(-len(text), os.SEEK_CUR)  # the rest may have come since
            text = file.readline(record.LINE)
        yield text
