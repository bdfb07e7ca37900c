"""Is a mirror what it was when it was signed: by a key that came another way than the mirror itself."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec

from dualtrack.core.errors import BadInput
from dualtrack.data.mirror import manifest, signed
from dualtrack.data.mirror.manifest import File, Manifest

#: The key that lies in a mirror, for convenience: it is never trusted from there.
KEY_NAME = "dualtrack-mirror.asc"
#: Files that the manifest does not speak of: itself, and the key.
BESIDE = {manifest.NAME, KEY_NAME}


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found: ``problems`` is empty when every file is as it was signed."""

    files: int
    bytes: int
    until: str
    problems: tuple[str, ...]


def read(folder: Path, key: Path) -> Manifest:
    """Return the mirror's manifest, also one that has expired.

    BadInput for a directory or a key that is none, and for a manifest that is not signed by that key and nobody else.
    """
    if not (folder / manifest.NAME).is_file():
        raise BadInput(f"{folder} holds no mirror", hint="the directory that `dualtrack mirror build --dest` made")
    if not key.is_file():
        raise BadInput(f"there is no key {key}", hint="it must come another way than the mirror")
    return manifest.decode(signed.text(folder / manifest.NAME, key))


def listed(folder: Path, key: Path, accepted: date | None = None) -> Mapping[str, File]:
    """Return what the mirror lists; as `read`, and Refused where it has expired and was not ``accepted``."""
    found = read(folder, key)
    signed.hold(folder / manifest.NAME, found.dates, accepted)
    return found.files


def check(
    folder: Path, key: Path, tick: Callable[[int], object] = lambda _: None, *, accepted: date | None = None
) -> Checked:
    """Read a mirror whole and return what is not as it was signed; ``tick`` is told of the bytes read.

    That it has expired is a problem, too, unless that is ``accepted``.
    """
    found = read(folder, key)
    expired = signed.out_of_date(found.dates, datetime.now(UTC), accepted)
    problems = [f"{manifest.NAME} {expired}"] if expired else []
    problems += compare(folder, found.files, tick)
    total = sum(it.size for it in found.files.values())
    return Checked(files=len(found.files), bytes=total, until=f"{found.dates.until:%Y-%m-%d}", problems=tuple(problems))


def compare(folder: Path, files: Mapping[str, File], tick: Callable[[int], object]) -> Iterator[str]:
    """Yield a line for each file that is missing, other than it was, or not of the mirror."""
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        yield from filter(None, pool.map(lambda it: _wrong(folder, it[0], it[1], tick), files.items()))
    there = {str(it.relative_to(folder)) for it in folder.rglob("*") if it.is_symlink() or not it.is_dir()}
    for name in sorted(there - files.keys() - BESIDE):
        yield f"{name} was not signed: it does not belong here"


def _wrong(folder: Path, name: str, wanted: File, tick: Callable[[int], object]) -> str:
    path = folder / name
    if path.is_symlink() or not path.is_file():
        return f"{name} is missing" if not path.is_symlink() else f"{name} is a link, not the file that was signed"
    if path.stat().st_size != wanted.size:
        return f"{name} has {path.stat().st_size} bytes instead of {wanted.size}"
    try:
        found = sha256(path)
    except OSError as error:  # a medium with a bad sector
        return f"{name} cannot be read: {error.strerror}"
    tick(wanted.size)
    return "" if found == wanted.sha256 else f"{name} has other content than was signed"


def sha256(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
