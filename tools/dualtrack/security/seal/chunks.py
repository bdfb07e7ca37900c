"""Where each chunk of a sealed file lies, and the nonce that binds it to its place. Arithmetic only."""

from __future__ import annotations

from dataclasses import dataclass

from dualtrack.core.errors import Refused
from dualtrack.crypto.sizes import TAG
from dualtrack.security.seal.errors import Damaged, Reason

COPY = 4096  # one copy of the header
START = 2 * COPY  # where the first chunk begins
MAX_CHUNKS = 1 << 32  # the counter has four bytes
MIN_EXPONENT, MAX_EXPONENT, EXPONENT = 12, 22, 20  # chunks of 4 KiB to 4 MiB, 1 MiB unless told otherwise


def nonce(prefix: bytes, index: int, final: bool) -> bytes:
    """Return the 12-byte nonce of a chunk: prefix, big-endian counter, 1 for the last chunk and 0 for the others.

    Refused past the counter's end: a nonce that comes twice would give the content away.
    """
    if not 0 <= index < MAX_CHUNKS:
        raise Refused("more chunks than the counter can tell apart", hint="seal it in parts")
    return prefix + index.to_bytes(4, "big") + bytes([final])


@dataclass(frozen=True)
class Layout:
    """The chunks of a sealed file of ``total`` bytes, header included, whose chunks hold ``chunk`` bytes of content."""

    chunk: int
    total: int

    def __post_init__(self) -> None:
        if self._payload < TAG or 0 < self._payload % (self.chunk + TAG) < TAG + (self._payload > self.chunk + TAG):
            raise Damaged(Reason.TRUNCATED, "the end is missing: the file stops inside a chunk")

    @property
    def _payload(self) -> int:
        return self.total - START

    @property
    def count(self) -> int:
        """Return how many chunks there are."""
        return -(-self._payload // (self.chunk + TAG))

    @property
    def size(self) -> int:
        """Return the bytes of content, as the file's length tells: true only once the last chunk is verified."""
        return self._payload - self.count * TAG

    def place(self, index: int) -> tuple[int, int]:
        """Return where a chunk begins in the sealed file, and how long it is with its tag."""
        begin = START + index * (self.chunk + TAG)
        return begin, min(self.chunk + TAG, self.total - begin)

    def touched(self, offset: int, length: int) -> range:
        """Return the chunks that hold ``length`` (more than 0) bytes of content from ``offset`` on."""
        return range(offset // self.chunk, (offset + length - 1) // self.chunk + 1)


def sealed_size(size: int, chunk: int) -> int:
    """Return how long the sealed file of ``size`` bytes of content is."""
    return START + size + max(1, -(-size // chunk)) * TAG
