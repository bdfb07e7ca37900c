"""Files and directories that are made beside their place and renamed into it, by handles of the directory.

Another account that can write a directory can put links in the place of what root makes there, at any moment. So a
directory is opened once; everything in it is then created, changed, renamed and removed by that handle, and no link in
it is followed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from dualtrack.core.errors import Refused

#: To create and to rename in a directory takes no right to list it.
SEARCH = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def opened(directory: Path) -> Iterator[int]:
    """Open a directory, and close it after the block."""
    handle = os.open(directory, SEARCH)
    try:
        yield handle
    finally:
        os.close(handle)


@contextlib.contextmanager
def made(directory: Path) -> Iterator[int]:
    """Open a directory, after making it and those above it that are missing, and close it after the block.

    Each is made and opened by the handle of the one above. No link in the place of one that was missing is followed.
    """
    directory = directory.absolute()
    above = next(it for it in (directory, *directory.parents) if it.exists())
    handle = os.open(above, SEARCH)
    try:
        for name in directory.relative_to(above).parts:
            with contextlib.suppress(FileExistsError):  # somebody has made it meanwhile
                os.mkdir(name, dir_fd=handle)
            below = os.open(name, SEARCH | os.O_NOFOLLOW, dir_fd=handle)
            os.close(handle)
            handle = below
        yield handle
    finally:
        os.close(handle)


def close_to_others(directory: Path) -> None:
    """Let only us enter a directory of ours; a link in its place, or a directory of another account, stays as it is."""
    if directory.is_symlink():
        return
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(handle).st_uid == os.geteuid():
            os.fchmod(handle, 0o700)
    finally:
        os.close(handle)


def check_way(path: Path) -> None:
    """Refuse a path on which another account can rename a directory: what is made there by name could be led elsewhere.

    Of the directories above that exist, each belongs to root, to us, or to the account that became us by sudo. Others
    may not write there, unless it has the sticky bit, which leaves each name to its owner.
    """
    trusted = {0, os.geteuid()}
    if os.geteuid() == 0 and os.environ.get("SUDO_UID", "").isdecimal():
        trusted.add(int(os.environ["SUDO_UID"]))
    for directory in path.absolute().parents:
        try:
            info = directory.resolve().stat()
        except FileNotFoundError:
            continue
        others = info.st_mode & stat.S_IWOTH or (info.st_mode & stat.S_IWGRP and info.st_gid not in (0, os.getegid()))
        if info.st_uid not in trusted or (others and not info.st_mode & stat.S_ISVTX):
            raise Refused(
                f"another account can write {directory}", hint="name a path that only you and root can change"
            )


def write(at: int, name: str, data: bytes, mode: int) -> None:
    """Write a file in the directory ``at``, whole and on the disk before it has its name; a link there is replaced."""
    made, handle = new_file(at, f".{name}.")
    with os.fdopen(handle, "wb") as file:
        try:
            file.write(data)
            file.flush()
            place(at, made, name, handle, mode)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(made, dir_fd=at)
            raise


def new_file(at: int, prefix: str) -> tuple[str, int]:
    """Make a file in the directory ``at`` that only we may read, and return its name and a handle to write it."""
    name = f"{prefix}{secrets.token_urlsafe(6)}"
    return name, os.open(name, _NEW, 0o600, dir_fd=at)


def place(at: int, made: str, name: str, handle: int, mode: int) -> None:
    """Give the file ``made``, which ``handle`` has open, its mode and its name, once its content is on the disk."""
    os.fchmod(handle, mode)
    os.fsync(handle)
    rename(at, made, name, handle)


def rename(at: int, made: str, name: str, handle: int) -> None:
    """Give what ``handle`` has open another name; OSError where another thing has its name by now."""
    check_same(at, made, handle)
    os.rename(made, name, src_dir_fd=at, dst_dir_fd=at)


def check_same(at: int, name: str, handle: int) -> None:
    """Raise OSError unless ``name`` in the directory ``at`` is still the file that ``handle`` has open."""
    if not os.path.samestat(os.stat(name, dir_fd=at, follow_symlinks=False), os.fstat(handle)):
        raise OSError(errno.ESTALE, "somebody else changes its directory")


def made_directory(at: int, prefix: str) -> tuple[str, int]:
    """Make a directory in the directory ``at`` that only we may enter, and return its name and a handle of it.

    OSError where another account has put something else in its place by the time it is opened.
    """
    name = f"{prefix}{secrets.token_urlsafe(6)}"
    os.mkdir(name, 0o700, dir_fd=at)
    try:
        handle = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
    except BaseException:
        with contextlib.suppress(OSError):
            os.rmdir(name, dir_fd=at)
        raise
    info = os.fstat(handle)
    ours = (info.st_uid, stat.S_IMODE(info.st_mode) & 0o077) == (os.geteuid(), 0)
    if not ours or names(handle):
        os.close(handle)
        raise OSError(errno.ESTALE, "somebody else changes its directory")
    return name, handle


@contextlib.contextmanager
def scratch(at: int, prefix: str) -> Iterator[int]:
    """Yield a handle of a new directory in the directory ``at``, only for us; it and what is left in it go."""
    name, handle = made_directory(at, prefix)
    try:
        yield handle
    finally:
        try:
            for it in names(handle):
                shutil.rmtree(it, ignore_errors=True, dir_fd=handle)
        finally:
            os.close(handle)
        with contextlib.suppress(OSError):
            os.rmdir(name, dir_fd=at)


def names(handle: int) -> list[str]:
    """Return what is in the directory that is open."""
    return os.listdir(handle)  # `Path` takes none


def path_of(handle: int) -> Path:
    """Return a path of the directory that is open, whatever its name means meanwhile; good in this process."""
    return Path(f"/proc/self/fd/{handle}")
