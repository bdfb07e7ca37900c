"""One event as it lies in the chain (pure): a line of JSON and, behind it, the chain's hash up to and with it.

digest(n) = SM3(the JSON's bytes)        chain(n) = SM3(chain(n-1), digest(n))
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from typing import Annotated

import msgspec

from dualtrack.core.errors import BadInput

#: Bytes of a body in one record; what is longer takes several, so that memory is bounded whatever a program says.
LONGEST = 64 << 10
#: Bytes of a line at most: a body of which every byte is escaped to six, and what is around it.
LINE = 8 * LONGEST
#: Length of an SM3 hash in hexadecimal digits.
HEX = 64
#: Nanoseconds by which a clock may go back without a word: time servers adjust it.
BACK_NS = 10**9
#: The largest number and time that a trail may hold: 2262 in nanoseconds since 1970.
MOST = (1 << 63) - 1

Number = Annotated[int, msgspec.Meta(ge=1, le=MOST)]
#: Nanoseconds since 1970; and what counts from 0.
Time = Annotated[int, msgspec.Meta(ge=0, le=MOST)]
Count = Time
#: An SM3 hash, and a signature, in lower-case hexadecimal digits.
Hash = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Signature = Annotated[str, msgspec.Meta(pattern=r"\A([0-9a-f]{2}){1,256}\Z")]
#: What a host may be called. The name is part of every hash.
HOST = r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}"
Host = Annotated[str, msgspec.Meta(pattern=rf"\A{HOST}\Z")]


class Record(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """An event: ``n`` from 1 on without a gap, ``t`` in nanoseconds since 1970 by the host's clock, which may be wrong.

    ``raw`` is a body that is not UTF-8, in base64; ``more`` says that the next record of this source continues with it.
    """

    n: Number
    t: Time
    kind: str
    source: str = ""
    body: str = ""
    raw: str = ""
    more: bool = False


def start(host: str) -> bytes:
    """Return the chain's hash before a host's first record."""
    return hashlib.new("sm3", f"dualtrack audit 1\n{host}\n".encode()).digest()


def link(before: bytes, data: bytes) -> bytes:
    """Return the chain's hash with one more record, whose JSON is ``data``."""
    return follow(before, digest(data))


def follow(before: bytes, of: bytes) -> bytes:
    """Return the same for a record of which only the digest is known."""
    return hashlib.new("sm3", before + of).digest()


def digest(data: bytes) -> bytes:
    """Return the digest of one record's JSON: what a proof gives away of the records that are not its own."""
    return hashlib.new("sm3", data).digest()


def line(data: bytes, chain: bytes) -> bytes:
    """Return the line in the segment's file."""
    return b"%b %b\n" % (data, chain.hex().encode())


def split(text: bytes) -> tuple[bytes, bytes]:
    """Return JSON and chain of a line; BadInput for one that is not whole."""
    data, gap, chain = text[: -HEX - 2], text[-HEX - 2 : -HEX - 1], text[-HEX - 1 : -1]
    try:
        found = bytes.fromhex(chain.decode("ascii"))
        if gap != b" " or text[-1:] != b"\n" or found.hex().encode() != chain:
            raise ValueError
        return data, found
    except (ValueError, UnicodeDecodeError):
        raise BadInput("this line is not a record") from None


def decode(data: bytes) -> Record:
    """Return a record; BadInput for anything else, also for one that is spelled in another way than `encode` does."""
    try:
        found = msgspec.json.decode(data, type=Record)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"this line is not a record: {error}") from None
    # Another reader may take the other of two fields with one name, or stop at what this one passes over.
    if encode(found) != data or (found.raw and (found.body or not _is_base64(found.raw))):
        raise BadInput("this line is not a record: it is not spelled as the format says")
    return found


def _is_base64(text: str) -> bool:
    try:
        return base64.b64encode(base64.b64decode(text, validate=True)).decode() == text
    except (binascii.Error, ValueError):
        return False


def parse(text: bytes) -> tuple[Record, bytes, bytes]:
    """Return the record of a line, its JSON and its chain; BadInput for a line that is none."""
    data, chain = split(text)
    return decode(data), data, chain


encode = msgspec.json.Encoder().encode


def bodies(content: bytes) -> Iterator[dict[str, object]]:
    """Yield the fields of the records that a body of any length and any bytes takes: one, for what is usual."""
    for begin in range(0, max(1, len(content)), LONGEST):
        piece = content[begin : begin + LONGEST]
        more = {"more": True} if begin + LONGEST < len(content) else {}
        try:
            yield {"body": piece.decode(), **more}
        except UnicodeDecodeError:
            yield {"raw": base64.b64encode(piece).decode(), **more}
