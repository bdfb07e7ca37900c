"""The mirror's manifest: every file with its size and SHA-256, in one text that the mirror's key signs (pure).

Its version, when it was made and until when it is valid, then a line a file, sorted by path: `sha256  size  path`.
Plain text, so that a site can look before there is an environment: dualtrack.data.mirror.signed prints it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from pathlib import Path, PurePosixPath

import msgspec

from dualtrack.core.errors import BadInput
from dualtrack.data.mirror.signed import HEAD, Dates, dates

NAME = "MANIFEST.asc"
#: How long a manifest is valid, in days, unless the build says otherwise.
DAYS = 90
#: A path that a text signed in the clear can hold: its signature does not cover blanks at the end of a line.
_WRITABLE = re.compile(r"[^\x00-\x1f\x7f]*[^\x00-\x20\x7f]")


class File(msgspec.Struct, frozen=True):
    """One file: bytes, and SHA-256 in hexadecimal digits."""

    size: int
    sha256: str


class Fetched(msgspec.Struct, frozen=True):
    """A file that a part of the mirror brought: its place, and the digests of which it must have one (none: any)."""

    path: Path
    allowed: frozenset[str] = frozenset()


class Manifest(msgspec.Struct, frozen=True):
    """What is signed: dates, and files by path."""

    dates: Dates
    files: Mapping[str, File]


def encode(files: Mapping[str, File], known: Dates) -> str:
    """Return the text that is signed; BadInput for a path that cannot be written so that all of it is."""
    if strange := [path for path in files if not _WRITABLE.fullmatch(path)]:
        raise BadInput(f"{strange[0]!r} cannot be in a mirror", hint="a name without control characters, no blank last")
    moments = (("made", known.made), ("until", known.until))
    lines = [HEAD, *(f"{word} {it.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" for word, it in moments)]
    return "\n".join(lines + [f"{it.sha256}  {it.size}  {path}" for path, it in sorted(files.items())]) + "\n"


def decode(text: str) -> Manifest:
    """Return dates and files. BadInput for another text, and for a path that leads out of the mirror."""
    known, files = dates(text), {}
    for number, line in enumerate(text.removesuffix("\n").split("\n")[3:], start=4):
        digest, _, rest = line.partition("  ")
        length, _, path = rest.partition("  ")
        parts = PurePosixPath(path).parts
        if len(digest) != 64 or not length.isdecimal() or not parts or parts[0] == "/" or ".." in parts:
            raise BadInput(f"{NAME}, line {number} is not understood: {line[:80]}")
        files[path] = File(int(length), digest)
    return Manifest(known, files)
