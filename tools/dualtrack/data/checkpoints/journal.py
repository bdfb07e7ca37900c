"""Which parts of an unfinished version are safely on the disk.

A line is written only after the data that it speaks of: a power cut may take lines away, and data without a line, but
leaves no line without its data. A last line that is torn counts as none.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from dualtrack.core.append_log import AppendLog
from dualtrack.data.checkpoints.manifest import Part

#: Parts are put on record together, after this many bytes or seconds: each record waits for the disk.
BYTES, SECONDS = 256 << 20, 1.0


class Journal:
    """The record of one version that is being pulled; ``sync`` brings a file's data (by its number) to the disk."""

    def __init__(self, path: Path, sync: Callable[[int], None]) -> None:
        self._sync = sync
        self._log = AppendLog(os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644))
        self._log.cut_tail()  # nothing is to be written behind half a line
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._waiting: list[tuple[Part, str]] = []
        self._bytes, self._since = 0, time.monotonic()

    def add(self, part: Part, sha256: str) -> None:
        """Take note of a part that was written; it is on record soon."""
        with self._lock:
            self._waiting.append((part, sha256))
            self._bytes += part.size
            if self._bytes < BYTES and time.monotonic() - self._since < SECONDS:
                return
        self.flush()

    def flush(self) -> None:
        """Put on record what is not yet."""
        with self._writing:
            with self._lock:
                waiting, self._waiting, self._bytes = self._waiting, [], 0
            for number in sorted({part.file for part, _ in waiting}):
                self._sync(number)
            text = "".join(f"{part.file} {part.index} {sha256}\n" for part, sha256 in waiting)
            if text:
                self._log.append([text.encode()])
            with self._lock:
                self._since = time.monotonic()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.flush()
        finally:
            self._log.close()


def read(path: Path) -> dict[tuple[int, int], str]:
    """Return the digest of each part on record, by file and index; nothing where there is no record."""
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return {}
    found = {}
    for line in text.split("\n")[:-1]:  # what follows the last newline was torn
        words = line.split(" ")
        if len(words) == 3 and words[0].isdecimal() and words[1].isdecimal() and len(words[2]) == 64:
            found[int(words[0]), int(words[1])] = words[2]
    return found
