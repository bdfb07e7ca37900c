"""Keys from keys: HKDF and HMAC over SM3, scrypt for passphrases. All of it is `cryptography`'s."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.hashes import SM3
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from dualtrack.core.errors import External
from dualtrack.crypto.sizes import PREFIX

DATA_KEY = 32
SM4_KEY = 16


@dataclass(frozen=True)
class PayloadKey:
    """What the chunks are sealed with: an SM4 key and the nonces' first bytes."""

    key: bytes
    prefix: bytes


def hkdf(secret: bytes, info: bytes, length: int) -> bytes:
    """Return ``length`` bytes by HKDF-SM3 (RFC 5869) without a salt: ``secret`` is random already."""
    return HKDF(algorithm=SM3(), length=length, salt=None, info=info).derive(secret)


def payload_key(data_key: bytes, immutable: bytes) -> PayloadKey:
    """Derive the key of the chunks, bound to the header's fields that no rekey may change."""
    derived = hkdf(data_key, b"dualseal payload" + immutable, SM4_KEY + PREFIX)
    return PayloadKey(derived[:SM4_KEY], derived[SM4_KEY:])


def mac(data_key: bytes, body: bytes) -> bytes:
    """Return the header's MAC: HMAC-SM3 with a key of its own."""
    return _hmac(data_key, body).finalize()


def mac_is(data_key: bytes, body: bytes, expected: bytes) -> bool:
    """Say whether ``expected`` is the header's MAC, in constant time."""
    try:
        _hmac(data_key, body).verify(expected)
    except InvalidSignature:
        return False
    return True


def _hmac(data_key: bytes, body: bytes) -> HMAC:
    made = HMAC(hkdf(data_key, b"dualseal header", 32), SM3())
    made.update(body)
    return made


def scrypt(passphrase: bytes, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    """Return an SM4 key from a passphrase; takes 128 * r * 2^log_n bytes of memory, External where there is less."""
    try:
        return Scrypt(salt=salt, length=SM4_KEY, n=1 << log_n, r=r, p=p).derive(passphrase)
    except MemoryError:
        need = (128 * r << log_n) >> 20
        raise External(f"a passphrase takes {need} MiB of memory here, and there is less", hint="free some") from None
