"""What operators' files and addresses may be, and must not: for all that reads them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

SECRET = "hunter2"
#: Some of the grammar of tests/unit/core/test_https.py: who uses `https.address` needs no more.
URLS = (
    "http://127.0.0.1:1", "https://[::1", "https://a..b", f"https://{'l' * 70}", f"https://{'h' * 300}", "https://h:0",
    f"https://u:{SECRET}@h", "https://h/?x=1", "https://h/#f", "https://h/ x", "https://h\0", "https://h\n", "https://h:1\n",
    "https:// h", "h", "",
)  # fmt: skip


def no_files(place: Path) -> Iterator[Path]:
    """Yield paths where there is no regular file, or none can be; made in an empty directory that this makes."""
    place.mkdir()
    os.mkfifo(place / "pipe")
    (place / "to-pipe").symlink_to("pipe")
    (place / "loop").symlink_to("loop")
    for name in ("pipe", "to-pipe", "loop", ".", "none", "a\0b", "x" * 300, "/dev/zero", "/dev/tty", "/dev/null"):
        yield place / name
