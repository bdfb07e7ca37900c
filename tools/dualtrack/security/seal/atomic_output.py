"""Where content comes from and where it goes to: files, pipes, and directories that appear whole or not at all.

What is being made is beside its destination as `.NAME.partial-…`, locked for as long as its maker lives. One that
nobody holds was left by a killed process or a power cut, and the next to make NAME sweeps it away.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import gc
import os
import stat
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from dualtrack.core import directory_handles
from dualtrack.core.errors import BadInput, DualtrackError, External, Interrupted, Refused
from dualtrack.core.files import check_output, lock, sync_path
from dualtrack.core.output import check_stdout
from dualtrack.security.seal import removal
from dualtrack.security.seal.stream import Read, Write

PIPE = "-"
#: What to say after the system's own words; for all others: nothing, they are clear.
_HINTS = {
    errno.ENOSPC: "make room, or write elsewhere", errno.EDQUOT: "make room, or write elsewhere",
    errno.EACCES: "write where you may", errno.EPERM: "write where you may", errno.EROFS: "write elsewhere",
    errno.ENAMETOOLONG: "choose a shorter name for the output, or another file system",
}  # fmt: skip
_PIPE_ROOM = 1 << 20  # bytes in a pipe between two programs; the system's own 64 KiB make them wait for each other


@contextlib.contextmanager
def source(name: str, tick: Callable[[int], None]) -> Iterator[Read]:
    """Open a file or (`-`) stdin for reading; ``tick`` is told how many bytes each read gave."""
    check_open(name)
    try:
        file = 0 if name == PIPE else os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise BadInput(f"cannot open {name}: {error.strerror}") from None
    if stat.S_ISDIR(os.fstat(file).st_mode):
        os.close(file)
        raise BadInput(f"{name} is a directory")
    _widen(file)

    def read(view: memoryview) -> int:
        try:
            got = os.readv(file, [view])
        except OSError as error:
            raise External(f"cannot read {_called(name, 'stdin')}: {error.strerror}") from error
        tick(got)
        return got

    try:
        yield read
    finally:
        if file:
            os.close(file)


@contextlib.contextmanager
def target(name: str, *, force: bool, mode: int) -> Iterator[Write]:
    """Open a file or (`-`) stdout for writing; the file appears, synced, when the block ends well, or not at all."""
    if name == PIPE:
        check_open(name, out=True)
        _widen(1)
        try:
            yield _writer(1, name)
        except KeyboardInterrupt:
            raise Interrupted("interrupted; the output is not whole") from None
        return
    path = Path(name)
    check_free(path, force=force)
    with _above(path) as at, _partial(path, lambda: _new_file(path, at)) as (temporary, file):
        yield _writer(file, name)
        with _writing(path):
            os.fsync(file)  # what takes its place during this is still seen
            check_free(path, force=force)
            directory_handles.place(at, temporary.name, path.name, file, mode)
            sync_path(directory_handles.path_of(at))


@contextlib.contextmanager
def folder(name: str) -> Iterator[Path]:
    """Give an empty directory to fill; it becomes ``name`` when the block ends well, and is removed otherwise.

    The path that it has in the block leads to this very directory, whatever others put in the place of its name.
    """
    path = Path(name)
    check_free(path, force=False)
    with _above(path) as at, _partial(path, lambda: _new_folder(path, at)) as (temporary, file), _writing(path):
        yield directory_handles.path_of(file)
        os.sync()  # one call for all files in it
        check_free(path, force=False)
        directory_handles.rename(at, temporary.name, path.name, file)
        sync_path(directory_handles.path_of(at))


@contextlib.contextmanager
def _above(path: Path) -> Iterator[int]:
    """Open the directory that a path is in, and make it where it is missing."""
    with contextlib.ExitStack() as handles:
        with _writing(path):
            at = handles.enter_context(directory_handles.made(path.parent))
        yield at


def check_open(name: str, *, out: bool = False) -> None:
    """Refuse (`-`) stdin, or stdout, that was closed when the program began: its number may be another file's by now.

    Python has had None for it since then. Called before anything is done.
    """
    if name == PIPE and out:
        check_stdout()
    elif name == PIPE and sys.__stdin__ is None:
        raise BadInput("stdin is closed", hint="name a file")


def check_free(path: Path, *, force: bool) -> None:
    """Refuse to write where something is already; with ``force`` a file may be replaced, a directory never."""
    if path.is_dir():
        raise Refused(f"{path} is a directory that exists", hint="remove it, or choose another name")
    if not os.path.lexists(path):
        return
    check_output(path)  # /dev/null would be gone
    if not force:
        raise Refused(f"{path} exists", hint="--force replaces it")


def _called(name: str, pipe: str) -> str:
    return pipe if name == PIPE else name


def _writer(file: int, name: str) -> Write:
    def write(view: memoryview) -> None:
        try:
            done = 0
            while done < len(view):
                done += os.write(file, view[done:])
        except BrokenPipeError:
            raise External("whoever reads our output stopped before its end") from None
        except OSError as error:
            raise _cannot(_called(name, "stdout"), error) from error

    return write


@contextlib.contextmanager
def _partial(path: Path, make: Callable[[], tuple[Path, int]]) -> Iterator[tuple[Path, int]]:
    """Give a temporary sibling of ``path`` and a locked descriptor of it; whatever is left of it at the end goes."""
    with _writing(path):
        _sweep(path)
        temporary, file = make()
        while not _is_ours(file):
            os.close(file)
            temporary, file = make()
    try:
        yield temporary, file
    except KeyboardInterrupt:
        raise _cleaned(temporary, Interrupted(f"interrupted; {path} was not written")) from None
    except DualtrackError as error:
        raise _cleaned(temporary, error) from error.__cause__
    except MemoryError as error:
        # What filled the memory is still held by the frames that failed, and removing takes some, too.
        traceback.clear_frames(error.__traceback__)
        gc.collect()
        problem = External(f"{path} was not written: it takes more memory than there is", hint="free some")
        raise _cleaned(temporary, problem) from None
    except BaseException:
        _remove(temporary)
        raise
    finally:
        os.close(file)


def _cleaned(temporary: Path, error: DualtrackError) -> DualtrackError:
    """Remove what was not finished; return ``error``, which says where that is when it could not be removed."""
    stuck = _remove(temporary)
    if stuck is not None:
        error.args = (
            f"{error}; what was made until then could not be removed ({stuck.strerror}): remove {temporary} yourself",
        )
    return error


def _is_ours(file: int) -> bool:
    """Lock what was just made; False when somebody's sweep took it for a leftover before it was locked."""
    lock(file)
    return os.fstat(file).st_nlink > 0


