"""Key files: what OpenSSL makes is read, what we make OpenSSL reads, and everything else is refused in one line."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from dualtrack.core.errors import BadInput, External, Missing, Refused
from dualtrack.crypto import kdf, libcrypto
from dualtrack.security.seal import blob, keyfiles
from dualtrack.security.seal.errors import Damaged, NotOpened
from dualtrack.security.seal.header import MAX_SLOTS, Sm2Slot
from dualtrack.security.seal.slots import Passphrase, Sm2Identity, Sm2Recipient, wrap
from tests.unit.crypto.test_ciphers import SM2_PRIVATE, SM2_PUBLIC, pkcs8, spki

P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
N = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
WORDS = b"correct horse battery"


def openssl(*words: str, stdin: bytes = b"") -> bytes:
    return subprocess.run(["openssl", *words], input=stdin, capture_output=True, check=True).stdout


def test_openssl_and_we_read_each_others_keys(tmp_path: Path) -> None:
    theirs, ours, locked = tmp_path / "theirs", tmp_path / "ours", tmp_path / "locked"
    openssl("genpkey", "-algorithm", "SM2", "-out", str(theirs))
    assert keyfiles.private(theirs).pem() == openssl("pkey", "-in", str(theirs), "-pubout")
    key = keyfiles.new(ours)
    assert ours.stat().st_mode & 0o777 == 0o600
    assert openssl("pkey", "-in", str(ours), "-pubout") == key.pem()
    key = keyfiles.new(locked, WORDS)
    assert b"ENCRYPTED" in locked.read_bytes()
    assert openssl("pkey", "-in", str(locked), "-passin", f"pass:{WORDS.decode()}", "-pubout") == key.pem()
    assert keyfiles.private(locked, WORDS).id == key.id


def test_openssl_and_we_read_each_others_sm2(tmp_path: Path) -> None:
    path = tmp_path / "key"
    key = keyfiles.new(path)
    public = tmp_path / "public"
    public.write_bytes(key.pem())
    assert openssl("pkeyutl", "-decrypt", "-inkey", str(path), stdin=key.encrypt(b"to openssl")) == b"to openssl"
    sealed = openssl("pkeyutl", "-encrypt", "-pubin", "-inkey", str(public), stdin=b"from openssl")
    assert key.decrypt(sealed) == b"from openssl"
    assert key.decrypt(sealed[:-1] + bytes([sealed[-1] ^ 1])) is None
    assert key.decrypt(b"") is None
    assert libcrypto.generate().decrypt(sealed) is None


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key"
    keyfiles.new(path)
    before = path.read_bytes()
    with pytest.raises(Refused, match="exists"):
        keyfiles.new(path)
    assert path.read_bytes() == before


def test_a_wrong_or_missing_passphrase_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "key"
    keyfiles.new(path, WORDS)
    with pytest.raises(BadInput, match="under a passphrase"):
        keyfiles.private(path)
    with pytest.raises(BadInput, match="passphrase is wrong"):
        keyfiles.private(path, b"incorrect horse battery")


def hostile() -> dict[str, bytes]:
    flipped = bytearray(SM2_PUBLIC)
    flipped[40] ^= 1
    beyond = b"\x04" + (P + 5).to_bytes(33, "big")[-32:] + SM2_PUBLIC[33:]
    other = libcrypto.generate().point
    ed25519 = openssl("genpkey", "-algorithm", "ED25519")
    p256 = openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    return {
        "off-the-curve": spki(bytes(flipped)),
        "zero": spki(b"\x04" + bytes(64)),
        "beyond-the-field": spki(beyond),
        "compressed": spki(b"\x02" + SM2_PUBLIC[1:33] + bytes(32)),
        "another-curve": openssl("pkey", "-pubout", stdin=p256),
        "another-algorithm": openssl("pkey", "-pubout", stdin=ed25519),
        "empty": b"",
        "text": b"hello",
        "pem-of-nothing": b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
        "cut": spki(SM2_PUBLIC)[:80],
        "long": b"-----BEGIN PUBLIC KEY-----\n" + b"A" * 20000,
        "private-key": pkcs8(SM2_PRIVATE, SM2_PUBLIC),
        "private-scalar-zero": pkcs8(0, SM2_PUBLIC),
        "private-scalar-order": pkcs8(N, SM2_PUBLIC),
        "private-of-another": pkcs8(SM2_PRIVATE, other),
        "private-off-the-curve": pkcs8(SM2_PRIVATE, bytes(flipped)),
        "private-ed25519": ed25519,
    }  # fmt: skip


HOSTILE = hostile()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_keys_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_bytes(HOSTILE[name])
    with pytest.raises(BadInput) as caught:
        keyfiles.public(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    if name != "private-key":
        with pytest.raises(BadInput):
            keyfiles.private(path)


def test_files_that_are_no_key_files(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing", Path("/dev/zero")):
        with pytest.raises(BadInput):
            keyfiles.public(path)


def test_passphrase_files(tmp_path: Path) -> None:
    path = tmp_path / "words"
    path.touch(0o600)
    for text in (b"", b"\n", b"\nsecond line\n", b"first\nsecond\n", b"nul\0nul", b"x" * 2000):
        path.write_bytes(text)
        with pytest.raises(BadInput):
            keyfiles.passphrase(path)
    path.write_bytes(WORDS + b"\n")
    assert keyfiles.passphrase(path) == WORDS
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = subprocess.Popen(["sh", "-c", f"echo secret words > {pipe}"])
    assert keyfiles.passphrase(pipe) == b"secret words"
    writer.wait()


def test_recipients_are_counted() -> None:
    key = Sm2Recipient(libcrypto.generate())
    with pytest.raises(BadInput, match="nobody"):
        wrap(bytes(32), [])
    with pytest.raises(BadInput, match="twice"):
        wrap(bytes(32), [key, key])
    with pytest.raises(BadInput, match="room"):
        wrap(bytes(32), [Sm2Recipient(libcrypto.generate()) for _ in range(MAX_SLOTS + 1)])
    with pytest.raises(BadInput, match="characters"):
        wrap(bytes(32), [Passphrase(b"short")])
    many = [libcrypto.generate() for _ in range(MAX_SLOTS)]
    sealed = blob.seal(b"for many", [Sm2Recipient(one) for one in many])
    assert all(blob.unseal(sealed, [Sm2Identity(one)]) == b"for many" for one in many)
    with pytest.raises(NotOpened):
        blob.unseal(sealed, [Sm2Identity(libcrypto.generate())])


def test_two_seals_of_the_same_have_nothing_in_common() -> None:
    key = Sm2Recipient(libcrypto.generate())
    one, two = (blob.seal(bytes(1000), [key], exponent=12)[8192:] for _ in range(2))
    assert sum(a == b for a, b in zip(one, two, strict=True)) < 30
    assert kdf.payload_key(bytes(32), b"one") != kdf.payload_key(bytes(32), b"two")


def test_without_openssl_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import ctypes

    def none(name: str) -> ctypes.CDLL:
        raise OSError(name)

    libcrypto._lib.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", none)
    with pytest.raises(Missing, match="libssl3"):
        libcrypto.generate()
    monkeypatch.undo()
    assert libcrypto.generate().id


def test_a_machine_without_the_memory_for_a_passphrase_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr(kdf.Scrypt, "derive", none, raising=True)
    with pytest.raises(External, match="16 MiB of memory"):
        Passphrase(WORDS).wrap(bytes(32))


def test_a_slot_has_one_encoding_only() -> None:
    """OpenSSL itself opens some of these: what it does not look at, nobody else should have to."""
    key = libcrypto.generate()
    mine = Sm2Identity(key)
    for _ in range(200):  # numbers of 31 to 33 bytes
        slot = Sm2Recipient(key).wrap(bytes(range(32)))
        assert isinstance(slot, Sm2Slot)
        assert mine.unwrap(slot) == bytes(range(32))
    begin = 3 if slot.cipher[1] == 0x81 else 2
    body = slot.cipher[begin:]
    x = body[2 : 2 + body[1]]
    padded = bytes([2, len(x) + 1]) + b"\0" + x + body[2 + len(x) :]
    short = libcrypto.PublicKey.encrypt(key, bytes(31))
    for other in (
        slot.cipher + b"\0",
        slot.cipher + slot.cipher[:1],
        slot.cipher[:-1],
        b"\x30\x80" + body + b"\0\0",
        b"\x30\x82\0" + bytes([len(body)]) + body,
        b"\x31" + slot.cipher[1:],
        b"\x30\x81" + bytes([len(padded)]) + padded,
        short,
        b"",
        b"\x30",
        b"\x30\x00",
    ):
        with pytest.raises(Damaged, match="does not open"):
            mine.unwrap(Sm2Slot(key.id, other))
