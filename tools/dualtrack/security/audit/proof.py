"""Proof of one event: a file that a stranger can check with the host's registered key and nothing else.

It holds the record, the digests of those that follow it in its segment (digests, not contents), the segment's signed
head, and the heads in which each epoch's key named the next one.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from dualtrack.core.errors import BadInput, Findings
from dualtrack.crypto import libcrypto
from dualtrack.security.audit import record
from dualtrack.security.audit import signed_head as heads
from dualtrack.security.audit.layout import Place, lines
from dualtrack.security.audit.record import Hash, Record, Signature
from dualtrack.security.audit.signed_head import Head

SCHEMA = "dualtrack.audit-proof/1"
#: What says more where a trail is not in order.
VERIFY = "dualtrack audit verify says what is wrong"


class Signed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A head's JSON as it was signed, and the signature in hexadecimal digits."""

    head: str
    signature: Signature


class Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``before`` is the chain's hash before the record; ``epochs`` are the heads that name the next key, in order."""

    schema: str
    record: str
    before: Hash
    after: tuple[Hash, ...]
    head: Signed
    epochs: tuple[Signed, ...]


def prove(folder: Path, number: int) -> Proof:
    """Return the proof of a record; BadInput where it is not there or not signed yet.

    Findings where the trail is not as it was signed, so that nobody would believe the proof.
    """
    place, epochs = Place(folder), list[Signed]()
    for text in place.head_lines():
        try:
            head, data, signature = heads.parse(text)
        except BadInput:
            if text.endswith(b"\n"):
                raise Findings(f"{place.heads} holds a line that is not a head", hint=VERIFY) from None
            break  # it is written just now
        signed = Signed(data.decode(), signature.hex())
        if head.first <= number <= head.last:
            return _believed(place, _segment(place, head, signed, tuple(epochs), number))
        if head.next_key:
            epochs.append(signed)
    raise BadInput(
        f"no head in {place.heads} names record {number}: it is not there, or not signed yet",
        hint="dualtrack audit sign signs what is there",
    )


def _segment(place: Place, head: Head, signed: Signed, epochs: tuple[Signed, ...], number: int) -> Proof:
    before, wanted, after = head.before, b"", list[str]()
    path = place.segment(head.segment)
    altered = Findings(f"{path} is not as it was signed: it proves nothing of record {number}", hint=VERIFY)
    try:
        with place.open(path) as file:
            for text in lines(file):
                found, data, chain = record.parse(text)
                if found.n < number:
                    before = chain.hex()
                elif found.n == number:
                    wanted = data
                elif len(after) == head.last - number:
                    raise altered
                else:
                    after.append(record.digest(data).hex())
    except FileNotFoundError:
        raise Findings(f"{path} is gone: it held record {number}", hint=VERIFY) from None
    except BadInput:
        raise altered from None
    made = Proof(schema=SCHEMA, record=wanted.decode(), before=before, after=tuple(after), head=signed, epochs=epochs)
    if not wanted or not _leads(made, number, head):
        raise altered
    return made


def _leads(proof: Proof, number: int, head: Head) -> bool:
    """Tell whether the chain goes from a proof's record, which has this number, to its head."""
    chain = record.link(bytes.fromhex(proof.before), proof.record.encode())
    for it in proof.after:
        chain = record.follow(chain, bytes.fromhex(it))
    return chain.hex() == head.chain and head.first <= number == head.last - len(proof.after)


def _believed(place: Place, proof: Proof) -> Proof:
    """Return a proof after checking it by the public key that lies in the trail; one that was fetched has none."""
    try:
        with place.open(place.root) as file:
            root = file.read(libcrypto.MAX_PEM + 1)
    except FileNotFoundError:
        return proof
    try:
        libcrypto.public_key(root)
    except BadInput as error:
        raise Findings(f"{place.root}: {error}") from None
    check(msgspec.json.encode(proof), root)
    return proof


def check(data: bytes, root: bytes) -> tuple[Record, Head]:
    """Return the record that a proof proves, and the head that it is under; Findings where it proves nothing."""
    try:
        proof = msgspec.json.decode(data, type=Proof)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"this is not a proof: {error}") from None
    if proof.schema != SCHEMA:
        raise BadInput(f"this is a proof of another kind: {proof.schema}")
    key = libcrypto.public_key(root)
    for epoch, signed in enumerate(proof.epochs):
        head = verified(signed, key, epoch)
        if not head.next_key:
            raise Findings(f"the head of epoch {epoch} names no next key")
        key = libcrypto.public_key(head.next_key.encode())
    head = verified(proof.head, key, len(proof.epochs))
    found = record.decode(proof.record.encode())
    if not _leads(proof, found.n, head):
        raise Findings("the record is not in the segment that was signed")
    return found, head


def verified(signed: Signed, key: libcrypto.PublicKey, epoch: int) -> Head:
    """Return the head that was signed; Findings where this key of this epoch did not sign it."""
    head = heads.decode(signed.head.encode())
    signature = bytes.fromhex(signed.signature)
    if head.epoch != epoch or not key.verifies(signature, heads.signed(signed.head.encode())):
        raise Findings(f"the head of segment {head.segment} is not signed by the host's key of epoch {epoch}")
    return head
