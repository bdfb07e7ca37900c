"""Directories as tar streams: the same one always gives the same bytes, and nothing but such a directory is restored.

What is restored is checked against what is written (`archive`): plain files, directories and symbolic links that stay
inside, each once, in one order. Names are looked up from the top directory's descriptor, so that depth costs neither
stack nor long paths. A link is never followed, and made when all else is there.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dualtrack.core.errors import BadInput, External
from dualtrack.security.seal import archive
from dualtrack.security.seal.archive import Archive, Kind, Member
from dualtrack.security.seal.links import Links

_BLOCK = tarfile.BLOCKSIZE
_RECORD = tarfile.RECORDSIZE
_PIECE = 256 * 1024
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Entry = tuple[str, os.stat_result]  # a path inside the directory, and what is there


class TarStream:
    """The tar stream of a directory, for whoever reads into buffers. BadInput where it holds what cannot be sealed."""

    def __init__(self, root: Path) -> None:
        _check(root)
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
    """Return roughly how many bytes the tar stream of a directory has, for a progress line."""
    with _top(root) as top:
        return sum(_BLOCK + info.st_size for _, info in _walk(root, top))


def _check(root: Path) -> None:
    """Refuse a directory that could not be restored, before anything is written."""
    links = Links()
    with _top(root) as top:
        for name, info in _walk(root, top):
            if stat.S_ISLNK(info.st_mode):
                links.add(os.fsencode(name), os.fsencode(_target(root, top, name)))
            elif not (stat.S_ISDIR(info.st_mode) or stat.S_ISREG(info.st_mode)):
                raise BadInput(
                    f"{_shown(root, name)} is not a file, directory or link", hint="devices, pipes and sockets"
                    " cannot be sealed",
                )  # fmt: skip
            if abs(_time(info)) > archive.MAX_TIME:
                raise BadInput(f"{_shown(root, name)} has a time thousands of years away", hint="touch it")
    if (astray := links.astray()) is not None:
        name, why = os.fsdecode(astray[0]), astray[1]
        raise BadInput(f"{_shown(root, name)} is a link that {why}", hint="it could not be restored; remove it")


def _tar(root: Path) -> Iterator[bytes]:
    written = 0
    with _top(root) as top:
        for name, info in _walk(root, top):
            for piece in _member(root, top, name, info):
                written += len(piece)
                yield piece
    end = 2 * _BLOCK
    yield bytes(end + -(written + end) % _RECORD)


@contextmanager
def _top(root: Path) -> Iterator[int]:
    try:
        top = os.open(root, _LIST & ~os.O_NOFOLLOW)
    except OSError as error:
        raise BadInput(f"cannot read {root}: {error.strerror}") from None
    try:
        yield top
    finally:
        os.close(top)


def _walk(root: Path, top: int) -> Iterator[Entry]:
    """Yield all that is in a directory, by name, each directory before what is in it."""
    levels = [iter(_entries(root, top, ""))]
    while levels:
        found = next(levels[-1], None)
        if found is None:
            levels.pop()
            continue
        name, info = found
        if not archive.acceptable(os.fsencode(name)):
            raise BadInput(
                f"{_shown(root, name)} is deeper down than {archive.MAX_NAME} bytes of names reach",
                hint="seal what is in it separately",
            )
        yield name, info
        if stat.S_ISDIR(info.st_mode):
            levels.append(iter(_entries(root, top, name)))


def _entries(root: Path, top: int, inside: str) -> list[Entry]:
    try:
        directory = os.open(inside or ".", _LIST, dir_fd=top)
        try:
            with os.scandir(directory) as entries:
                found = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
        finally:
            os.close(directory)
    except OSError as error:
        raise BadInput(f"cannot read {_shown(root, inside)}: {error.strerror}") from None
    found.sort(key=lambda entry: os.fsencode(entry[0]))
    return [(f"{inside}/{name}" if inside else name, info) for name, info in found]


def _member(root: Path, top: int, name: str, info: os.stat_result) -> Iterator[bytes]:
    """Yield a member's tar header and content. Owners are left out: they mean nothing on another machine."""
    made = tarfile.TarInfo(name)
    made.mode, made.mtime = stat.S_IMODE(info.st_mode) & 0o777, _time(info)
    if stat.S_ISDIR(info.st_mode):
        made.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(info.st_mode):
        made.type, made.linkname = tarfile.SYMTYPE, _target(root, top, name)
    elif stat.S_ISREG(info.st_mode):
        made.size = info.st_size
    else:
        raise _changed(root, name)
    yield made.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    if made.isreg():
        yield from _content(root, top, name, made.size)


def _content(root: Path, top: int, name: str, size: int) -> Iterator[bytes]:
    left = size
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=top)
        with os.fdopen(file, "rb", buffering=0) as content:
            while left and (piece := content.read(min(left, _PIECE))):
                left -= len(piece)
                yield piece
    except OSError as error:
        raise External(f"cannot read {_shown(root, name)}: {error.strerror}") from error
    if left:
        raise External(
            f"{_shown(root, name)} became shorter while it was sealed", hint="seal it again when it is at rest"
        )
    yield bytes(-size % _BLOCK)


def _target(root: Path, top: int, name: str) -> str:
    try:
        return os.readlink(name, dir_fd=top)
    except OSError:
        raise _changed(root, name) from None


def _time(info: os.stat_result) -> int:
    return info.st_mtime_ns // 1_000_000_000


def _changed(root: Path, name: str) -> External:
    return External(f"{_shown(root, name)} changed while it was sealed", hint="seal it again when it is at rest")


def _shown(root: Path, name: str) -> str:
    """Return a path for a message of one line, the middle of a long one left out."""
    path = str(root / name)
    path = path if len(path) <= 300 else f"{path[:150]}...{path[-100:]}"
    return path if path.isprintable() else repr(path)


def restore(pieces: Iterator[memoryview], root: Path) -> int:
    """Make what a verified tar stream holds under ``root``, an empty directory; return how many members there were.

    Damaged for a stream that `seal` would not have written. The caller throws the directory away when this raises.
    """
    found = Archive(pieces)
    later: list[Member] = []  # links, made when nothing can be written through them; and times and modes of directories
    count = 0
    with _top(root) as top:
        for member in found.members():
            _make(found, member, top, later)
            count += 1
        for member in later:
            if member.kind is Kind.LINK:
                with _once(member):
                    os.symlink(member.target, member.name, dir_fd=top)
                os.utime(member.name, (member.mtime, member.mtime), dir_fd=top, follow_symlinks=False)
        for member in reversed(later):  # each after what is in it, since one without `w` could not be filled
            if member.kind is Kind.DIRECTORY:
                os.utime(member.name, (member.mtime, member.mtime), dir_fd=top)
                os.chmod(member.name, member.mode, dir_fd=top)
    return count


def _make(found: Archive, member: Member, top: int, later: list[Member]) -> None:
    if member.kind is not Kind.FILE:
        later.append(member)
        if member.kind is Kind.DIRECTORY:
            with _once(member):
                os.mkdir(member.name, 0o700, dir_fd=top)
        return
    with _once(member):
        file = os.open(
            member.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=top
        )
    with os.fdopen(file, "wb", buffering=0) as out:
        for piece in found.content():
            out.write(piece)
        os.utime(file, (member.mtime, member.mtime))
        os.fchmod(file, member.mode)


@contextmanager
def _once(member: Member) -> Iterator[None]:
    """Tell a name that this file system takes for another one that is there, as where it ignores case."""
    try:
        yield
    except FileExistsError:
        raise archive.alien(f"a name that comes twice here: {archive.shown(member.name)}") from None
