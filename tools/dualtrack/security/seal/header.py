"""The header of a sealed file: two equal copies of 4096 bytes, each closed by a MAC. Bytes to fields and back, only."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from dualtrack.crypto.sizes import KEY_ID
from dualtrack.security.seal.chunks import COPY, MAX_EXPONENT, MIN_EXPONENT
from dualtrack.security.seal.errors import NotOpened, Reason

MAGIC = b"dualseal"
VERSION = 1
MAC = 32
SLOT = 160
MAX_SLOTS = 25
FIXED = struct.Struct(">8sBBBBI16x")
MAX_GENERATION = (1 << 32) - 1
MAX_CIPHER = SLOT - 2 - KEY_ID
# What opening costs is bounded, whatever a header asks for: 256 MiB, some seconds.
MIN_LOG_N, MAX_LOG_N, MAX_R, MAX_P = 10, 18, 8, 16
# One of OWASP's equally strong settings for scrypt; this one takes 16 MiB, so that all of sealing stays below 64.
LOG_N, R, P = 14, 8, 5


class Content(IntEnum):
    """What the chunks hold."""

    BYTES = 0
    FOLDER = 1  # a tar stream


@dataclass(frozen=True)
class Sm2Slot:
    """The data key for one SM2 key: ``key`` is that key's id, ``cipher`` an SM2Cipher of GM/T 0009 in DER."""

    key: bytes
    cipher: bytes


@dataclass(frozen=True)
class ScryptSlot:
    """The data key for a passphrase: scrypt's parameters and salt; the wrapped key and its tag."""

    log_n: int
    r: int
    p: int
    salt: bytes
    wrapped: bytes


Slot = Sm2Slot | ScryptSlot


@dataclass(frozen=True)
class Header:
    """All that a copy says; ``generation`` grows with each rekey."""

    content: Content
    exponent: int
    slots: tuple[Slot, ...]
    generation: int = 1

    @property
    def chunk(self) -> int:
        """Return the bytes of content in a chunk."""
        return 1 << self.exponent

    @property
    def immutable(self) -> bytes:
        """Return the bytes that no rekey changes; they go into the derivation of the payload's key."""
        return MAGIC + bytes([VERSION, self.content, self.exponent])


def encode(header: Header) -> bytes:
    """Return a copy without its MAC: 4064 bytes."""
    fixed = FIXED.pack(
        MAGIC, VERSION, header.content, header.exponent, len(header.slots), header.generation
    )  # fmt: skip
    body = fixed + b"".join(_encode_slot(slot).ljust(SLOT, b"\0") for slot in header.slots)
    return body.ljust(COPY - MAC, b"\0")


def decode(copy: bytes) -> Header:
    """Read a copy (its MAC is the caller's to check); NotOpened for anything that `encode` would not have written."""
    if len(copy) < COPY or copy[: len(MAGIC)] != MAGIC:
        raise NotOpened(Reason.NOT_SEALED, "not a sealed file")
    _, version, content, exponent, count, generation = FIXED.unpack_from(copy)
    if version != VERSION:
        raise NotOpened(
            Reason.VERSION, f"sealed in format {version}; this release knows format {VERSION}", hint="update dualtrack"
        )
    if not (MIN_EXPONENT <= exponent <= MAX_EXPONENT and 1 <= count <= MAX_SLOTS and content in list(Content)):
        raise _out_of_bounds("a size, a count or a kind")
    slots = tuple(
        _decode_slot(copy[begin : begin + SLOT]) for begin in range(FIXED.size, FIXED.size + count * SLOT, SLOT)
    )
    if sum(isinstance(slot, ScryptSlot) for slot in slots) > 1:
        raise _out_of_bounds("more than one passphrase")  # each would cost a reader a memory-hard derivation
    header = Header(Content(content), exponent, slots, generation)
    if encode(header) != copy[: COPY - MAC]:
        raise _out_of_bounds("a field that must be zero")
    return header


def _encode_slot(slot: Slot) -> bytes:
    if isinstance(slot, Sm2Slot):
        return bytes([1, len(slot.cipher)]) + slot.key + slot.cipher
    return bytes([2, slot.log_n, slot.r, slot.p]) + slot.salt + slot.wrapped


def _decode_slot(raw: bytes) -> Slot:
    if raw[0] == 1 and 0 < raw[1] <= MAX_CIPHER:
        return Sm2Slot(raw[2 : 2 + KEY_ID], raw[2 + KEY_ID : 2 + KEY_ID + raw[1]])
    if raw[0] == 2:
        log_n, r, p = raw[1:4]
        if not (MIN_LOG_N <= log_n <= MAX_LOG_N and 1 <= r <= MAX_R and 1 <= p <= MAX_P):
            raise _out_of_bounds(f"scrypt with N=2^{log_n}, r={r}, p={p}")
        return ScryptSlot(log_n, r, p, raw[4:20], raw[20:68])
    raise _out_of_bounds("an unknown kind of key slot")


def _out_of_bounds(what: str) -> NotOpened:
    return NotOpened(Reason.PARAMETERS, f"the header is damaged or hostile: {what}")
