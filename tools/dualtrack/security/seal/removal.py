"""Remove a directory whatever is in it: any depth, any modes, names of any kind, and no link is followed.

`shutil.rmtree` calls itself once per level, and leaves what its owner may not list. Here each level is entered through
a descriptor of the one above, and made its owner's to list and to change first.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OWNER = 0o700


def remove(path: Path) -> None:
    """Remove a file, a link, or a directory with all that is in it; OSError for what cannot be removed."""
    if path.is_dir() and not path.is_symlink():
        _empty(_enter(None, str(path)))
        path.rmdir()
    else:
        path.unlink()


def _empty(top: int) -> None:
    """Remove all that is in the directory ``top``, which is closed then."""
    current = top
    levels = [_clear(current)]  # directories that are left to remove, for each level
    above: list[tuple[int, int]] = []
    try:
        while levels:
            if levels[-1]:
                below = _enter(current, levels[-1][-1])
                above.append(_identity(current))
                os.close(current)
                current = below
                levels.append(_clear(current))
                continue
            levels.pop()
            if levels:
                parent = os.open("..", _LIST, dir_fd=current)
                os.close(current)
                current = parent
                if _identity(current) != above.pop():
                    raise OSError(errno.ESTALE, "somebody moves what is being removed")
                os.rmdir(levels[-1].pop(), dir_fd=current)
    finally:
        os.close(current)


def _clear(directory: int) -> list[str]:
    """Remove what is not a directory; return the names of those that are."""
    found = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                found.append(entry.name)
            else:
                os.unlink(entry.name, dir_fd=directory)
    return found


def _enter(directory: int | None, name: str) -> int:
    """Open a directory to empty it, and give its owner the rights for that."""
    # O_PATH needs no right to read, and the name in /proc is that very directory, whatever its name means meanwhile.
    handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        if os.fstat(handle).st_mode & _OWNER != _OWNER:
            with contextlib.suppress(OSError):
                os.chmod(f"/proc/self/fd/{handle}", _OWNER)  # noqa: PTH101
        return os.open(".", _LIST, dir_fd=handle)
    finally:
        os.close(handle)


def _identity(directory: int) -> tuple[int, int]:
    info = os.fstat(directory)
    return info.st_dev, info.st_ino
