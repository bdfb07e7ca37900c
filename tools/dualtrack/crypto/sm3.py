"""SM3 by Python's own hashlib, for what runs on hosts too: they have no package beside Python's."""

from __future__ import annotations

import hashlib


def sm3(data: bytes) -> bytes:
    """Return the SM3 digest."""
    return hashlib.new("sm3", data).digest()
