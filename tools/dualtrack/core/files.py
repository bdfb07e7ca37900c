"""Files that are whole or not there: also after a power cut, on a full disk, and with two writers."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import TypeVar

import msgspec

from dualtrack.core import directory_handles
from dualtrack.core.errors import BadInput, External, Refused

T = TypeVar("T")

#: renameat2(2).
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
#: Seconds that a lock is waited for without a word.
SILENT_S = 1.0
_OTHERS = stat.S_IRGRP | stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH


def read_as(path: Path, type_: type[T], what: str, hint: str = "") -> T:
    """Return a YAML or JSON file as ``type_``; BadInput when it is not there or not so. ``what``: "a price file"."""
    try:
        data = path.read_bytes()
        # JSON is YAML, too, and forty times slower to read as such: a month of prices by the hour is 5 MB.
        decode = msgspec.json.decode if data.lstrip()[:1] == b"{" else msgspec.yaml.decode
        return decode(data, type=type_)
    except FileNotFoundError:
        raise BadInput(f"there is no {what.split(' ', 1)[1]} {path}", hint=hint) from None
    except IsADirectoryError:
        raise BadInput(f"{path} is a directory, not {what}", hint="name the file in it") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None
    except msgspec.ValidationError as error:
        raise BadInput(f"{path}: {error}", hint=hint) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is neither JSON nor YAML: {' '.join(str(error).split())}") from None


def read_whole(path: Path, limit: int, *, regular: bool = False) -> bytes:
    """Return what is in a file of ``limit`` bytes at most; BadInput otherwise (`read_with_facts`)."""
    return read_with_facts(path, limit, regular=regular)[0]


def read_with_facts(
    path: Path, limit: int, *, follow: bool = True, regular: bool = False
) -> tuple[bytes, os.stat_result]:
    """Return what is in a file of ``limit`` bytes at most, and the facts of that very file; BadInput otherwise.

    Without ``follow`` Refused where it is a link, or anything but a file. With ``regular`` BadInput for anything but a
    file, or a link to one: nobody waits for a pipe that a file of settings names.
    """
    # Where it is a file this flag is nothing; a pipe with nobody at its other end would be waited for.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | (os.O_NONBLOCK if regular else 0)
    try:
        handle = os.open(path, flags) if follow else open_own(path.parent, path.name)
        with os.fdopen(handle, "rb") as file:
            info = os.fstat(file.fileno())
            if regular and not stat.S_ISREG(info.st_mode):
                raise BadInput(f"{path} is not a regular file")
            data = file.read(limit + 1)
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}") from None
    except ValueError:  # where the path has a NUL
        raise BadInput(f"cannot read {str(path)!r}: it is not a path") from None
    if len(data) > limit:
        raise BadInput(f"{path} is too long for what it should hold")
    return data, info


def read_small(path: Path, kind: type[T], limit: int, what: str) -> T:
    """Return a regular JSON file of ``limit`` bytes at most as ``kind``; BadInput where it is not a ``what``."""
    data = read_whole(path, limit, regular=True)
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise BadInput(f"{path} is not a {what}: {error}") from None


def read_secret(path: Path, limit: int, *, given: bool = True, follow: bool = True, regular: bool = False) -> bytes:
    """Return what is in a file with a secret, of ``limit`` bytes at most; see `check_ours` for when it is refused."""
    data, info = read_with_facts(path, limit, follow=follow, regular=regular)
    check_ours(path, info, given=given)
    return data


def check_ours(path: Path, info: os.stat_result, *, given: bool = True) -> None:
    """Refuse a file with a secret in it that others may read or write, as ssh refuses it.

    A pipe has no such modes: `<(cat FILE)` is the way past that, for whoever means it, where the user has ``given`` us
    the path.
    """
    if stat.S_ISREG(info.st_mode) and info.st_mode & _OTHERS:
        raise Refused(
            f"others may read or write {path} (mode {stat.S_IMODE(info.st_mode):04o})",
            hint=f"chmod 600 {path}" + (f"; as it is, only through a pipe: <(cat {path})" if given else ""),
        )


class NotOwn(Refused):
    """Something else is in the place of a file or a directory of our own."""


class NotRegular(OSError):
    """A link, a directory or a pipe where there should be a regular file, or no directory on the way to it."""


#: What opening says of a link, of a file in a directory's place, of a directory in a file's, of a pipe and a socket.
_NOT_REGULAR = frozenset({errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO})


#: What renaming says where something is in the place of a directory.
_TAKEN = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR})


def open_below(folder: Path, name: str) -> BufferedReader:
    """Open a regular file by its path below ``folder``, without following a link on the way; OSError otherwise."""
    return os.fdopen(_open_below(folder, name, os.O_RDONLY, 0), "rb")


def open_own(folder: Path, name: str, flags: int = os.O_RDONLY, mode: int = 0o600) -> int:
    """Open a regular file of our own by its path below ``folder``; return its handle. OSError where it cannot be done.

    NotOwn where anything else is in its place, or in that of a directory on the way: what is ours is not a link.
    """
    try:
        return _open_below(folder, name, flags, mode)
    except NotRegular as error:
        found = str(error.filename)
        raise not_own(folder / found, "regular file" if found == name else "directory") from None


def not_own(path: Path, what: str) -> NotOwn:
    """Return the error that something else is in the place of a file or a directory (``what``) of our own."""
    return NotOwn(f"{path} is not a {what}", hint="no link is followed there: find out who put it in its place")


def check_own_folder(path: Path) -> None:
    """Refuse what is in the place of a directory of our own and is none, a link to one also; nothing there is well."""
    if os.path.lexists(path) and not stat.S_ISDIR(path.lstat().st_mode):
        raise not_own(path, "directory")


def _open_below(directory: Path, name: str, flags: int, mode: int) -> int:
    parts = name.split("/")
    if "\0" in name or {"", ".", ".."} & set(parts):
        raise FileNotFoundError(errno.ENOENT, "not a path below a directory", name)
    at = os.open(directory, directory_handles.SEARCH)
    done = ""
    try:
        for part in parts[:-1]:
            done = f"{done}/{part}".lstrip("/")
            inner = os.open(part, directory_handles.SEARCH | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = inner
        done = name
        # A pipe with nobody at its other end would be waited for.
        handle = os.open(parts[-1], flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode, dir_fd=at)
    except OSError as error:
        if error.errno in _NOT_REGULAR:
            raise NotRegular(error.errno, "not a regular file", done) from None
        error.filename = str(directory / done)
        raise
    finally:
        os.close(at)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise NotRegular(errno.ENOENT, "not a regular file", name)
    return handle


def write_atomically(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file so that a reader sees the old content or the new, never a part; External when it cannot be done.

    A link to a file is replaced by the file, and never followed. Anything else that is there, such as a device or a
    pipe, is left alone, and so is a link to it. What a user names as output is written by `write_output`.
    """
    try:
        with directory_handles.made(path.parent) as at:
            with contextlib.suppress(FileNotFoundError):
                if not stat.S_ISREG(os.stat(path.name or ".", dir_fd=at).st_mode):
                    raise OSError(errno.EEXIST, "it is there, and is not a file")
            directory_handles.write(at, path.name, data, mode)
    except OSError as error:
        raise _cannot(path, error) from error


