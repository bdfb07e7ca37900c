"""Logs that are only added to: a line counts once it is on the disk, and a crash leaves at most one torn line.

What `AppendLog` promises:

- When `append` returns, its lines are whole and on the disk.
- When `append` raises OSError (a full disk, a limit, a broken disk), nothing of its lines stays, and the same lines can
  be written again. A short write is continued.
- A process that is killed, or a power cut, leaves at most a part of the lines that were being appended, of which the
  last one may be torn: it has no newline. None of them was acknowledged. The next process that opens the log calls
  `cut_tail`, or reads it by `recovered`.

One process writes at a time: the caller holds a lock, or uses `append_after_torn`. The file's format is the caller's:
any lines that end with a newline.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from dualtrack.core.errors import External
from dualtrack.core.files import lock, open_own, sync_path

#: Bytes that are read at once to find the last newline.
_BLOCK = 1 << 16


class AppendLog:
    """A log by its ``handle``, opened with O_APPEND to write (and to read, for `cut_tail` and `is_torn`); it owns it.

    ``times`` also brings the file's times to the disk with each append (fsync instead of fdatasync). ``size`` is how
    long the file is.
    """

    def __init__(self, handle: int, *, times: bool = False) -> None:
        self._handle, self._times = handle, times
        self._left = False  # what a failed append wrote could not be taken off
        self.size = os.fstat(handle).st_size

    def __enter__(self) -> AppendLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)

    def append(self, lines: Sequence[bytes]) -> None:
        """Add lines, all of them or, with OSError, none."""
        if self._left:
            os.ftruncate(self._handle, self.size)
            self._left = False
        data = b"".join(lines)
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._handle, rest) :]
            (os.fsync if self._times else os.fdatasync)(self._handle)
        except OSError:
            self._left = True
            with contextlib.suppress(OSError):  # the next append tries that again
                os.ftruncate(self._handle, self.size)
                self._left = False
            raise
        self.size += len(data)

    def is_torn(self) -> bool:
        """Tell whether the last line is not whole."""
        return self.size > 0 and os.pread(self._handle, 1, self.size - 1) != b"\n"

    def torn(self, limit: int) -> bytes:
        """Return a last line that is not whole, the first ``limit`` bytes of it; nothing where all lines are whole."""
        end = self._whole()
        return os.pread(self._handle, min(limit, self.size - end), end)

    def cut_tail(self) -> None:
        """Take off a last line that is not whole."""
        end = self._whole()
        if end < self.size:
            _cut(self._handle, end)
            self.size = end

    def _whole(self) -> int:
        """Return how many bytes the whole lines have."""
        end = self.size
        while end > 0:
            begin = max(0, end - _BLOCK)
            found = os.pread(self._handle, end - begin, begin).rfind(b"\n")
            if found >= 0:
                return begin + found + 1
            end = begin
        return 0


def append(path: Path, lines: Sequence[bytes], mode: int = 0o600) -> None:
    """Add lines to a log of our own; on the disk when it returns. Nothing half stays where the disk is full (External).

    NotOwn where a link, or anything but a file, is in its place. What holds for an `AppendLog` holds here.
    """
    if lines:
        with _opened(path, os.O_WRONLY, mode) as log:
            log.append(lines)


def append_after_torn(path: Path, line: bytes, mode: int, lacks_newline: Callable[[bytes], bool]) -> None:
    """Add a line as `append` does, to a log that has no other reader to repair it and no other lock than this one.

    A last line that is not whole is passed to ``lacks_newline``, which returns whether it is complete but for its
    newline: it gets one then, and is taken off otherwise. It raises an error for what is to be left as it is; of a torn
    line that is more than `_BLOCK` bytes long it gets only so many.
    """
    with _opened(path, os.O_RDWR, mode, alone=True) as log:
        torn = log.torn(_BLOCK)
        if torn and lacks_newline(torn):
            line = b"\n" + line
        else:
            log.cut_tail()
        log.append([line])


@contextlib.contextmanager
def _opened(path: Path, flags: int, mode: int, *, alone: bool = False) -> Iterator[AppendLog]:
    """Open a log of our own, or make it, and bring a new one's name to the disk after the block."""
    try:
        handle = open_own(path.parent, path.name, flags | os.O_CREAT | os.O_APPEND, mode)
        if alone:
            lock(handle)  # before its size is looked at
        with AppendLog(handle, times=True) as log:
            new = log.size == 0 or alone  # who was interrupted may not have brought the name to the disk
            yield log
        if new:
            sync_path(path.parent)
    except OSError as error:
        raise External(f"{path} cannot be written: {error.strerror}", hint="is the disk full?") from None


def recovered(handle: int) -> Iterator[bytes]:
    """Yield the whole lines of a log that is open to read and write; close it.

    A torn last line is taken off after all others were read; a reader that stops before changes nothing.
    """
    good = 0
    with os.fdopen(handle, "rb") as file:
        for text in file:
            if not text.endswith(b"\n"):
                break
            yield text
            good += len(text)
        if good < os.fstat(file.fileno()).st_size:
            _cut(file.fileno(), good)


def _cut(handle: int, size: int) -> None:
    os.ftruncate(handle, size)
    os.fsync(handle)
