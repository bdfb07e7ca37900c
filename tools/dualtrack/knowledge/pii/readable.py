"""Which UTF-8 cannot be a text: UTF-16 and UTF-32 of Latin letters without a mark, and programs.

Between the letters of such a text are control characters, so no word is found in it.
"""

from __future__ import annotations

import re

#: Control characters that neither editors nor terminals write; of the first characters of a text, most that may be.
CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
FIRST, SHARE = 100_000, 100


def not_text(data: bytes) -> int | None:
    """Return the byte at which UTF-8 is not text: its first NUL, or its first control character of many; or None."""
    if (place := data.find(b"\0")) >= 0:
        return place
    first = data[: 4 * FIRST].decode(errors="ignore")[:FIRST]
    found = [it.start() for it in CONTROL.finditer(first.encode())]
    return found[0] if len(found) > len(first) // SHARE else None
