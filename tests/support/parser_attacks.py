"""A parser that was taken over, in the process that the product makes for it: `-m tests.support.parser_attacks`.

Started as `dualtrack.knowledge.parsing.child` is, of which it is a copy with another parser of texts: the document is
the list of what to try (JSON), and the answer has what became of each. With PLAN as its argument it tries the same in
an ordinary process, which shows that the tries are right.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import mmap
import os
import resource
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dualtrack.knowledge.parsing import calls, child
from dualtrack.knowledge.parsing.blocks import Block, Parsed

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p
#: No call has these arguments: where one is made, it fails before it does anything.
NOTHING = [ctypes.c_long(-1)] * 6
MORE_THAN_ALL = 600
#: Calls that the C library has no function for.
NUMBERS = {"x86_64": {"tkill": 200, "rt_sigqueueinfo": 129}, "aarch64": {"tkill": 130, "rt_sigqueueinfo": 138}}[
    os.uname().machine
]
#: Breakpoints of the kernel in programs (uretprobe, uprobe): Linux from 6.14 asks no filter about them, and ends a
#: process that makes them without such a breakpoint by SIGILL.
BREAKPOINTS = {"x86_64": {335, 336}}.get(os.uname().machine, set())
ALLOWED = frozenset(calls.CALLS[os.uname().machine][1].values())
BYTES = b"written by a parser"


def _call(function: Callable[..., int], *words: Any) -> int:
    found = function(*words)
    if found == -1:
        raise OSError(ctypes.get_errno(), "refused")
    return found


def _number(name: str, *words: Any) -> int:
    return _call(LIBC.syscall, NUMBERS[name], *words)


class _Piece(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def _write_memory(plan: dict[str, Any]) -> None:
    here = ctypes.create_string_buffer(BYTES)
    mine, theirs = _Piece(ctypes.addressof(here), len(BYTES)), _Piece(plan["address"], len(BYTES))
    one, none = ctypes.c_ulong(1), ctypes.c_ulong(0)
    _call(LIBC.process_vm_writev, plan["pid"], ctypes.byref(mine), one, ctypes.byref(theirs), one, none)


def _write_proc(plan: dict[str, Any]) -> None:
    handle = os.open(f"/proc/{plan['pid']}/mem", os.O_RDWR)
    os.pwrite(handle, BYTES, plan["address"])


def _opened(path: Path, flags: int) -> None:
    os.close(os.open(path, flags, 0o600))


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def _executable() -> None:
    if _call(LIBC.mmap, None, 4096, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC, 0x22, -1, 0) in (-1, 2**64 - 1):
        raise OSError(ctypes.get_errno(), "refused")


def tries(plan: dict[str, Any]) -> dict[str, Callable[[], object]]:
    """Return what a parser may try, by name; ``plan`` names a directory, a process and an address in it."""
    pid, place = plan["pid"], Path(plan["folder"])
    key, fresh = place / "master.key", place / "fresh"
    return {
        "write the memory of another process": lambda: _write_memory(plan),
        "write /proc/PID/mem": lambda: _write_proc(plan),
        "trace another process": lambda: _call(LIBC.ptrace, 0x4206, pid, None, None),
        "read a file": lambda: _opened(key, os.O_RDONLY),
        "open a file to write": lambda: _opened(key, os.O_WRONLY),
        "truncate a file by opening": lambda: _opened(key, os.O_WRONLY | os.O_TRUNC),
        "truncate a file": lambda: os.truncate(key, 0),
        "create a file": lambda: _opened(fresh, os.O_CREAT | os.O_WRONLY),
        "remove a file": lambda: (place / "other").unlink(),
        "rename a file": lambda: (place / "renamed").rename(place / "new"),
        "change a mode": lambda: key.chmod(0o666),
        "change an owner": lambda: os.chown(key, os.getuid(), os.getgid()),
        "change times": lambda: os.utime(key, (0, 0)),
        "link a file": lambda: (place / "linked").hardlink_to(key),
        "link by a symbolic link": lambda: (place / "soft").symlink_to(key),
        "make a directory": lambda: (place / "made").mkdir(),
        "make a pipe with a name": lambda: os.mkfifo(place / "pipe"),
        "list a directory": lambda: list(place.iterdir()),
        "look at a file": lambda: key.stat(),
        "open a socket": lambda: socket.socket().close(),
        "open a Unix socket": lambda: socket.socket(socket.AF_UNIX).close(),
        "make a pair of sockets": socket.socketpair,
        "signal another process": lambda: os.kill(pid, 0),
        "signal a thread": lambda: _number("tkill", pid, 0),
        "queue a signal": lambda: _number("rt_sigqueueinfo", os.getpid(), 0, ctypes.create_string_buffer(128)),
        "have a signal sent by a descriptor": lambda: fcntl.fcntl(1, fcntl.F_SETOWN, pid),
        "limit another process": lambda: resource.prlimit(pid, resource.RLIMIT_CORE),
        "fork": _fork,
        "make a file in memory": lambda: os.close(os.memfd_create("x")),
        "have memory that runs": _executable,
        "copy a descriptor": lambda: os.close(os.dup(1)),
    }


def attempt(what: Callable[[], object]) -> str:
    """Try something, and return how it failed, or `done`."""
    try:
        what()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    except MemoryError:
        return "MemoryError"
    return "done"


def every_call() -> dict[str, str]:
    """Make every system call that is not allowed, with arguments that mean nothing, and return how each failed."""

    def made(number: int) -> Callable[[], object]:
        return lambda: _call(LIBC.syscall, number, *NOTHING)

    return {str(it): attempt(made(it)) for it in range(MORE_THAN_ALL) if it not in ALLOWED | BREAKPOINTS}


def taken_over(data: bytes) -> Parsed:
    """Do what the document says in place of reading it."""
    plan = json.loads(data)
    if plan["try"] == "every call":
        found = every_call()
    elif plan["try"] == "program":
        os.execv("/bin/true", ["true"])
    elif plan["try"] == "number":
        _call(LIBC.syscall, ctypes.c_long(plan["number"]), *NOTHING)
    else:
        found = {name: attempt(it) for name, it in tries(plan).items()}
    return Parsed([Block(kind="text", text=json.dumps(found))])


child.PARSERS["txt"] = taken_over

if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        sys.exit(child.main())
    print(taken_over(sys.argv[1].encode()).blocks[0].text)
