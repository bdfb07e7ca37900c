"""Who can open a sealed file: recipients wrap its data key into a slot of the header, identities get it out again."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from dualtrack.core.errors import BadInput
from dualtrack.crypto import kdf, libcrypto, sm4
from dualtrack.crypto.sizes import TAG
from dualtrack.security.seal import header
from dualtrack.security.seal.errors import Damaged, Reason
from dualtrack.security.seal.header import MAX_CIPHER, MAX_SLOTS, ScryptSlot, Slot, Sm2Slot

MIN_PASSPHRASE = 12  # characters (see `characters`): below that, guessing is cheap, however slow each guess
_NONCE = bytes(12)  # each salt gives a key of its own, which wraps once


class Recipient(Protocol):
    """Somebody for whom a file is sealed."""

    def wrap(self, data_key: bytes) -> Slot:
        """Return the slot that gives ``data_key`` to this recipient."""


class Identity(Protocol):
    """Somebody who opens a file."""

    def unwrap(self, slot: Slot) -> bytes | None:
        """Return the data key, None when the slot is somebody else's; Damaged when it is ours and does not open."""


@dataclass(frozen=True)
class Sm2Recipient:
    """The owner of an SM2 key."""

    key: libcrypto.PublicKey

    def wrap(self, data_key: bytes) -> Slot:
        """See Recipient."""
        cipher = self.key.encrypt(data_key)
        assert len(cipher) <= MAX_CIPHER  # noqa: S101 - 141 bytes at most, by DER's rules
        return Sm2Slot(self.key.id, cipher)


@dataclass(frozen=True)
class Sm2Identity:
    """An SM2 private key."""

    key: libcrypto.PrivateKey

    def unwrap(self, slot: Slot) -> bytes | None:
        """See Identity."""
        if not isinstance(slot, Sm2Slot) or slot.key != self.key.id:
            return None
        data_key = self.key.decrypt(slot.cipher) if _is_sm2_cipher(slot.cipher) else None
        if data_key is None or len(data_key) != kdf.DATA_KEY:
            raise Damaged(Reason.HEADER, "the header is damaged: the slot for this key does not open")
        return data_key


@dataclass(frozen=True)
class Passphrase:
    """A passphrase: both somebody to seal for and somebody who opens."""

    secret: bytes

    def wrap(self, data_key: bytes) -> Slot:
        """See Recipient."""
        if (count := characters(self.secret)) < MIN_PASSPHRASE:
            raise BadInput(
                f"the passphrase has {count} characters",
                hint=f"{MIN_PASSPHRASE} at least, blanks around it not counted",
            )
        salt = secrets.token_bytes(16)
        buffer = bytearray(data_key) + bytes(TAG)
        work = sm4.gcm(kdf.scrypt(self.secret, salt, header.LOG_N, header.R, header.P))
        work.seal(_NONCE, buffer, kdf.DATA_KEY)
        work.close()
        return ScryptSlot(header.LOG_N, header.R, header.P, salt, bytes(buffer))

    def unwrap(self, slot: Slot) -> bytes | None:
        """See Identity. A wrong passphrase and a damaged slot cannot be told apart: both are None."""
        if not isinstance(slot, ScryptSlot):
            return None
        buffer = bytearray(slot.wrapped)
        work = sm4.gcm(kdf.scrypt(self.secret, slot.salt, slot.log_n, slot.r, slot.p))
        fits = work.open(_NONCE, buffer, kdf.DATA_KEY)
        work.close()
        return bytes(buffer[: kdf.DATA_KEY]) if fits else None


def characters(passphrase: bytes) -> int:
    """Return how many characters a passphrase has, without blanks around it; each byte that is not UTF-8 is one."""
    return len(passphrase.decode("utf-8", "surrogateescape").strip())


def _is_sm2_cipher(data: bytes) -> bool:
    """Say whether a ciphertext is what `Sm2Recipient.wrap` could have written: the one DER encoding, and nothing more.

    OpenSSL takes other lengths of lengths, and does not look at what follows.
    """
    begin = 3 if data[1:2] == b"\x81" else 2
    size = len(data) - begin
    if size < 0 or data[0] != 0x30 or data[begin - 1] != size or (begin == 3) != (size > 127):
        return False
    rest = data[begin:]
    for tag, smallest, longest in ((2, 1, 33), (2, 1, 33), (4, 32, 32), (4, kdf.DATA_KEY, kdf.DATA_KEY)):
        if len(rest) < 2 or rest[0] != tag or not smallest <= rest[1] <= longest or len(rest) < 2 + rest[1]:
            return False
        value, rest = rest[2 : 2 + rest[1]], rest[2 + rest[1] :]
        if tag == 2 and (value[0] & 0x80 or (len(value) > 1 and value[0] == 0 and not value[1] & 0x80)):
            return False
        if tag == 2 and len(value) == 33 and value[0]:
            return False
    return not rest


def wrap(data_key: bytes, recipients: Sequence[Recipient]) -> tuple[Slot, ...]:
    """Return the slots for all of ``recipients``; BadInput for none, too many, or one that comes twice."""
    if not recipients:
        raise BadInput("nobody to seal for", hint="give --recipient or --passphrase-file")
    if len(recipients) > MAX_SLOTS:
        raise BadInput(f"{len(recipients)} recipients; a header has room for {MAX_SLOTS}", hint="share a group's key")
    slots = tuple(one.wrap(data_key) for one in recipients)
    names = [name(slot) for slot in slots]
    if len(set(names)) < len(names):
        raise BadInput("the same recipient twice", hint="name each key once, and one passphrase at most")
    return slots


def name(slot: Slot) -> str:
    """Return what people call a slot's owner."""
    return f"sm2:{slot.key.hex()}" if isinstance(slot, Sm2Slot) else "passphrase"
