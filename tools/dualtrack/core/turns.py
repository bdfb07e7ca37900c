"""One command at a time where two would be in each other's way, such as two that configure the same hosts."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from dualtrack.core.errors import Interrupted
from dualtrack.core.files import holder, lock, open_own

#: Bytes of a lock file that are read: what another program wrote there may have any size.
LONGEST = 4096


class Running(msgspec.Struct, frozen=True):
    """The command that has its turn: its words, since when (UTC), and its process."""

    command: str
    since: str
    process: int


@contextmanager
def turn(path: Path, command: str, say: Callable[[str], None]) -> Iterator[None]:
    """Run a block while no other process runs one with the same lock file; wait for the one that does.

    ``say`` is told which command that is and since when. The kernel frees the lock when the process ends, however it
    ends; programs that it started do not hold it. Interrupted where Ctrl-C ends the wait, NotOwn for a link in the
    file's place.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = open_own(path.parent, path.name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        if not lock(handle, wait=False):
            _wait(handle, say)
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        _write(handle, msgspec.json.encode(Running(command, since, os.getpid())))
        yield
        _write(handle, b"")
    finally:
        os.close(handle)


def _wait(handle: int, say: Callable[[str], None]) -> None:
    try:
        say(f"waiting for {_who(handle)}")
        lock(handle)
    except KeyboardInterrupt as error:
        if type(error) is not KeyboardInterrupt:  # another signal, which has an end of its own
            raise
        raise Interrupted("interrupted; nothing was changed") from None


def _write(handle: int, content: bytes) -> None:
    os.ftruncate(handle, 0)
    os.pwrite(handle, content, 0)


def _who(handle: int) -> str:
    """Return who has the lock, in words. What is in the file may be from a process before, which was killed."""
    process = holder(handle)
    try:
        found = msgspec.json.decode(os.pread(handle, LONGEST, 0), type=Running)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return process or "another command"
    if process not in ("", f"process {found.process}"):
        return process
    return f"`dualtrack {found.command}`, which runs since {found.since} (process {found.process})"
