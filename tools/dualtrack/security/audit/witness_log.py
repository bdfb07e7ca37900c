"""What a witness says (pure): a line for each head that it co-signs and each fork that it finds, chained and signed.

A statement names the digest of the one before it, so the newest signature speaks for all of them, and a witness that
takes something back contradicts itself.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

from dualtrack.core.errors import BadInput
from dualtrack.security.audit import signed_head as heads
from dualtrack.security.audit.record import Count, Hash, Host, Number, Time

#: A witness begins; it takes a host on; it co-signs a head; it found what it does not co-sign.
Kind = Literal["begun", "host", "head", "finding"]


class Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """``n`` counts from 1, ``at`` is nanoseconds since 1970 by the witness's clock.

    Of a head: ``host``, ``segment``, ``digest`` and, to continue from there, its last record, the chain's hash behind
    it, its end, the epoch of its key, and the ``key`` (PEM) that it names for the next epoch. Of a beginning: the
    witness's name as ``host`` and its public ``key``. Of a host that is taken on: its registered ``key``. Of a finding:
    ``what``, and the other head's line as ``evidence``.
    """

    n: Number
    previous: Hash
    at: Time
    kind: Kind
    host: Host
    segment: Count = 0
    digest: Hash | Literal[""] = ""
    last: Count = 0
    chain: Hash | Literal[""] = ""
    ended: Time = 0
    epoch: Count = 0
    key: str = ""
    what: str = ""
    evidence: str = ""


encode = msgspec.json.Encoder().encode


def none(name: str) -> str:
    """Return what stands for the statement before a witness's first one."""
    return hashlib.new("sm3", f"dualtrack audit witness 1\n{name}\n".encode()).hexdigest()


def signed(data: bytes) -> bytes:
    """Return what the witness's key signs: never mistaken for a host's head."""
    return b"dualtrack audit witness 1\n" + data


def digest(data: bytes) -> str:
    """Return the digest of a statement's JSON; the signature is not in it."""
    return hashlib.new("sm3", signed(data)).hexdigest()


#: The line in the file that is given away: as a head's.
line = heads.line


def decode(data: bytes) -> Statement:
    """Return a statement; BadInput for anything else."""
    try:
        found = msgspec.json.decode(data, type=Statement)
        exact = encode(found) == data
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise BadInput(f"this line is not a statement of a witness: {error}") from None
    if not exact:
        raise BadInput("this line is not a statement of a witness: it is spelled in another way")
    return found


def parse(text: bytes) -> tuple[Statement, bytes, bytes]:
    """Return the statement of a line, its JSON and its signature; BadInput for a line that is none."""
    try:
        data, signature = heads.split(text)
    except BadInput:
        raise BadInput("this line is not a statement of a witness") from None
    return decode(data), data, signature


def is_one(text: bytes) -> bool:
    """Tell whether a line is meant as a statement; other lines with anchors end with their JSON."""
    return not text.rstrip().endswith(b"}")
