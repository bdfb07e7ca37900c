"""The head of a segment (pure): what the host's key signs, and what is anchored elsewhere.

A head names the segment's first and last record and the chain's hash before and after them, and the digest of the head
before it. So one head that is known from elsewhere fixes all that came before.
"""

from __future__ import annotations

import hashlib

import msgspec

from dualtrack.core.errors import BadInput
from dualtrack.security.audit.record import Count, Hash, Host, Number, Time

#: Bytes of a line at most: JSON with hashes, a name and a key, and a signature.
LINE = 16 << 10


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A segment: records ``first`` to ``last``, begun and ended at (nanoseconds since 1970 by the host's clock).

    ``before``, ``chain`` and ``previous`` are hashes in hexadecimal digits; ``epoch`` counts the host's keys from 0.
    ``next_key`` (PEM) is the public key of the next epoch, in the last head that this epoch's key signs.
    """

    host: Host
    segment: Number
    first: Number
    last: Number
    before: Hash
    chain: Hash
    previous: Hash
    begun: Time
    ended: Time
    epoch: Count
    next_key: str = ""


def digest(data: bytes) -> str:
    """Return the digest of a head's JSON; the signature is not in it, since one head can have many."""
    return hashlib.new("sm3", signed(data)).hexdigest()


def none(host: str) -> str:
    """Return what stands for the head before the first one."""
    return hashlib.new("sm3", f"dualtrack audit heads 1\n{host}\n".encode()).hexdigest()


encode = msgspec.json.Encoder().encode


def signed(data: bytes) -> bytes:
    """Return what the key signs: never mistaken for something else that it might sign."""
    return b"dualtrack audit head 1\n" + data


def line(data: bytes, signature: bytes) -> bytes:
    """Return the line in the file of heads."""
    return b"%b %b\n" % (data, signature.hex().encode())


def split(text: bytes) -> tuple[bytes, bytes]:
    """Return a head's JSON and its signature; BadInput for a line that is not whole."""
    data, _, signature = text[:-1].rpartition(b" ")
    try:
        found = bytes.fromhex(signature.decode("ascii"))
        if not text.endswith(b"\n") or not data or not found or found.hex().encode() != signature:
            raise ValueError
        return data, found
    except (ValueError, UnicodeDecodeError):
        raise BadInput("this line is not a head") from None


def decode(data: bytes) -> Head:
    """Return a head; BadInput for anything else, also for one that is spelled in another way than `encode` does."""
    try:
        found = msgspec.json.decode(data, type=Head)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"this line is not a head: {error}") from None
    if encode(found) != data or found.last < found.first:
        raise BadInput("this line is not a head: it is not spelled as the format says")
    return found


def parse(text: bytes) -> tuple[Head, bytes, bytes]:
    """Return the head of a line, its JSON and its signature; BadInput for a line that is none."""
    data, signature = split(text)
    return decode(data), data, signature