def _new_file(path: Path, at: int) -> tuple[Path, int]:
    name, file = directory_handles.new_file(at, _prefix(path))
    return path.parent / name, file


def _new_folder(path: Path, at: int) -> tuple[Path, int]:
    name, handle = directory_handles.made_directory(at, _prefix(path))
    return path.parent / name, handle


def _prefix(path: Path) -> str:
    return f".{path.name}.partial-"


def _sweep(path: Path) -> None:
    """Remove what makers of ``path`` left behind that did not live to remove it themselves."""
    for entry in os.scandir(path.parent):
        if not entry.name.startswith(_prefix(path)) or entry.is_symlink():
            continue
        with contextlib.suppress(OSError):
            # Somebody else's pipe of such a name would hold us up for ever.
            file = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                if lock(file, wait=False):
                    _remove(Path(entry.path))
            finally:
                os.close(file)


def _remove(path: Path) -> OSError | None:
    """Remove what is at ``path``, if anything; return why it is still there."""
    try:
        removal.remove(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        return error
    except MemoryError:
        return OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    return None


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except DualtrackError:
        raise
    except OSError as error:
        raise _cannot(str(path), error) from error


def _cannot(name: str, error: OSError) -> External:
    return External(f"cannot write {name}: {error.strerror}", hint=_HINTS.get(error.errno or 0, ""))


def _widen(file: int) -> None:
    """Make a pipe hold more, where the system allows it; anything but a pipe says no, and stays as it is."""
    with contextlib.suppress(OSError):
        fcntl.fcntl(file, fcntl.F_SETPIPE_SZ, _PIPE_ROOM)
