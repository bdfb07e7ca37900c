"""From a file's first 8192 bytes and some keys to the data key; and the header for somebody else."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dualtrack.core.errors import Refused
from dualtrack.crypto import kdf
from dualtrack.security.seal.chunks import COPY, EXPONENT, START
from dualtrack.security.seal.errors import Damaged, NotOpened, Reason, SealError
from dualtrack.security.seal.header import MAC, MAX_GENERATION, Content, Header, decode, encode
from dualtrack.security.seal.slots import Identity, Recipient, name, wrap

_FAULT = 8  # bytes of a MAC that a fault may have changed; two MACs under two keys agree in about none of their 32
# Of two copies that do not open, the one that came further says what is wrong.
_TELLING = (Reason.HEADER, Reason.KEY, Reason.PARAMETERS, Reason.VERSION, Reason.NOT_SEALED)


@dataclass(frozen=True)
class Opened:
    """A header that a key fits and whose MAC is right: ``copy`` is its number, ``twins`` whether both copies agree."""

    header: Header
    data_key: bytes
    copy: int
    twins: bool

    @property
    def payload(self) -> kdf.PayloadKey:
        """Return the key of the chunks."""
        return kdf.payload_key(self.data_key, self.header.immutable)


def new(recipients: Sequence[Recipient], content: Content, exponent: int = EXPONENT) -> Opened:
    """Return a header with a new data key for ``recipients``."""
    data_key = secrets.token_bytes(kdf.DATA_KEY)
    return Opened(Header(content, exponent, wrap(data_key, recipients)), data_key, 0, True)


def renewed(old: Opened, recipients: Sequence[Recipient]) -> Opened:
    """Return the same data key for ``recipients`` alone, one generation on."""
    if old.header.generation >= MAX_GENERATION:
        raise Refused(
            "this file has been given new keys four thousand million times", hint="unseal it and seal it anew"
        )
    slots = wrap(old.data_key, recipients)
    return replace(old, header=replace(old.header, slots=slots, generation=old.header.generation + 1))


def closed(opened: Opened) -> bytes:
    """Return one copy of the header with its MAC: 4096 bytes."""
    body = encode(opened.header)
    return body + kdf.mac(opened.data_key, body)


def copies(start: bytes) -> list[Header | SealError]:
    """Return what each of the two copies says, unverified, or why it says nothing."""
    found: list[Header | SealError] = []
    for number in (0, 1):
        try:
            found.append(decode(start[number * COPY : (number + 1) * COPY]))
        except SealError as error:
            found.append(error)
    return found


def open_header(start: bytes, identities: Sequence[Identity]) -> Opened:
    """Open a file's first 8192 bytes: the newest copy that a key fits and whose MAC is right.

    Either copy is enough, so that a torn write or a bad block in one costs nothing. NotOpened or Damaged otherwise.
    Damaged also for two whole copies of one generation: no rekey leaves those, and for somebody else's key the other
    may open to another content.
    """
    if len(start) < START:
        if not start.startswith(b"dualseal"):
            raise NotOpened(Reason.NOT_SEALED, "not a sealed file")
        raise Damaged(Reason.TRUNCATED, "the end is missing: the file stops inside its header")
    found = copies(start)
    errors = [item for item in found if isinstance(item, SealError)]
    whole = [(item.generation, -number, item) for number, item in enumerate(found) if isinstance(item, Header)]
    for _, negated, header in sorted(whole, key=lambda entry: entry[:2], reverse=True):
        number = -negated
        copy = start[number * COPY : (number + 1) * COPY]
        try:
            data_key = _data_key(header, copy, identities)
        except SealError as error:
            errors.append(error)
        else:
            if _rivals(header, number, found[1 - number], start):
                raise Damaged(
                    Reason.HEADER, "its header has two copies of one generation that are not the same, and neither is"
                    " damaged: for others it may open to another content", hint="have it sealed anew",
                )  # fmt: skip
            return Opened(header, data_key, number, twins=start[:COPY] == start[COPY:START])
    raise min(errors, key=lambda error: _TELLING.index(error.reason))


def _rivals(header: Header, number: int, other: Header | SealError, start: bytes) -> bool:
    """Say whether the other copy, too, was written as a whole: same generation, and quite another MAC.

    A write that was torn leaves zeros (see `rekey`), and a fault changes few bytes.
    """
    if not isinstance(other, Header) or other.generation != header.generation:
        return False
    mine, theirs = (start[end - MAC : end] for end in ((COPY, START) if number == 0 else (START, COPY)))
    return sum(two not in {one, 0} for one, two in zip(mine, theirs, strict=True)) > _FAULT


def _data_key(header: Header, copy: bytes, identities: Sequence[Identity]) -> bytes:
    for identity in identities:
        for slot in header.slots:
            data_key = identity.unwrap(slot)
            if data_key is None:
                continue
            if not kdf.mac_is(data_key, copy[: COPY - MAC], copy[COPY - MAC :]):
                raise Damaged(Reason.HEADER, "the header is not as it was written: damaged, or tampered with")
            return data_key
    names = ", ".join(name(slot) for slot in header.slots)
    raise NotOpened(Reason.KEY, "none of the keys given opens it", hint=f"sealed for {names}")