def write_output(path: Path, data: bytes) -> None:
    """Write what a user wants in a file, as `write_atomically` does; the errors of `check_output` as well."""
    check_output(path)
    write_atomically(path, data)


def check_output(path: Path) -> None:
    """Refuse to write output where anything but a regular file is, a link to one also: `/dev/stdout` is such a link."""
    if os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode):
        what = "a symbolic link, which is not followed" if path.is_symlink() else "not a regular file"
        raise Refused(f"{path} is {what}", hint="name a regular file, or print: without the option, or with - for it")


def make_folder(folder: Path, mode: int = 0o777) -> None:
    """Make a directory, and those above it that are missing, so that its name outlives a power cut.

    From above, each on the disk before the next one is made. So where somebody was killed while doing this, it is only
    the lowest that is there whose name may still have to come to the disk.
    """
    missing = [it for it in (folder, *folder.parents) if not it.exists()]
    lowest = missing[-1].parent if missing else folder
    with contextlib.suppress(PermissionError):  # whoever may not read the directory above has not made this one
        sync_path(lowest.parent)
    for it in reversed(missing):
        it.mkdir(exist_ok=True, mode=mode if it == folder else 0o777)
        sync_path(it.parent)


@contextlib.contextmanager
def made_whole(directory: Path) -> Iterator[Path]:
    """Yield an empty directory that is ``directory`` once the block has ended well.

    Nothing stays where it has not, neither of it nor of the directories above that were missing. The errors of
    `check_new`; External where it cannot be made.
    """
    directory = directory.absolute()
    check_new(directory)
    try:
        above = _above(directory)
        parts = directory.relative_to(above).parts
        with directory_handles.opened(above) as at, directory_handles.scratch(at, ".dualtrack-new-") as scratch:
            made = [directory_handles.path_of(scratch).joinpath(*parts[: it + 1]) for it in range(len(parts))]
            for it in made:
                it.mkdir()
            yield made[-1]
            for it in reversed(made):
                sync_path(it)
            os.rename(parts[0], parts[0], src_dir_fd=scratch, dst_dir_fd=at)
            with contextlib.suppress(PermissionError):  # who may not read the directory above may write there
                sync_path(above)
    except OSError as error:
        if error.errno in _TAKEN:
            raise _taken(directory) from None
        raise _cannot(directory, error) from None


