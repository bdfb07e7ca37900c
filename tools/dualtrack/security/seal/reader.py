"""Any part of a sealed file without the rest: a checkpoint is read by slices."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from types import TracebackType

from dualtrack.core.errors import BadInput, External
from dualtrack.crypto.sizes import TAG
from dualtrack.security.seal import stream
from dualtrack.security.seal.chunks import START, Layout
from dualtrack.security.seal.pipeline import Buffers, Piece
from dualtrack.security.seal.slots import Identity
from dualtrack.security.seal.unwrap import open_header


class SealedFile:
    """A sealed file opened for reading at any offset; ``size`` is the length of its content, and verified.

    The last chunk is verified first: it alone says where the content ends, so a file that was cut is found even by
    who reads its beginning.
    """

    def __init__(self, path: Path, identities: Sequence[Identity]) -> None:
        self.path = path
        self._file = _open(path)
        try:
            self.opened = open_header(self._read_at(0, START), identities)
            self.chunk = self.opened.header.chunk
            self._layout = Layout(self.chunk, os.fstat(self._file).st_size)
            self._key = self.opened.payload
            with self._content(range(self._layout.count - 1, self._layout.count)) as last:
                deque(last, maxlen=0)
        except BaseException:
            os.close(self._file)
            raise
        self.size = self._layout.size

    def __enter__(self) -> SealedFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes of the content from ``offset`` on; BadInput where it has no such bytes."""
        with self.pieces(offset, length) as pieces:
            return b"".join(bytes(piece) for piece in pieces)

    @contextmanager
    def pieces(self, offset: int, length: int) -> Iterator[Iterator[memoryview]]:
        """Yield an iterator of the same in pieces of a chunk at most, each valid until the next is asked for."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise BadInput(f"{self.path} holds {self.size} bytes, so not {length} from {offset} on")
        touched = self._layout.touched(offset, length) if length else range(0)
        with self._content(touched) as content, closing(self._trimmed(touched, content, offset, length)) as trimmed:
            yield trimmed

    def _trimmed(self, touched: range, chunks: Iterator[memoryview], offset: int, length: int) -> Generator[memoryview]:
        for index, content in zip(touched, chunks, strict=True):
            begin = index * self.chunk
            with content[max(0, offset - begin) : offset + length - begin] as part:
                yield part

    def _content(self, indexes: range) -> AbstractContextManager[Iterator[memoryview]]:
        buffers = Buffers(self.chunk + TAG)
        return stream.opened(self._planned(indexes, buffers), buffers, self._key, self.chunk)

    def _planned(self, indexes: range, buffers: Buffers) -> Iterator[Piece]:
        for index in indexes:
            place, size = self._layout.place(index)
            data = buffers.take()
            with memoryview(data) as view:
                got = self._read_into(view[:size], place)
            yield Piece(index, index == self._layout.count - 1, got, data)

    def _read_into(self, view: memoryview, place: int) -> int:
        def read(rest: memoryview) -> int:
            return os.preadv(self._file, [rest], place + len(view) - len(rest))

        try:
            return stream.fill(read, view)
        except OSError as error:
            raise External(f"cannot read {self.path}: {error.strerror}") from error

    def _read_at(self, place: int, size: int) -> bytes:
        data = bytearray(size)
        with memoryview(data) as view:
            return bytes(data[: self._read_into(view, place)])


def _open(path: Path) -> int:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise BadInput(f"cannot open {path}: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise BadInput(f"{path} is not a file", hint="parts are read from files only, not from pipes")
    return file
