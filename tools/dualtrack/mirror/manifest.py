"""The mirror's manifest: every file with its size and SHA-256, in one text that the mirror's key signs (pure).

A line a file, sorted by path: `sha256  size  path`. Plain text, so that a site can look without our tools:
`gpg --decrypt MANIFEST.asc`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import msgspec

from dualtrack.errors import BadInput

NAME = "MANIFEST.asc"
HEAD = "dualtrack mirror 1"


class File(msgspec.Struct, frozen=True):
    """One file: bytes, and SHA-256 in hexadecimal digits."""

    size: int
    sha256: str


class Fetched(msgspec.Struct, frozen=True):
    """A file that a part of the mirror brought: its place, and the digests of which it must have one (none: any)."""

    path: Path
    allowed: frozenset[str] = frozenset()


def encode(files: Mapping[str, File], when: datetime) -> str:
    """Return the text that is signed."""
    lines = [HEAD, f"made {when.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"]
    return "\n".join(lines + [f"{it.sha256}  {it.size}  {path}" for path, it in sorted(files.items())]) + "\n"


def decode(text: str) -> dict[str, File]:
    """Return the files by path. BadInput for another text, and for a path that leads out of the mirror."""
    lines = text.splitlines()
    if lines[:1] != [HEAD]:
        raise BadInput(f"{NAME} is none of a version that this program knows", hint=f"its first line must be: {HEAD}")
    files = {}
    for number, line in enumerate(lines[2:], start=3):
        digest, _, rest = line.partition("  ")
        length, _, path = rest.partition("  ")
        parts = PurePosixPath(path).parts
        if len(digest) != 64 or not length.isdecimal() or not parts or parts[0] == "/" or ".." in parts:
            raise BadInput(f"{NAME}, line {number} is not understood: {line[:80]}")
        files[path] = File(int(length), digest)
    return files
