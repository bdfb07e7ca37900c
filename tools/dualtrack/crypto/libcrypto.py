"""SM2 keys, encryption (GB/T 32918.4) and signatures (GB/T 32918.2) by OpenSSL 3's libcrypto; no other module calls it.

Called in this process and not as the `openssl` program, so that no secret is ever in an argument, a file or a pipe.
Keys are PEM as OpenSSL reads and writes it: SubjectPublicKeyInfo, PKCS#8, PKCS#8 under a passphrase.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import secrets
import weakref
from collections.abc import Callable, Iterator

from dualtrack.core.errors import BadInput, External, Missing
from dualtrack.crypto.sizes import KEY_ID
from dualtrack.crypto.sm3 import sm3

_POINT = 65  # 04, x, y
#: GM/T 0009, 10: who signs, where nobody agreed on another name.
USER_ID = b"1234567812345678"
MAX_PEM = 16 * 1024
# OpenSSL refuses to read a PKCS#8 file whose scrypt needs 32 MiB or more, so this is the most that it can be.
_LOG_N, _R, _P = 14, 8, 5

_ptr, _int, _size, _str = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t, ctypes.c_char_p
_CALLS: dict[str, tuple[type | None, tuple[type, ...]]] = {
    "BIO_new_mem_buf": (_ptr, (_str, _int)),
    "BIO_s_mem": (_ptr, ()),
    "BIO_new": (_ptr, (_ptr,)),
    "BIO_read": (_int, (_ptr, _ptr, _int)),
    "BIO_free": (_int, (_ptr,)),
    "ERR_clear_error": (None, ()),
    "PEM_read_bio_PUBKEY": (_ptr, (_ptr, _ptr, _ptr, _ptr)),
    "PEM_read_bio_PrivateKey": (_ptr, (_ptr, _ptr, _ptr, _str)),
    "PEM_write_bio_PUBKEY": (_int, (_ptr, _ptr)),
    "PEM_write_bio_PKCS8": (_int, (_ptr, _ptr)),
    "PEM_write_bio_PKCS8PrivateKey": (_int, (_ptr, _ptr, _ptr, _ptr, _int, _ptr, _ptr)),
    "EVP_PKEY2PKCS8": (_ptr, (_ptr,)),
    "PKCS8_PRIV_KEY_INFO_free": (None, (_ptr,)),
    "PKCS5_pbe2_set_scrypt": (
        _ptr, (_ptr, _str, _int, _str, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64),
    ),
    "PKCS8_set0_pbe": (_ptr, (_str, _int, _ptr, _ptr)),
    "X509_SIG_free": (None, (_ptr,)),
    "X509_ALGOR_free": (None, (_ptr,)),
    "EVP_sm4_cbc": (_ptr, ()),
    "EVP_PKEY_Q_keygen": (_ptr, (_ptr, _ptr, _str)),
    "EVP_PKEY_is_a": (_int, (_ptr, _str)),
    "EVP_PKEY_free": (None, (_ptr,)),
    "EVP_PKEY_get_octet_string_param": (_int, (_ptr, _str, _ptr, _size, _ptr)),
    "EVP_PKEY_CTX_new_from_pkey": (_ptr, (_ptr, _ptr, _ptr)),
    "EVP_PKEY_CTX_free": (None, (_ptr,)),
    "EVP_PKEY_public_check": (_int, (_ptr,)),
    "EVP_PKEY_pairwise_check": (_int, (_ptr,)),
    "EVP_PKEY_encrypt_init": (_int, (_ptr,)),
    "EVP_PKEY_encrypt": (_int, (_ptr, _ptr, _ptr, _str, _size)),
    "EVP_PKEY_decrypt_init": (_int, (_ptr,)),
    "EVP_PKEY_decrypt": (_int, (_ptr, _ptr, _ptr, _str, _size)),
    "EVP_PKEY_CTX_set1_id": (_int, (_ptr, _str, _int)),
    "EVP_MD_CTX_new": (_ptr, ()),
    "EVP_MD_CTX_free": (None, (_ptr,)),
    "EVP_MD_CTX_set_pkey_ctx": (None, (_ptr, _ptr)),
    "EVP_sm3": (_ptr, ()),
    "EVP_DigestSignInit": (_int, (_ptr, _ptr, _ptr, _ptr, _ptr)),
    "EVP_DigestSign": (_int, (_ptr, _ptr, _ptr, _str, _size)),
    "EVP_DigestVerifyInit": (_int, (_ptr, _ptr, _ptr, _ptr, _ptr)),
    "EVP_DigestVerify": (_int, (_ptr, _str, _size, _str, _size)),
}  # fmt: skip


@functools.cache
def _lib() -> ctypes.CDLL:
    for name in ("libcrypto.so.3", "libcrypto.so.4"):
        try:
            library = ctypes.CDLL(name)
            for call, (result, arguments) in _CALLS.items():
                function = getattr(library, call)
                function.restype, function.argtypes = result, arguments
        except (OSError, AttributeError):
            continue
        return library
    raise Missing("no OpenSSL 3 library with SM2", hint="apt-get install libssl3")


class PublicKey:
    """An SM2 public key: something that can be sealed for."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        weakref.finalize(self, _lib().EVP_PKEY_free, handle)

    @functools.cached_property
    def id(self) -> bytes:
        """Return what slots and people name the key by: the first 16 bytes of SM3 over its uncompressed point."""
        return sm3(self.point)[:KEY_ID]

    @functools.cached_property
    def point(self) -> bytes:
        """Return the uncompressed point: 04, x, y."""
        raw, got = ctypes.create_string_buffer(2 * _POINT), _size()
        done = _lib().EVP_PKEY_get_octet_string_param(self._handle, b"pub", raw, len(raw), ctypes.byref(got))
        if done != 1 or got.value != _POINT or raw.raw[0] != 4:
            raise _not_a_key("its point is not an uncompressed one")
        return raw.raw[:_POINT]

    def pem(self) -> bytes:
        """Return the public key as SubjectPublicKeyInfo in PEM."""
        return _written(lambda bio: _lib().PEM_write_bio_PUBKEY(bio, self._handle))

    def encrypt(self, data: bytes) -> bytes:
        """Return ``data`` encrypted as an SM2Cipher (GM/T 0009) in DER: C1, C3, C2."""
        found = self._crypt("encrypt", data, len(data) + 128)
        if found is None:
            raise External("OpenSSL could not encrypt with this SM2 key")
        return found

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Tell whether ``signature`` (r and s in DER) is this key's on ``data``, with SM3 and the usual user id."""
        with self._digesting("Verify") as context:
            return bool(_lib().EVP_DigestVerify(context, signature, len(signature), data, len(data)) == 1)

    @contextlib.contextmanager
    def _digesting(self, verb: str) -> Iterator[int]:
        lib = _lib()
        keyed, context = lib.EVP_PKEY_CTX_new_from_pkey(None, self._handle, None), lib.EVP_MD_CTX_new()
        try:
            # The user id goes into what is signed (GB/T 32918.2, Z_A), so it has to be known before the first byte.
            lib.EVP_PKEY_CTX_set1_id(keyed, USER_ID, len(USER_ID))
            lib.EVP_MD_CTX_set_pkey_ctx(context, keyed)
            if getattr(lib, f"EVP_Digest{verb}Init")(context, None, lib.EVP_sm3(), None, self._handle) != 1:
                raise External("OpenSSL could not use this SM2 key for signatures")
            yield context
        finally:
            lib.EVP_MD_CTX_free(context)
            lib.EVP_PKEY_CTX_free(keyed)
            lib.ERR_clear_error()

    def _crypt(self, verb: str, data: bytes, room: int) -> bytes | None:
        lib = _lib()
        context = lib.EVP_PKEY_CTX_new_from_pkey(None, self._handle, None)
        try:
            out, size = ctypes.create_string_buffer(room), _size(room)
            ready = getattr(lib, f"EVP_PKEY_{verb}_init")(context) == 1
            call = getattr(lib, f"EVP_PKEY_{verb}")
            if not ready or call(context, out, ctypes.byref(size), data, len(data)) != 1:
                lib.ERR_clear_error()
                return None
            return out.raw[: size.value]
        finally:
            lib.EVP_PKEY_CTX_free(context)

    def _check(self, kind: str) -> None:
        """Refuse what is not SM2, not a point of the curve, or a pair that does not belong together."""
        lib = _lib()
        if lib.EVP_PKEY_is_a(self._handle, b"SM2") != 1:
            raise _not_a_key("it is of another algorithm")
        context = lib.EVP_PKEY_CTX_new_from_pkey(None, self._handle, None)
        sound = getattr(lib, f"EVP_PKEY_{kind}_check")(context) == 1
        lib.EVP_PKEY_CTX_free(context)
        lib.ERR_clear_error()
        if not sound or not self.point:
            raise _not_a_key("it is not a point of the curve, or its halves do not belong together")


