"""Which files of the checkout a unit opens, observed by the kernel (fanotify): whatever program it starts.

Only directories with tracked files are watched, so that the cost is one event for each file of the checkout that is
opened, and none for the rest of the machine. An event names a process; its control group names the unit. A process
that has already ended cannot be looked up: its event then counts for every unit that runs, which makes a result
depend on more than it must, never on less. https://man7.org/linux/man-pages/man7/fanotify.7.html
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import select
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

_EVENT = struct.Struct("=IBBHQii")
_INIT = 0x01 | 0x02 | 0x10 | 0x20  # close-on-exec, reads do not wait, unlimited queue, unlimited marks
_ADD = 0x01
_OPENED = 0x20 | 0x40000000 | 0x08000000  # opened; directories too; the children of a marked directory
_OVERFLOW = 0x4000
_AT_FDCWD = -100
_COMPILED = re.compile(r"(.*)__pycache__/([^/.]+)\.[^/]*\.pyc$")


class Untraceable(Exception):
    """This process may not ask the kernel which files are opened; the message says why."""


class Tracer:
    """Collects, for each unit, the paths below ``root`` that it opens, relative to it: files and directories.

    ``owner`` tells a process id's unit: its id, None when it belongs to none; LookupError when it has ended.
    ``running`` returns the ids of the units that run now.
    """

    def __init__(
        self, root: Path, directories: Iterable[str], owner: Callable[[int], str | None],
        running: Callable[[], Iterable[str]],
    ) -> None:  # fmt: skip
        self._root = str(root.resolve()) + "/"
        self._owner, self._running = owner, running
        self._opened: dict[str, set[str]] = {}
        self._ignored: set[int] = set()
        self._lock = threading.Lock()
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._queue = self._libc.fanotify_init(_INIT, os.O_RDONLY | os.O_CLOEXEC)
        if self._queue < 0:
            raise Untraceable(os.strerror(ctypes.get_errno()))
        self.overflowed = False
        for directory in directories:
            self._mark(Path(root, directory))
        self._wake, self._end = os.pipe()
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    def _mark(self, directory: Path) -> None:
        mask = ctypes.c_uint64(_OPENED)
        if self._libc.fanotify_mark(self._queue, _ADD, mask, _AT_FDCWD, os.fsencode(directory)) < 0:
            number = ctypes.get_errno()
            os.close(self._queue)
            raise Untraceable(f"{directory}: {os.strerror(number)}")

    def opened(self, unit: str) -> set[str]:
        """Return what a unit has opened so far, and forget it. Call it while the unit still counts as running."""
        with self._lock:
            self._drain()
            return self._opened.pop(unit, set())

    @contextlib.contextmanager
    def aside(self) -> Iterator[Callable[[int], None]]:
        """Let this process look at the tree meanwhile: what the processes open that it names counts for no unit."""
        with self._lock:
            yield self._ignored.add
            self._drain()
            self._ignored.clear()  # ids are used again

    def close(self) -> None:
        """Stop collecting."""
        os.close(self._end)
        self._thread.join()
        os.close(self._queue)
        os.close(self._wake)

    def _collect(self) -> None:
        # Ahead of the tests in the queue for a processor: the longer an event waits, the more processes have ended.
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -19)
        poll = select.poll()
        poll.register(self._queue, select.POLLIN)
        poll.register(self._wake, select.POLLIN | select.POLLHUP)
        while True:
            ready = dict(poll.poll())
            with self._lock:
                self._drain()
            if self._wake in ready:
                return

    def _drain(self) -> None:
        """Take every event that the kernel holds; the lock is held, so that none is half taken afterwards."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._take(os.read(self._queue, 1 << 18))

    def _take(self, data: bytes) -> None:
        owners: dict[int, list[str]] = {}  # a program opens many files in a row; later its id may be another's
        for at in range(0, len(data), _EVENT.size):
            _, _, _, _, mask, file, pid = _EVENT.unpack_from(data, at)
            if mask & _OVERFLOW:
                self.overflowed = True
                continue
            try:
                path = os.readlink(f"/proc/self/fd/{file}")  # noqa: PTH115 - a hundred times a second
            finally:
                os.close(file)
            if pid == os.getpid() or pid in self._ignored or not path.startswith(self._root):
                continue
            if pid not in owners:
                owners[pid] = self._units(pid)
            name = source(path.removeprefix(self._root))
            for unit in owners[pid]:
                self._opened.setdefault(unit, set()).add(name)

    def _units(self, pid: int) -> list[str]:
        """Return the units that a process counts for."""
        try:
            owner = self._owner(pid)
        except LookupError:
            return list(self._running())
        return [owner] if owner else []


def source(path: str) -> str:
    """Return the source file of a compiled Python module; any other path as it is."""
    found = _COMPILED.fullmatch(path)
    return f"{found[1]}{found[2]}.py" if found else path