def check_new(directory: Path) -> None:
    """Refuse a directory that is there already, or whose place is not in a directory."""
    if os.path.lexists(directory):
        raise _taken(directory)
    if not (above := _above(directory.absolute())).is_dir():
        raise Refused(f"{above} is not a directory", hint="name another directory")


def _above(directory: Path) -> Path:
    """Return the nearest of the paths above where something is, a link to nowhere also."""
    return next(it for it in directory.parents if os.path.lexists(it))


def _taken(path: Path) -> Refused:
    return Refused(f"{path} is there already", hint="name another directory, which is not there yet")


def sync_path(path: Path) -> None:
    """Bring a file's data to the disk, or a directory's names: what is new, or gone, outlives a power cut then."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def exchange(one: Path, other: Path) -> None:
    """Give each of two paths what the other one is, in one step; External where the file system cannot do that."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE):
        raise _cannot(other, OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno())))
    for it in {one.parent, other.parent}:
        sync_path(it)


def destroy(path: Path) -> None:
    """Overwrite and remove a file that holds a secret; Refused for a link, whose target is not ours to overwrite.

    A disk that writes elsewhere than it is told (an SSD) may keep old bytes.
    """
    if not os.path.lexists(path):
        return
    with os.fdopen(open_own(path.parent, path.name, os.O_RDWR), "r+b") as file:
        file.write(secrets.token_bytes(os.fstat(file.fileno()).st_size))
        file.flush()
        os.fsync(file.fileno())
        with directory_handles.opened(path.parent) as at:
            directory_handles.check_same(at, path.name, file.fileno())
            os.unlink(path.name, dir_fd=at)
            sync_path(directory_handles.path_of(at))


def _cannot(path: Path, error: OSError) -> External:
    return External(f"cannot write {path}: {error.strerror}", hint="is the disk full, or not ours?")


def read(path: Path, kind: type[T], hint: str = "delete it", *, follow: bool = True) -> T | None:
    """Return the JSON file at ``path`` as ``kind``, None where there is none; BadInput where it is damaged.

    Without ``follow`` Refused where it is a link, or anything but a file. A pipe in its place is not waited for.
    """
    try:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
        with os.fdopen(os.open(path, flags) if follow else open_own(path.parent, path.name), "rb") as file:
            return msgspec.json.decode(file.read(), type=kind)
    except FileNotFoundError:
        return None
    except IsADirectoryError:
        raise BadInput(f"{path} is a directory, not a file") from None
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadInput(f"{path} is damaged: {error}", hint=hint) from None


def lock(handle: int, *, shared: bool = False, wait: bool = True) -> bool:
    """Lock an open file or directory (flock); the kernel frees it when its last handle is closed, however that ends.

    Return False where another process has the lock and ``wait`` is not wanted. OSError where it cannot be locked.
    """
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def holder(handle: int) -> str:
    """Return who has the lock of an open file: "process 4711", '' where the kernel does not say."""
    info = os.fstat(handle)
    file = f"{os.major(info.st_dev):02x}:{os.minor(info.st_dev):02x}:{info.st_ino}"
    with contextlib.suppress(OSError):
        for line in Path("/proc/locks").read_text().splitlines():
            words = line.split()
            # 1: FLOCK ADVISORY WRITE 4711 fd:01:12345 0 EOF; with "->" where somebody waits
            if words[1] == "FLOCK" and words[5] == file and Path(f"/proc/{words[4]}").exists():
                return f"process {words[4]}"
    return ""


def hold(path: Path, otherwise: str, *, hint: str = "", mode: int = 0o600) -> int:
    """Lock a lock file, and make it where it is not there; return its handle, which is to be closed to free it.

    Refused where another process has it: ``otherwise`` says that, and the process is named. NotOwn for a link.
    """
    handle = open_own(path.parent, path.name, os.O_RDWR | os.O_CREAT, mode)
    try:
        if not lock(handle, wait=False):
            who = holder(handle)
            raise Refused(f"{otherwise}: {who}" if who else otherwise, hint=hint)
    except BaseException:
        os.close(handle)
        raise
    return handle


@contextlib.contextmanager
def alone(path: Path, otherwise: str, *, hint: str = "", mode: int = 0o600) -> Iterator[None]:
    """Hold a lock file as `hold` does, for the time of a block."""
    handle = hold(path, otherwise, hint=hint, mode=mode)
    try:
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def locked(path: Path, say: Callable[[str], None] | None = None) -> Iterator[int]:
    """Hold the lock of a file that is read, changed and written: `.<name>.lock` beside it, freed by the kernel.

    Yield its handle: a program that gets it holds the lock as well, until it has ended. Whoever waits for longer than
    `SILENT_S` is told by ``say``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = open_own(path.parent, f".{path.name}.lock", os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        if say is not None and not lock(handle, wait=False):
            time.sleep(SILENT_S)
            if not lock(handle, wait=False):
                say(f"waiting for another run on {path.parent}")
        lock(handle)
        yield handle
    finally:
        os.close(handle)
