"""The ciphers, against the standards' own answers, each other, and gmssl as an independent reference."""

from __future__ import annotations

import ctypes
import hashlib
import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest
from gmssl import sm3 as gm_sm3

from dualtrack.crypto import kdf, libcrypto, libgcrypt, sm4
from dualtrack.crypto.sm3 import sm3
from dualtrack.crypto.sm4 import Gcm, Slow
from dualtrack.security.seal import blob
from dualtrack.security.seal.slots import Sm2Identity, Sm2Recipient
from tests.support import reference_seal as seal_judge

KEY = bytes.fromhex("0123456789abcdeffedcba9876543210")
ENGINES = [libgcrypt.Gcm, Slow]

# RFC 8998, A.1
IV = bytes.fromhex("00001234567800000000abcd")
AAD = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
PLAIN = b"".join(bytes([byte]) * 8 for byte in (0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF, 0xEE, 0xAA))
CIPHER = bytes.fromhex(
    "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735"
    "d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d"
)
TAG = bytes.fromhex("83de3541e4c2b58177e065a9bf7b62ec")

# GB/T 32918.5-2017, annex C: encryption on the recommended curve
SM2_PRIVATE = 0x3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8
SM2_PUBLIC = bytes.fromhex(
    "0409f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020"
    "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"
)
SM2_C1 = bytes.fromhex(
    "04ebfc718e8d1798620432268e77feb6415e2ede0e073c0f4f640ecd2e149a73"
    "e858f9d81e5430a57b36daab8f950a3c64e6ee6a63094d99283aff767e124df0"
)
SM2_C3 = bytes.fromhex("59983c18f809e262923c53aec295d30383b54e39d609d160afcb1908d0bd8766")
SM2_C2 = bytes.fromhex("21886ca989ca9c7d58087307ca93092d651efa")


def pkcs8(private: int, public: bytes) -> bytes:
    """Return a private key in PEM without help from the library under test."""
    import base64

    inner = bytes.fromhex("306b0201010420") + private.to_bytes(32, "big") + bytes.fromhex("a144034200") + public
    whole = bytes.fromhex("308187020100301306072a8648ce3d020106082a811ccf5501822d046d") + inner
    text = base64.encodebytes(whole).decode().replace("\n", "")
    return (
        f"-----BEGIN PRIVATE KEY-----\n{text[:64]}\n{text[64:128]}\n{text[128:]}\n-----END PRIVATE KEY-----\n".encode()
    )


def spki(point: bytes) -> bytes:
    import base64

    whole = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d034200") + point
    text = base64.b64encode(whole).decode()
    return f"-----BEGIN PUBLIC KEY-----\n{text[:64]}\n{text[64:]}\n-----END PUBLIC KEY-----\n".encode()


def integer(value: bytes) -> bytes:
    value = value.lstrip(b"\0")
    value = b"\0" + value if value[0] & 0x80 else value
    return bytes([2, len(value)]) + value


def test_the_judge_knows_sm4_by_its_standard() -> None:
    assert seal_judge.block(KEY, KEY).hex() == "681edf34d206965e86b3e94f536e4246"  # GB/T 32907, A.1


def test_the_judge_knows_gcm_by_rfc_8998() -> None:
    assert seal_judge.gcm(KEY, IV, PLAIN, aad=AAD) == (CIPHER, TAG)


@pytest.mark.parametrize("kind", ENGINES)
def test_engine_gives_the_answer_of_rfc_8998(kind: type[Gcm]) -> None:
    data = bytearray(PLAIN) + bytes(16)
    kind(KEY).seal(IV, data, len(PLAIN))
    assert data[:-16] == CIPHER  # the RFC's tag is over associated data too, which the format has none of
    assert data[-16:] == seal_judge.gcm(KEY, IV, PLAIN)[1]


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 255, 4096, 4097])
def test_engines_agree(size: int) -> None:
    key, nonce, content = secrets.token_bytes(16), secrets.token_bytes(12), secrets.token_bytes(size)
    one, two = (bytearray(content) + bytes(16) for _ in ENGINES)
    libgcrypt.Gcm(key).seal(nonce, one, size)
    Slow(key).seal(nonce, two, size)
    assert one == two
    if size < 300:
        assert (bytes(one[:size]), bytes(one[size:])) == seal_judge.gcm(key, nonce, content)
    assert libgcrypt.Gcm(key).open(nonce, two, size)
    assert Slow(key).open(nonce, one, size)
    assert one[:size] == two[:size] == content


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("place", [0, 99, 100, 115])
def test_what_fails_its_tag_stays_sealed(kind: type[Gcm], place: int) -> None:
    data = bytearray(secrets.token_bytes(100)) + bytes(16)
    gcm = kind(KEY)
    gcm.seal(IV, data, 100)
    data[place] ^= 1
    before = bytes(data)
    assert not gcm.open(IV, data, 100)
    assert data == before


def test_many_threads_share_an_engine() -> None:
    gcm = libgcrypt.Gcm(KEY)

    def work(number: int) -> bool:
        nonce = number.to_bytes(12, "big")
        content = bytes([number & 0xFF]) * 5000
        data = bytearray(content) + bytes(16)
        gcm.seal(nonce, data, 5000)
        return gcm.open(nonce, data, 5000) and data[:5000] == content

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(200)))
    gcm.close()


def test_without_libgcrypt_the_other_engine_works(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> ctypes.CDLL:
        raise OSError(name)

    libgcrypt._library.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", none)
    assert isinstance(sm4.gcm(KEY), Slow)
    monkeypatch.undo()
    assert isinstance(sm4.gcm(KEY), libgcrypt.Gcm)


def test_sm3_and_hkdf_agree_with_the_judges() -> None:
    assert sm3(b"abc").hex() == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"  # GB/T 32905, A.1
    for size in (0, 1, 63, 64, 65, 200):
        data = secrets.token_bytes(size)
        assert sm3(data).hex() == gm_sm3.sm3_hash(list(data)) == hashlib.new("sm3", data).hexdigest()
    for length in (16, 23, 32, 100):
        secret, info = secrets.token_bytes(32), secrets.token_bytes(20)
        assert kdf.hkdf(secret, info, length) == seal_judge.hkdf(secret, info, length)


def test_sm2_opens_the_standards_own_message() -> None:
    key = libcrypto.private_key(pkcs8(SM2_PRIVATE, SM2_PUBLIC))
    assert key.point == SM2_PUBLIC
    body = integer(SM2_C1[:32]) + integer(SM2_C1[32:]) + b"\x04\x20" + SM2_C3 + b"\x04\x13" + SM2_C2
    assert key.decrypt(b"\x30" + bytes([len(body)]) + body) == b"encryption standard"


def test_sm2_and_the_judge_read_each_other() -> None:
    key = libcrypto.private_key(pkcs8(SM2_PRIVATE, SM2_PUBLIC))
    for _ in range(5):
        message = secrets.token_bytes(32)
        assert seal_judge.sm2_decrypt(key.encrypt(message), SM2_PRIVATE, SM2_PUBLIC) == message


def test_the_judge_opens_a_whole_file() -> None:
    key = libcrypto.private_key(pkcs8(SM2_PRIVATE, SM2_PUBLIC))
    content = secrets.token_bytes(4100)
    other = Sm2Recipient(libcrypto.generate())
    sealed = blob.seal(content, [other, Sm2Recipient(key)], exponent=12)
    assert seal_judge.unseal(sealed, seal_judge.Key(SM2_PRIVATE, SM2_PUBLIC)) == content
    assert blob.unseal(sealed, [Sm2Identity(key)]) == content
