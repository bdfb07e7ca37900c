"""Folders as tar streams: the same folder always gives the same bytes, and nothing but such a folder is restored.

Python's own `data` filter for tar files is missing in Debian 12's Python 3.11.2, and it allows more than `seal` ever
writes. So what is restored is checked against what is written: plain files, folders and symbolic links that stay
inside, each once, each in a folder that came before it. A link is never followed.
"""

from __future__ import annotations

import os
import posixpath
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

from dualtrack.errors import BadInput, External
from dualtrack.seal.errors import Damaged, Reason

_BLOCK = tarfile.BLOCKSIZE
_RECORD = tarfile.RECORDSIZE
_PIECE = 256 * 1024
_MAX_EXTENDED = 64 * 1024  # bytes of a member's extended header: long and non-ASCII names
_RECORDS = {"path", "linkpath", "size", "mtime", "hdrcharset"}


class TarStream:
    """The tar stream of a folder, for whoever reads into buffers."""

    def __init__(self, root: Path) -> None:
        self._pieces = _tar(root)
        self._rest = memoryview(b"")

    def read(self, view: memoryview) -> int:
        """Put the next bytes into ``view``; return how many, 0 at the end."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        size = min(len(view), len(self._rest))
        view[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def size(root: Path) -> int:
    """Return roughly how many bytes the tar stream of a folder has, for a progress line."""
    return sum(_BLOCK + info.st_size for _, _, info in _walk(root, ""))


def _tar(root: Path) -> Iterator[bytes]:
    written = 0
    for path, name, info in _walk(root, ""):
        for piece in _member(path, name, info):
            written += len(piece)
            yield piece
    end = 2 * _BLOCK
    yield bytes(end + -(written + end) % _RECORD)


def _walk(folder: Path, inside: str) -> Iterator[tuple[Path, str, os.stat_result]]:
    """Yield all that is in a folder, by name, each folder before what is in it."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        raise BadInput(f"cannot read {folder}: {error.strerror}") from None
    for entry in entries:
        name = f"{inside}{entry.name}"
        info = entry.stat(follow_symlinks=False)
        yield Path(entry.path), name, info
        if stat.S_ISDIR(info.st_mode):
            yield from _walk(Path(entry.path), f"{name}/")


def _member(path: Path, name: str, info: os.stat_result) -> Iterator[bytes]:
    """Yield a member's tar header and content. Owners are left out: they mean nothing on another machine."""
    made = tarfile.TarInfo(name)
    made.mode, made.mtime = stat.S_IMODE(info.st_mode) & 0o777, int(info.st_mtime)
    if stat.S_ISDIR(info.st_mode):
        made.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(info.st_mode):
        made.type, made.linkname = tarfile.SYMTYPE, str(path.readlink())
        if not stays_inside(name, made.linkname):
            raise BadInput(f"{path} is a link to outside the folder", hint="it could not be restored; remove it")
    elif stat.S_ISREG(info.st_mode):
        made.size = info.st_size
    else:
        raise BadInput(f"{path} is no file, folder or link", hint="devices, pipes and sockets cannot be sealed")
    yield made.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    if made.isreg():
        yield from _content(path, made.size)


def _content(path: Path, size: int) -> Iterator[bytes]:
    left = size
    try:
        with path.open("rb", buffering=0) as file:
            while left and (piece := file.read(min(left, _PIECE))):
                left -= len(piece)
                yield piece
    except OSError as error:
        raise External(f"cannot read {path}: {error.strerror}") from error
    if left:
        raise External(f"{path} became shorter while it was sealed", hint="seal it again when it is at rest")
    yield bytes(-size % _BLOCK)


def stays_inside(name: str, link: str) -> bool:
    """Say whether the link ``name`` -> ``link`` points into the folder that it is in, by the names alone."""
    if not link or link.startswith("/"):
        return False
    reached = posixpath.normpath(posixpath.join(posixpath.dirname(name), link))
    return reached != ".." and not reached.startswith("../")


