"""Which UTF-8 cannot be a text: UTF-16 and UTF-32 of Latin letters without a mark, and programs.

Between the letters of such a text are control characters, so no word is found in it.
"""

from __future__ import annotations

import re

#: Control characters that neither editors nor terminals write; of the first characters of a text, most that may be.
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
FIRST, SHARE = 100_000, 100


def many_controls(text: str) -> int | None:
    """Return where the first control character of a text is, where its beginning has many of them; or None."""
    first = text[:FIRST]
    found = [it.start() for it in _CONTROL.finditer(first)]
    return found[0] if len(found) > len(first) // SHARE else None


def not_text(data: bytes) -> int | None:
    """Return the byte at which UTF-8 is not text: its first NUL, or its first control character of many; or None."""
    if (place := data.find(b"\0")) >= 0:
        return place
    first = data[: 4 * FIRST].decode(errors="ignore")
    at = many_controls(first)
    return None if at is None else len(first[:at].encode())
