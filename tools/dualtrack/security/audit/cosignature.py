"""What a witness does with heads (pure): co-sign what continues from what it co-signed, and nothing twice.

Heads are verified by the host's registered key and the keys that its epochs named since. A second head for a segment,
or one that continues from another history, is a finding, whoever signed it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import msgspec

from dualtrack.core.errors import BadInput
from dualtrack.crypto import libcrypto
from dualtrack.security.audit import record
from dualtrack.security.audit import signed_head as heads
from dualtrack.security.audit.signed_head import Head

#: fork: two histories, both signed by the host; forged: not signed by it; removed: a head between two is missing;
#: rolled back: what was co-signed is not there any more.
What = Literal["fork", "forged", "removed", "rolled back"]
#: Nanoseconds after which a head that is missing between two others does not come any more.
LATE_NS = 15 * 60 * 10**9


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """How far a host's heads are co-signed. ``keys`` are its public keys (PEM), each with the segment it signs from."""

    host: str
    segment: int
    digest: str
    last: int
    chain: str
    keys: tuple[tuple[int, str], ...]

    @property
    def epoch(self) -> int:
        """Return the number of the key that signs next."""
        return len(self.keys) - 1


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What is not co-signed, and why; ``evidence`` is the head's line as it came."""

    what: What
    segment: int
    digest: str
    evidence: str = ""


@dataclass
class Verdict:
    """Heads to co-sign, in order, each with its digest; what was found; and how far the host is known then."""

    known: Known
    heads: list[tuple[Head, str]] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)


def start(host: str, root: bytes) -> Known:
    """Return what is known of a host of which only the registered key is."""
    libcrypto.public_key(root)
    return Known(
        host=host,
        segment=0,
        digest=heads.none(host),
        last=0,
        chain=record.start(host).hex(),
        keys=((1, root.decode()),),
    )


def after(known: Known, *, segment: int, digest: str, last: int, chain: str, key: str) -> Known:
    """Return what is known after one more head was co-signed; ``key`` is the one that it names, '' without one."""
    keys = (*known.keys, (segment + 1, key)) if key else known.keys
    return Known(host=known.host, segment=segment, digest=digest, last=last, chain=chain, keys=keys)


def consider(
    known: Known, lines: Sequence[bytes], *, now: int, earlier: Mapping[int, str] = MappingProxyType({})
) -> Verdict:
    """Verify the heads that are shown of a host: from the last co-signed one on, and those of ``earlier`` segments.

    ``earlier`` has the digests that were co-signed of them; ``now`` is in nanoseconds since 1970.
    """
    verdict, by_segment = Verdict(known), defaultdict[int, dict[str, tuple[Head, bytes, bytes, bytes]]](dict)
    for text in lines:
        try:
            head, data, signature = heads.parse(text)
        except BadInput:
            verdict.found.append(_found("forged", 0, heads.digest(text), text))
            continue
        if head.host == known.host:
            by_segment[head.segment].setdefault(heads.digest(data) + signature.hex(), (head, data, signature, text))
    if known.segment and not any(key.startswith(known.digest) for key in by_segment[known.segment]):
        verdict.found.append(_found("rolled back", known.segment, known.digest, b""))
    for segment in sorted(by_segment):
        if segment <= known.segment:
            for head, data, signature, text in by_segment[segment].values():
                digest = heads.digest(data)
                if digest != (known.digest if segment == known.segment else earlier.get(segment)):
                    what: What = "fork" if _signed(verdict.known, head, data, signature) else "forged"
                    verdict.found.append(_found(what, segment, digest, text))
            continue
        if segment > verdict.known.segment + 1:
            newest = max(it[0].ended for it in by_segment[segment].values())
            if now - newest > LATE_NS and verdict.known.segment + 1 not in by_segment:
                missing = verdict.known.segment + 1
                verdict.found.append(_found("removed", missing, verdict.known.digest, b""))
            break
        _next(verdict, list(by_segment[segment].values()))
    return verdict


def segment_of(text: bytes) -> int:
    """Return the segment that a head's line names, 0 for a line that is none."""
    try:
        return heads.parse(text)[0].segment
    except BadInput:
        return 0


def _next(verdict: Verdict, shown: list[tuple[Head, bytes, bytes, bytes]]) -> None:
    """Verify all heads of the segment that comes next: exactly one that fits is co-signed."""
    known, fitting = verdict.known, dict[str, tuple[Head, bytes]]()
    for head, data, signature, text in shown:
        digest = heads.digest(data)
        if not _signed(known, head, data, signature):
            verdict.found.append(_found("forged", head.segment, digest, text))
        elif not _fits(known, head):
            verdict.found.append(_found("fork", head.segment, digest, text))
        else:
            fitting[digest] = head, text
    if len(fitting) > 1:  # the host itself signed two: which one is true is not a witness's to say
        verdict.found += [_found("fork", head.segment, digest, text) for digest, (head, text) in fitting.items()]
        return
    for digest, (head, _) in fitting.items():
        verdict.heads.append((head, digest))
        verdict.known = after(
            known, segment=head.segment, digest=digest, last=head.last, chain=head.chain, key=head.next_key
        )


def _signed(known: Known, head: Head, data: bytes, signature: bytes) -> bool:
    """Tell whether a head is signed by the key that the host had for its segment."""
    key = next((pem for first, pem in reversed(known.keys) if first <= head.segment), "")
    return bool(key) and libcrypto.public_key(key.encode()).verifies(signature, heads.signed(data))


def _fits(known: Known, head: Head) -> bool:
    if head.next_key:
        try:
            libcrypto.public_key(head.next_key.encode())
        except BadInput:
            return False
    wanted = (known.segment + 1, known.digest, known.last + 1, known.chain, known.epoch)
    return (head.segment, head.previous, head.first, head.before, head.epoch) == wanted and head.last >= head.first


def _found(what: What, segment: int, digest: str, text: bytes) -> Found:
    return Found(
        what=what, segment=segment, digest=digest, evidence=text[: 16 << 10].decode(errors="replace").rstrip("\n")
    )
