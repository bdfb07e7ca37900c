"""SM4-GCM by libgcrypt, whose SM4 is five times as fast as OpenSSL's. The only module that calls it.

ctypes lets go of Python's lock during each call, so several threads really work side by side. Every thread has a
handle of its own: a handle holds the state of the chunk in work.
"""

from __future__ import annotations

import ctypes
import functools
import threading

from dualtrack.core.errors import External
from dualtrack.crypto.sizes import TAG

_SM4, _GCM = 318, 9  # GCRY_CIPHER_SM4, GCRY_CIPHER_MODE_GCM of gcrypt.h
_DISABLE_SECMEM, _INITIALIZATION_FINISHED, _ANY_INITIALIZATION = 37, 38, 40  # GCRYCTL_*
_CHECKSUM = 10  # GPG_ERR_CHECKSUM, in the low 16 bits
_SIZES = {
    "gcry_cipher_open": (ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_uint),
    "gcry_cipher_setkey": (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t),
    "gcry_cipher_setiv": (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t),
    "gcry_cipher_encrypt": (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t),
    "gcry_cipher_decrypt": (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t),
    "gcry_cipher_gettag": (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t),
    "gcry_cipher_checktag": (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t),
    "gcry_cipher_close": (ctypes.c_void_p,),
}


class Unavailable(Exception):
    """No libgcrypt here, or one without SM4 (before 1.9, or in FIPS mode)."""


@functools.cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libgcrypt.so.20")
    except OSError as error:
        raise Unavailable(str(error)) from None
    for name, arguments in _SIZES.items():
        getattr(library, name).argtypes = arguments
    library.gcry_check_version.restype = ctypes.c_char_p
    library.gcry_check_version(None)  # initialises the library
    if not library.gcry_control(_ANY_INITIALIZATION):
        library.gcry_control(_DISABLE_SECMEM, 0)  # locked memory is scarce, and our keys are in Python's memory anyway
        library.gcry_control(_INITIALIZATION_FINISHED, 0)
    return library


class Gcm:
    """SM4-GCM under one key, in place, for any number of threads; Unavailable where libgcrypt cannot do it."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._mine = threading.local()
        self._all: list[ctypes.c_void_p] = []
        self._mine.handle = self._open()

    def _open(self) -> ctypes.c_void_p:
        handle = ctypes.c_void_p()
        if _library().gcry_cipher_open(ctypes.byref(handle), _SM4, _GCM, 0):
            raise Unavailable("this libgcrypt has no SM4-GCM")
        _done(_library().gcry_cipher_setkey(handle, self._key, len(self._key)))
        self._all.append(handle)
        return handle

    def _handle(self, nonce: bytes) -> ctypes.c_void_p:
        handle: ctypes.c_void_p | None = getattr(self._mine, "handle", None)
        if handle is None:
            handle = self._mine.handle = self._open()
        _done(_library().gcry_cipher_setiv(handle, nonce, len(nonce)))
        return handle

    def seal(self, nonce: bytes, data: bytearray, size: int) -> None:
        """Encrypt the first ``size`` bytes of ``data`` in place and put the tag behind them."""
        handle, at = self._handle(nonce), _address(data, size)
        _done(_library().gcry_cipher_encrypt(handle, at, size, None, 0))
        _done(_library().gcry_cipher_gettag(handle, at + size, TAG))

    def open(self, nonce: bytes, data: bytearray, size: int) -> bool:
        """Decrypt the first ``size`` bytes in place; False, and ``data`` as it was, when the tag behind them is wrong.

        The library decrypts before it can check, so what failed the check is encrypted again before anyone sees it.
        """
        handle, at = self._handle(nonce), _address(data, size)
        tag = bytes(data[size : size + TAG])
        _done(_library().gcry_cipher_decrypt(handle, at, size, None, 0))
        error = _library().gcry_cipher_checktag(handle, tag, TAG)
        if error & 0xFFFF == _CHECKSUM:
            self.seal(nonce, data, size)
            data[size : size + TAG] = tag
            return False
        _done(error)
        return True

    def close(self) -> None:
        """Wipe the keys that the handles hold."""
        while self._all:
            _library().gcry_cipher_close(self._all.pop())


def _address(data: bytearray, size: int) -> int:
    if len(data) < size + TAG:
        raise ValueError("no room for the tag")
    return ctypes.addressof(ctypes.c_char.from_buffer(data))


def _done(error: int) -> None:
    if error:
        raise External(f"libgcrypt failed with error {error & 0xFFFF}")
