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


def write(at: int, name: str, data: bytes, mode: int) -> None:
    """Write a file in the directory ``at``, whole and on the disk before it has its name; a link there is replaced."""
    made = f".{name}.{secrets.token_urlsafe(6)}"
    handle = os.open(made, _NEW, 0o600, dir_fd=at)
    with os.fdopen(handle, "wb") as file:
        try:
            file.write(data)
            file.flush()
            place(at, made, name, handle, mode)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(made, dir_fd=at)
            raise


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


@contextlib.contextmanager
def scratch(at: int, prefix: str) -> Iterator[int]:
    """Yield a handle of a new directory in the directory ``at``, only for us; it and what is left in it go."""
    name = f"{prefix}{secrets.token_urlsafe(6)}"
    os.mkdir(name, 0o700, dir_fd=at)
    try:
        handle = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
    except BaseException:
        with contextlib.suppress(OSError):
            os.rmdir(name, dir_fd=at)
        raise
    try:
        info = os.fstat(handle)
        ours = (info.st_uid, stat.S_IMODE(info.st_mode) & 0o077) == (os.geteuid(), 0)
        if not ours or names(handle):
            raise OSError(errno.ESTALE, "somebody else changes its directory")
        try:
            yield handle
        finally:
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