class PrivateKey(PublicKey):
    """An SM2 private key: something that can open."""

    def decrypt(self, cipher: bytes) -> bytes | None:
        """Return what was encrypted, None when it is damaged or not for this key (C3 is a digest over it)."""
        return self._crypt("decrypt", cipher, len(cipher) + 128)

    def sign(self, data: bytes) -> bytes:
        """Return a signature on ``data``, r and s in DER, with SM3 and the standard's user id."""
        with self._digesting("Sign") as context:
            out, size = ctypes.create_string_buffer(128), _size(128)
            if _lib().EVP_DigestSign(context, out, ctypes.byref(size), data, len(data)) != 1:
                raise External("OpenSSL could not sign with this SM2 key")
            return out.raw[: size.value]

    def private_pem(self, passphrase: bytes = b"") -> bytes:
        """Return the private key as PKCS#8 in PEM; with a passphrase under scrypt and SM4-CBC."""
        lib = _lib()
        if not passphrase:
            return _written(lambda bio: lib.PEM_write_bio_PKCS8PrivateKey(bio, self._handle, None, None, 0, None, None))
        salt, iv = secrets.token_bytes(16), secrets.token_bytes(16)
        how = lib.PKCS5_pbe2_set_scrypt(lib.EVP_sm4_cbc(), salt, len(salt), iv, 1 << _LOG_N, _R, _P)
        info = lib.EVP_PKEY2PKCS8(self._handle)
        sealed = lib.PKCS8_set0_pbe(passphrase, len(passphrase), info, how)  # takes `how` over
        lib.PKCS8_PRIV_KEY_INFO_free(info)
        if not sealed:
            raise External("OpenSSL could not protect the key by a passphrase")
        try:
            return _written(lambda bio: lib.PEM_write_bio_PKCS8(bio, sealed))
        finally:
            lib.X509_SIG_free(sealed)


