"""Seal and unseal streams: chunk by chunk, each with its place and whether it is the last in its nonce (STREAM).

Nothing leaves `unseal` before its own chunk, and all chunks before it, have been verified. What yields chunks is a
context, never a bare generator: a generator that an error leaves behind is ended by the garbage collector, in any
thread and while any lock is held, and its end waits for threads that may need that very lock.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager

from dualtrack.crypto import sm4
from dualtrack.crypto.kdf import PayloadKey
from dualtrack.crypto.sizes import TAG
from dualtrack.crypto.sm4 import Gcm
from dualtrack.security.seal.chunks import START, nonce
from dualtrack.security.seal.errors import Damaged, Reason
from dualtrack.security.seal.pipeline import Buffers, Piece, ordered, window, workers

Read = Callable[[memoryview], int]  # puts what there is into the view, and returns how much; 0 at the end
Write = Callable[[memoryview], None]  # writes all of the view


def seal(read: Read, write: Write, key: PayloadKey, chunk: int, *, threads: int | None = None) -> int:
    """Seal all that ``read`` gives; return how many bytes that was."""
    buffers = Buffers(chunk + TAG)
    gcm = sm4.gcm(key.key)

    def work(piece: Piece) -> Piece:
        gcm.seal(nonce(key.prefix, piece.index, piece.final), piece.data, piece.size)
        return piece

    total = 0
    try:
        with _parallel(_pieces(read, chunk, buffers), work, buffers, threads) as done:
            for piece in done:
                with memoryview(piece.data) as view:
                    write(view[: piece.size + TAG])
                total += piece.size
                buffers.give(piece.data)
    finally:
        gcm.close()
    return total


@contextmanager
def unseal(read: Read, key: PayloadKey, chunk: int, *, threads: int | None = None) -> Iterator[Iterator[memoryview]]:
    """Yield an iterator of the verified content of the chunks that ``read`` gives, each valid until the next one.

    Damaged names the first chunk that is not as it was written; all before it has been yielded by then.
    """
    buffers = Buffers(chunk + TAG)
    with opened(_pieces(read, chunk + TAG, buffers), buffers, key, chunk, threads=threads) as views:
        yield views


@contextmanager
def opened(
    pieces: Iterator[Piece], buffers: Buffers, key: PayloadKey, chunk: int, *, threads: int | None = None
) -> Iterator[Iterator[memoryview]]:
    """Yield an iterator of the verified content of sealed ``pieces``, whose sizes count the tags."""
    gcm = sm4.gcm(key.key)

    def work(piece: Piece) -> Piece:
        open_piece(gcm, key.prefix, chunk, piece)
        return piece

    try:
        with _parallel(pieces, work, buffers, threads) as done, closing(_views(done, buffers)) as views:
            yield views
    finally:
        gcm.close()


def _views(done: Iterator[Piece], buffers: Buffers) -> Generator[memoryview]:
    for piece in done:
        with memoryview(piece.data)[: piece.size - TAG] as view:
            yield view  # released after that: who kept it gets an error, not the bytes of a later chunk
        buffers.give(piece.data)


def fill(read: Read, view: memoryview) -> int:
    """Read until the view is full or the source is at its end; return how much that was."""
    got = 0
    while got < len(view) and (more := read(view[got:])):
        got += more
    return got


def damage(index: int, chunk: int) -> Damaged:
    """Say that a chunk is damaged, and which bytes that concerns, of the content and of the file."""
    begin, place = index * chunk, START + index * (chunk + TAG)
    return Damaged(
        Reason.CHUNK,
        f"damaged or tampered with: chunk {index}, bytes {begin}-{begin + chunk - 1} of the content,"
        f" from byte {place} of the file on",
        chunk=index,
    )


def open_piece(gcm: Gcm, prefix: bytes, chunk: int, piece: Piece) -> None:
    """Decrypt a piece in place, or say what is wrong with it."""
    size = piece.size - TAG
    if size < 0 or (size == 0 and piece.index > 0):  # only an empty content has an empty chunk
        raise _cut(piece.index)
    if gcm.open(nonce(prefix, piece.index, piece.final), piece.data, size):
        return
    # Authentic, but not as what it is taken for? Then the file was cut, or continued, at a chunk's border.
    if gcm.open(nonce(prefix, piece.index, not piece.final), piece.data, size):
        if piece.final:
            raise _cut(piece.index)
        raise Damaged(Reason.TRAILING, f"something follows the end, which is chunk {piece.index}", chunk=piece.index)
    raise damage(piece.index, chunk)


def _cut(index: int) -> Damaged:
    return Damaged(Reason.TRUNCATED, f"the end is missing: the file stops at chunk {index}", chunk=index)


def _pieces(read: Read, unit: int, buffers: Buffers) -> Iterator[Piece]:
    """Cut a stream into pieces of ``unit`` bytes; the last is known by reading one ahead."""
    index = 0
    data, size = _next(read, unit, buffers)
    while True:
        following, more = _next(read, unit, buffers) if size == unit else (data, 0)
        yield Piece(index, more == 0, size, data)
        if more == 0:
            return
        data, size, index = following, more, index + 1


def _next(read: Read, unit: int, buffers: Buffers) -> tuple[bytearray, int]:
    data = buffers.take()
    with memoryview(data) as view:
        return data, fill(read, view[:unit])


def _parallel(
    pieces: Iterator[Piece], work: Callable[[Piece], Piece], buffers: Buffers, threads: int | None
) -> closing[Generator[Piece]]:
    """Return the finished pieces; the threads have ended when the context ends, and only then may the cipher go."""
    threads = threads or workers()
    return closing(ordered(pieces, work, threads=threads, ahead=window(threads, buffers.room)))
