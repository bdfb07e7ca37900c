"""A second implementation of the format, from docs/formats/seal.md: slow, and of other parts than dualtrack's.

SM2 and SM4 are gmssl's (pure Python), SM3 is hashlib's; HKDF and GCM are written out here.
"""

from __future__ import annotations

import hashlib
import hmac
import struct

from gmssl import sm2, sm4


def unseal(data: bytes, private: int, public: bytes) -> bytes:
    """Open a whole sealed file for one SM2 key: ``public`` is its uncompressed point."""
    header, payload = data[:4096], data[8192:]
    assert header[:9] == b"dualseal\x01"
    chunk, slots = 1 << header[10], header[11]
    key_id = hashlib.new("sm3", public).digest()[:16]
    raw = [header[32 + 160 * n : 192 + 160 * n] for n in range(slots)]
    mine = next(slot for slot in raw if slot[0] == 1 and slot[2:18] == key_id)
    data_key = sm2_decrypt(mine[18 : 18 + mine[1]], private, public)
    mac = hmac.digest(hkdf(data_key, b"dualseal header", 32), header[:4064], "sm3")
    assert mac == header[4064:]
    derived = hkdf(data_key, b"dualseal payload" + header[:11], 23)
    key, prefix = derived[:16], derived[16:]
    out = b""
    count = -(-len(payload) // (chunk + 16))
    for index in range(count):
        sealed = payload[index * (chunk + 16) : (index + 1) * (chunk + 16)]
        nonce = prefix + struct.pack(">IB", index, index == count - 1)
        content, tag = gcm(key, nonce, sealed[:-16], decrypt=True)
        assert tag == sealed[-16:]
        out += content
    return out


def hkdf(secret: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869 with SM3 and no salt."""
    key = hmac.digest(bytes(32), secret, "sm3")
    out, block = b"", b""
    for counter in range(1, -(-length // 32) + 1):
        block = hmac.digest(key, block + info + bytes([counter]), "sm3")
        out += block
    return out[:length]


def sm2_decrypt(cipher: bytes, private: int, public: bytes) -> bytes:
    """Decrypt an SM2Cipher in DER."""
    x, y, c3, c2 = der(cipher)
    crypt = sm2.CryptSM2(private_key=f"{private:064x}", public_key=public[1:].hex(), mode=1)
    found: bytes = crypt.decrypt(x.rjust(32, b"\0")[-32:] + y.rjust(32, b"\0")[-32:] + c3 + c2)
    return found


def der(data: bytes) -> list[bytes]:
    """Return the contents of a DER sequence's members."""
    assert data[0] == 0x30
    place = 2 + (data[1] & 0x7F if data[1] & 0x80 else 0)
    found = []
    while place < len(data):
        size = data[place + 1]
        found.append(data[place + 2 : place + 2 + size])
        place += 2 + size
    return found


def block(key: bytes, data: bytes) -> bytes:
    """One block of SM4."""
    crypt = sm4.CryptSM4()
    crypt.set_key(key, sm4.SM4_ENCRYPT)
    return bytes(crypt.one_round(crypt.sk, list(data)))


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
