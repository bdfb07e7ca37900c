"""A second implementation of the format, from docs/reference/seal.md: slow, and of other parts than dualtrack's.

SM2's multiplication and SM4 are gmssl's (pure Python), SM3 and scrypt hashlib's; all else is written out here.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from gmssl import sm2, sm4

from tests.support import reference_archive

# GB/T 32918.5: the recommended curve
P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93


class Refused(Exception):
    """Why a file does not open, and the content that was released before that was known."""

    def __init__(self, reason: str, released: bytes = b"") -> None:
        super().__init__(reason)
        self.reason, self.released = reason, released


@dataclass(frozen=True)
class Key:
    """An SM2 key, ``public`` its uncompressed point; or a passphrase."""

    private: int = 0
    public: bytes = b""
    passphrase: bytes = b""


def unseal(data: bytes, *keys: Key) -> bytes:
    """Open a whole sealed file; Refused otherwise."""
    header, data_key = find_header(data[:8192], keys)
    derived = hkdf(data_key, b"dualseal payload" + header[:11], 23)
    key, prefix, unit = derived[:16], derived[16:], (1 << header[10]) + 16
    units = [data[place : place + unit] for place in range(8192, len(data), unit)] or [b""]
    out = b""
    for index, sealed in enumerate(units):
        last = index == len(units) - 1
        if len(sealed) < 16 or (len(sealed) == 16 and index):
            raise Refused("truncated", out)
        for flag in (last, not last):
            content, tag = gcm(key, prefix + struct.pack(">IB", index, flag), sealed[:-16], decrypt=True)
            if tag == sealed[-16:]:
                break
        else:
            raise Refused("chunk", out)
        if flag != last:
            raise Refused("truncated" if last else "trailing", out)
        out += content
    return out


def directory(data: bytes, *keys: Key) -> dict[bytes, reference_archive.Found]:
    """Return what a sealed directory holds; Refused otherwise."""
    content = unseal(data, *keys)
    try:
        return reference_archive.read(content)
    except reference_archive.Alien:
        raise Refused("archive", content) from None


def find_header(start: bytes, keys: Sequence[Key]) -> tuple[bytes, bytes]:
    """Return the header's bytes and the data key: steps 1 to 4 of reading."""
    if len(start) < 8192:
        raise Refused("truncated" if start[:8] == b"dualseal" else "not-sealed")
    copies = [start[:4096], start[4096:]]
    wrong = [unreadable(copy) for copy in copies]
    generation = [copy[12:16] for copy in copies]
    order = [0, 1] if generation[0] >= generation[1] else [1, 0]
    readable = [not reason for reason in wrong]
    for number in order:
        if not readable[number]:
            continue
        copy, other = copies[number], 1 - number
        try:
            data_key = find_data_key(copy, keys)
        except Refused as error:
            wrong[number] = error.reason
            continue
        if readable[other] and generation[0] == generation[1]:
            pairs = zip(copy[4064:], copies[other][4064:], strict=True)
            if len([1 for mine, theirs in pairs if theirs != 0 and theirs != mine]) > 8:
                raise Refused("header")
        return copy, data_key
    for reason in ("header", "key", "parameters", "version"):
        if reason in wrong:
            raise Refused(reason)
    raise Refused("not-sealed")


def unreadable(copy: bytes) -> str:
    """Return why a copy cannot be read; nothing where it can."""
    if copy[:8] != b"dualseal":
        return "not-sealed"
    if copy[8] != 1:
        return "version"
    content, exponent, count = copy[9], copy[10], copy[11]
    if content > 1 or not 12 <= exponent <= 22 or not 1 <= count <= 25 or any(copy[16:32]):
        return "parameters"
    if any(copy[32 + 160 * count : 4064]):
        return "parameters"
    slots = slots_of(copy)
    for slot in slots:
        if slot[0] == 1 and 1 <= slot[1] <= 142:
            used = 18 + slot[1]
        elif slot[0] == 2 and 10 <= slot[1] <= 18 and 1 <= slot[2] <= 8 and 1 <= slot[3] <= 16:
            used = 68
        else:
            return "parameters"
        if any(slot[used:]):
            return "parameters"
    return "parameters" if len([1 for slot in slots if slot[0] == 2]) > 1 else ""


def slots_of(copy: bytes) -> list[bytes]:
    return [copy[32 + 160 * n : 192 + 160 * n] for n in range(copy[11])]


def find_data_key(copy: bytes, keys: Sequence[Key]) -> bytes:
    for key in keys:
        key_id = hashlib.new("sm3", key.public).digest()[:16]
        for slot in slots_of(copy):
            data_key = None
            if slot[0] == 1 and key.public and slot[2:18] == key_id:
                data_key = sm2_decrypt(slot[18 : 18 + slot[1]], key.private, key.public)
                if data_key is None or len(data_key) != 32:
                    raise Refused("header")
            elif slot[0] == 2 and key.passphrase:
                data_key = by_passphrase(key.passphrase, slot)
            if data_key is None:
                continue
            header_key = hkdf(data_key, b"dualseal header", 32)
            if hmac.digest(header_key, copy[:4064], "sm3") != copy[4064:]:
                raise Refused("header")
            return data_key
    raise Refused("key")