def generate() -> PrivateKey:
    """Return a new SM2 key."""
    handle = _lib().EVP_PKEY_Q_keygen(None, None, b"SM2")
    if not handle:
        _lib().ERR_clear_error()
        raise Missing("this OpenSSL has no SM2", hint="a library with it: apt-get install libssl3")
    return PrivateKey(handle)


def public_key(pem: bytes) -> PublicKey:
    """Read a public key; BadInput for anything but a sound SM2 public key in PEM."""
    key = PublicKey(_read("PEM_read_bio_PUBKEY", pem, None))
    key._check("public")
    return key


def private_key(pem: bytes, passphrase: bytes = b"") -> PrivateKey:
    """Read a private key; BadInput for anything but a sound SM2 private key in PEM, and for a wrong passphrase."""
    if b"ENCRYPTED" in pem and not passphrase:
        raise BadInput("the private key is under a passphrase", hint="give --identity-passphrase-file")
    # OpenSSL asks on the terminal when it has no passphrase, so it is always given one, if an empty one.
    key = PrivateKey(_read("PEM_read_bio_PrivateKey", pem, passphrase))
    key._check("pairwise")
    return key


def _read(call: str, pem: bytes, passphrase: bytes | None) -> int:
    lib = _lib()
    if len(pem) > MAX_PEM:
        raise _not_a_key("it is too long")
    bio = lib.BIO_new_mem_buf(pem, len(pem))
    handle: int | None = getattr(lib, call)(bio, None, None, passphrase)
    lib.BIO_free(bio)
    lib.ERR_clear_error()
    if not handle:
        if passphrase:
            raise BadInput("cannot read the private key: the passphrase is wrong, or it is not a key")
        raise _not_a_key("it is not PEM of the right kind")
    return handle


def _written(write: Callable[[int], int]) -> bytes:
    lib = _lib()
    bio = lib.BIO_new(lib.BIO_s_mem())
    try:
        out = ctypes.create_string_buffer(MAX_PEM)
        if write(bio) != 1 or (size := lib.BIO_read(bio, out, MAX_PEM)) <= 0:
            lib.ERR_clear_error()
            raise External("OpenSSL could not write the key")
        return out.raw[:size]
    finally:
        lib.BIO_free(bio)


def _not_a_key(why: str) -> BadInput:
    return BadInput(f"not an SM2 key: {why}", hint="dualtrack keys new makes one")
