"""Seal and unseal what fits into memory: shares, keys, small secrets."""

from __future__ import annotations

from collections.abc import Sequence

from dualtrack.security.seal import stream
from dualtrack.security.seal.chunks import EXPONENT, START
from dualtrack.security.seal.header import Content
from dualtrack.security.seal.slots import Identity, Recipient
from dualtrack.security.seal.unwrap import closed, new, open_header


def seal(data: bytes, recipients: Sequence[Recipient], *, exponent: int = EXPONENT) -> bytes:
    """Return ``data`` as a sealed file."""
    opened = new(recipients, Content.BYTES, exponent)
    out = bytearray(closed(opened) * 2)
    stream.seal(reading(data), out.extend, opened.payload, opened.header.chunk, threads=1)
    return bytes(out)


def unseal(sealed: bytes, identities: Sequence[Identity]) -> bytes:
    """Return the content of a sealed file; NotOpened or Damaged otherwise."""
    opened = open_header(sealed[:START], identities)
    with stream.unseal(reading(sealed[START:]), opened.payload, opened.header.chunk, threads=1) as pieces:
        return b"".join(bytes(piece) for piece in pieces)


def reading(data: bytes) -> stream.Read:
    """Return what reads ``data`` from its beginning to its end."""
    rest = memoryview(data)

    def read(view: memoryview) -> int:
        nonlocal rest
        size = min(len(view), len(rest))
        view[:size] = rest[:size]
        rest = rest[size:]
        return size

    return read