class _Bytes:
    """Verified pieces, to be read by count."""

    def __init__(self, pieces: Iterator[memoryview]) -> None:
        self._pieces = pieces
        self._rest = b""

    def upto(self, size: int) -> bytes:
        """Return the next bytes, ``size`` of them at most; none at the end."""
        if not self._rest:
            # Copied, because the buffer behind a piece goes back to work when the next is asked for.
            self._rest = bytes(next(self._pieces, b""))
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def exactly(self, size: int) -> bytes:
        """Return ``size`` bytes; Damaged where there are fewer."""
        parts = bytearray()
        while len(parts) < size:
            part = self.upto(size - len(parts))
            if not part:
                raise _alien("it ends too early")
            parts += part
        return bytes(parts)


def restore(pieces: Iterator[memoryview], root: Path) -> int:
    """Make what a verified tar stream holds under ``root``, an empty folder; return how many members there were.

    Damaged for a stream that `seal` would not have written. The caller throws the folder away when this raises.
    """
    stream = _Bytes(pieces)
    folders = {""}
    made: list[tuple[Path, int, int]] = []
    count = 0
    while (member := _next_member(stream)) is not None:
        _make(stream, member, root, folders, made)
        count += 1
    while rest := stream.upto(_PIECE):  # to the very end: only there does a cut stream show
        if rest.strip(b"\0"):
            raise _alien("something follows its end")
    for path, mode, mtime in reversed(made):  # last, since a folder without `w` could not be filled
        path.chmod(mode)
        os.utime(path, (mtime, mtime))
    return count


def _next_member(stream: _Bytes) -> tarfile.TarInfo | None:
    """Return the next member, its extended header applied; None at the end of the archive."""
    extended: dict[str, str] = {}
    while (block := stream.exactly(_BLOCK)).strip(b"\0"):
        try:
            member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            if member.type == tarfile.XHDTYPE and not extended and 0 < member.size <= _MAX_EXTENDED:
                extended = _records(stream.exactly(member.size + -member.size % _BLOCK)[: member.size])
                continue
            member.name = extended.get("path", member.name).removesuffix("/" if member.isdir() else "")
            member.linkname = extended.get("linkpath", member.linkname)
            member.size = int(extended.get("size", member.size))
            member.mtime = int(extended.get("mtime", member.mtime))
        except (tarfile.HeaderError, ValueError):
            raise _alien("a header that cannot be read") from None
        return member
    if extended:
        raise _alien("it ends too early")
    return None


def _records(data: bytes) -> dict[str, str]:
    """Return the records of an extended header (`LENGTH KEY=VALUE` and a line's end); ValueError for any other."""
    found = {}
    while data:
        size = int(data[: data.index(b" ")])
        record = data[:size]
        key, _, value = record[record.index(b" ") + 1 : -1].partition(b"=")
        if key.decode() not in _RECORDS or record[-1:] != b"\n" or len(record) != size:
            raise ValueError(key)
        found[key.decode()] = value.decode("utf-8", "surrogateescape")
        data = data[size:]
    return found


def _make(
    stream: _Bytes,
    member: tarfile.TarInfo,
    root: Path,
    folders: set[str],
    made: list[tuple[Path, int, int]],
) -> None:
    """Make one member; its name must be new, and its folder one that this stream has made."""
    parts = member.name.split("/")
    if any(part in {"", ".", ".."} or "\0" in part for part in parts) or "/".join(parts[:-1]) not in folders:
        raise _alien(f"a name that leads elsewhere: {member.name!r}")
    path = root / member.name
    try:
        if member.type == tarfile.DIRTYPE:
            path.mkdir(mode=0o700)
            folders.add(member.name)
        elif member.type == tarfile.SYMTYPE and stays_inside(member.name, member.linkname):
            path.symlink_to(member.linkname)
            return
        elif member.type == tarfile.REGTYPE and member.size >= 0:
            _fill(stream, path, member.size)
        else:
            raise _alien(f"no file, folder or inner link: {member.name!r}")
    except FileExistsError:
        raise _alien(f"a name that comes twice: {member.name!r}") from None
    made.append((path, member.mode & 0o777, int(member.mtime)))


def _fill(stream: _Bytes, path: Path, size: int) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    left = size
    with os.fdopen(file, "wb", buffering=0) as out:
        while left:
            part = stream.upto(min(left, _PIECE))
            if not part:
                raise _alien("it ends too early")
            out.write(part)
            left -= len(part)
    stream.exactly(-size % _BLOCK)


def _alien(why: str) -> Damaged:
    return Damaged(Reason.ARCHIVE, f"what was sealed is no folder as dualtrack seals it: {why}")
