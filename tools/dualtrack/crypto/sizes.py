"""Sizes in bytes that the algorithms have, or that everything here agrees on."""

from __future__ import annotations

#: The authentication tag of SM4-GCM.
TAG = 16
#: The nonce's part that is derived with a data key.
PREFIX = 7
#: What names a public key: so many first bytes of its SM3 digest.
KEY_ID = 16
