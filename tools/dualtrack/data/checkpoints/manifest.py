"""What belongs to a version of a checkpoint: its files, their sizes and digests. Pure.

A manifest is written last, and never again: with it the version is there, without it there is nothing to pull. Plain
objects have none; for them a manifest is made from what the bucket lists, with the objects' ETags and no digests.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import BinaryIO, Literal

import msgspec

from dualtrack.core.errors import BadInput

#: Bytes of a part: what is fetched by one request, checked as one, and lost at most when a pull is killed.
PART = 32 << 20
#: Bytes that are read at once.
BLOCK = 1 << 20
DIGEST = re.compile(r"[0-9a-f]{64}")
#: More than this is not a manifest: 140 GB in parts of 32 MiB have half a megabyte.
MOST_BYTES = 64 << 20


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One file. ``parts`` holds the SHA-256 of each part, nothing where nobody knows them; ``etag`` pins the object."""

    path: str
    size: int
    parts: tuple[str, ...] = ()
    etag: str = ""
    version_id: str = ""


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The files of a version; ``part`` is the size of every part but a file's last, in bytes.

    ``pushed`` is the time that older programs wrote.
    """

    schema: Literal["dualtrack.checkpoint/1"]
    part: int
    files: tuple[File, ...]
    pushed: str = ""

    @property
    def size(self) -> int:
        """Return the bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def digest(self) -> str:
        """Return what two versions with the same content have in common, whenever they were pushed."""
        same = [(file.path, file.size, file.parts, file.etag, file.version_id) for file in self.files]
        return hashlib.sha256(msgspec.json.encode((self.part, same))).hexdigest()


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a file: ``begin`` to ``begin + size``; ``sha256`` is '' where it is not known."""

    file: int
    index: int
    begin: int
    size: int
    sha256: str


def parts(of: Manifest) -> Iterator[Part]:
    """Yield the parts of all files in order; an empty file has none."""
    for number, file in enumerate(of.files):
        for index, begin in enumerate(range(0, file.size, of.part)):
            known = file.parts[index] if file.parts else ""
            yield Part(file=number, index=index, begin=begin, size=min(of.part, file.size - begin), sha256=known)


def decode(data: bytes, origin: str, *, pushed: bool = False) -> Manifest:
    """Return the manifest in ``data``, or BadInput: paths stay inside the directory, digests fit the sizes.

    ``pushed``: it is the manifest of a version, which has the digest of every part: what had none would be anything.
    """
    try:
        found = msgspec.json.decode(data, type=Manifest)
    except msgspec.MsgspecError as error:
        raise BadInput(f"{origin} is not a manifest of a checkpoint: {error}") from None
    wrong = problem(found) or (next(_unproven(found), "") if pushed else "")
    if wrong:
        raise BadInput(f"{origin} is not in order: {wrong}")
    return found


def problem(of: Manifest) -> str:
    """Return what is wrong with a manifest whose fields have their types; '' where nothing is."""
    return next(_wrong(of), "")


def encode(of: Manifest) -> bytes:
    """Return a manifest as it is stored."""
    return msgspec.json.encode(of)


def _wrong(of: Manifest) -> Iterator[str]:
    if not 1 << 10 <= of.part <= 1 << 30:
        yield f"parts of {of.part} bytes"
    if not of.files:
        yield "it names no files"
    seen: set[str] = set()
    for file in of.files:
        if not safe(file.path):
            yield f"{file.path!r} is not a name of a file in a directory"
        if file.path in seen:
            yield f"{file.path} is named twice"
        seen.add(file.path)
        if file.size < 0:
            yield f"{file.path} has {file.size} bytes"
        if file.parts and len(file.parts) != -(-file.size // of.part):
            yield f"{file.path} has {len(file.parts)} digests for {file.size} bytes"
        if not all(DIGEST.fullmatch(digest) for digest in file.parts):
            yield f"{file.path} has a digest that is none"
    for path in seen:
        folders = path.split("/")[:-1]
        if any("/".join(folders[: end + 1]) in seen for end in range(len(folders))):
            yield f"{path} lies in a directory that is a file"


def _unproven(of: Manifest) -> Iterator[str]:
    for file in of.files:
        if file.size and not file.parts:
            yield f"{file.path} has no digests"


def agree(wanted: Manifest, there: Manifest) -> bool:
    """Return whether what is there is what is wanted; where digests are wanted they are the same, all 256 bits."""

    def same(one: File, other: File) -> bool:
        pins = (one.path, one.size, one.etag, one.version_id) == (other.path, other.size, other.etag, other.version_id)
        return pins and one.parts in ((), other.parts)

    alike = (wanted.part, len(wanted.files)) == (there.part, len(there.files))
    return alike and all(map(same, wanted.files, there.files))


def safe(path: str) -> bool:
    """Return whether a path names a file below a directory, whatever the directory is."""
    words = path.split("/")
    return (
        path.isprintable()  # so it is UTF-8, too
        and 0 < len(path.encode()) <= 1024
        and all(word not in ("", ".", "..") and len(word.encode()) <= 255 for word in words)
        and "\0" not in path
        and "\\" not in path
    )


def hash_parts(file: BinaryIO, size: int, part: int) -> Iterator[str]:
    """Yield the digest of each part of an open file that has ``size`` bytes."""
    buffer = memoryview(bytearray(min(BLOCK, part)))
    for begin in range(0, size, part):
        left, digest = min(part, size - begin), hashlib.sha256()
        while left:
            count = file.readinto(buffer[: min(left, len(buffer))])  # type: ignore[attr-defined]
            if not count:
                return  # the file is shorter than it was
            digest.update(buffer[:count])
            left -= count
        yield digest.hexdigest()
