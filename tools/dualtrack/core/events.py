"""What child processes tell us on a pipe while they work: a JSON object a line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec


def events(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects in ``lines``, one a line; a torn last line (the child was killed) is left out."""
    for line in lines:
        with contextlib.suppress(msgspec.DecodeError):
            yield msgspec.json.decode(line, type=dict[str, Any])