@functools.cache
def by_passphrase(passphrase: bytes, slot: bytes) -> bytes | None:
    n, r, p = 1 << slot[1], slot[2], slot[3]
    key = hashlib.scrypt(passphrase, salt=slot[4:20], n=n, r=r, p=p, maxmem=1 << 29, dklen=16)
    data_key, tag = gcm(key, bytes(12), slot[20:52], decrypt=True)
    return data_key if tag == slot[52:68] else None


def hkdf(secret: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869 with SM3 and no salt."""
    key = hmac.digest(bytes(32), secret, "sm3")
    out, block = b"", b""
    for counter in range(1, -(-length // 32) + 1):
        block = hmac.digest(key, block + info + bytes([counter]), "sm3")
        out += block
    return out[:length]


@functools.cache
def sm2_decrypt(cipher: bytes, private: int, public: bytes) -> bytes | None:
    """Decrypt an SM2Cipher in DER, the only way that it can be written; None where it does not open."""
    members = der(cipher)
    if members is None:
        return None
    (x_tag, x), (y_tag, y), (c3_tag, c3), (c2_tag, c2) = members
    if (x_tag, y_tag, c3_tag, c2_tag, len(c3)) != (2, 2, 4, 4, 32) or not on_curve(x, y):
        return None
    crypt = sm2.CryptSM2(private_key=f"{private:064x}", public_key=public[1:].hex(), mode=1)
    shared = crypt._kg(private, f"{number(x):064x}{number(y):064x}")
    point = bytes.fromhex(shared)
    mask = b"".join(
        hashlib.new("sm3", point + struct.pack(">I", counter)).digest() for counter in range(1, len(c2) // 32 + 2)
    )
    message = bytes(a ^ b for a, b in zip(c2, mask, strict=False))
    return message if hashlib.new("sm3", point[:32] + message + point[32:]).digest() == c3 else None


def on_curve(x: bytes, y: bytes) -> bool:
    """Say whether two DER integers are a point of SM2's curve: y^2 = x^3 - 3x + b."""
    if any(value[0] & 0x80 or (value[0] == 0 and len(value) > 1 and value[1] < 0x80) for value in (x, y)):
        return False
    a, b = number(x), number(y)
    return a < P and b < P and (b * b - (a * a * a - 3 * a + B)) % P == 0


def number(value: bytes) -> int:
    return int.from_bytes(value, "big")


def der(data: bytes) -> list[tuple[int, bytes]] | None:
    """Return tags and contents of the four members of a DER sequence that fills all of ``data``; None otherwise."""
    if len(data) < 3 or data[0] != 0x30:
        return None
    place = 3 if data[1] == 0x81 else 2
    size = data[place - 1]
    if size != len(data) - place or (size > 127) != (place == 3):
        return None
    found = []
    while place < len(data):
        if place + 2 > len(data) or data[place + 1] > 127 or place + 2 + data[place + 1] > len(data):
            return None
        end = place + 2 + data[place + 1]
        found.append((data[place], data[place + 2 : end]))
        place = end
    return found if len(found) == 4 and all(value for _, value in found) else None


@functools.lru_cache(8)
def _scheduled(key: bytes) -> sm4.CryptSM4:
    crypt = sm4.CryptSM4()
    crypt.set_key(key, sm4.SM4_ENCRYPT)
    return crypt


def block(key: bytes, data: bytes) -> bytes:
    """One block of SM4."""
    crypt = _scheduled(key)
    return bytes(crypt.one_round(crypt.sk, list(data)))


@functools.lru_cache(512)
def gcm(key: bytes, nonce: bytes, data: bytes, *, aad: bytes = b"", decrypt: bool = False) -> tuple[bytes, bytes]:
    """SM4-GCM of NIST SP 800-38D: what comes out, and the tag."""
    out = b""
    for counter in range(-(-len(data) // 16)):
        stream = block(key, nonce + struct.pack(">I", counter + 2))
        out += bytes(a ^ b for a, b in zip(data[16 * counter : 16 * counter + 16], stream, strict=False))
    cipher = data if decrypt else out
    h = int.from_bytes(block(key, bytes(16)), "big")
    padded = (
        aad
        + bytes(-len(aad) % 16)
        + cipher
        + bytes(-len(cipher) % 16)
        + struct.pack(">QQ", 8 * len(aad), 8 * len(cipher))
    )
    y = 0
    for place in range(0, len(padded), 16):
        y = times(y ^ int.from_bytes(padded[place : place + 16], "big"), h)
    first = int.from_bytes(block(key, nonce + b"\0\0\0\1"), "big")
    return out, (y ^ first).to_bytes(16, "big")


def times(x: int, y: int) -> int:
    """Multiply in GCM's field."""
    z = 0
    for bit in range(127, -1, -1):
        if y >> bit & 1:
            z ^= x
        x = x >> 1 ^ (0xE1 << 120 if x & 1 else 0)
    return z
