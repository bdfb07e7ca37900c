"""What a process that reads foreign documents gives up first: files, the network, other processes, memory and time.

Two steps. `enclose` and `forget_files` are for the process that the readers are forked from, which loads the parsers
and sees no document: namespaces of its own (users, processes, network, IPC, mounts, host name), an empty root
directory, no capabilities, and Landlock without any file. `close_in` is for the reader, which has its document in
memory already: limits, and a list of the system calls that it may still make (`calls`). Parsers are large C libraries:
whoever takes one over can compute, and answer nonsense about the one document that it was given.

`close_in` is needed: without it no document is read. Its list has no call that names a file, a process or an address,
so it holds alone; what the others add is a second line, and what the kernel does not have of it is said.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import resource
import signal
import struct
from pathlib import Path

from dualtrack.core import proc
from dualtrack.knowledge.parsing import calls

#: Bytes of memory and seconds of processor time.
MEMORY, SECONDS = 1 << 30, 60
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, PR_SET_DUMPABLE, FILTER = 38, 22, 4, 2
#: CLONE_NEWUSER, NEWPID, NEWNET, NEWIPC, NEWNS and NEWUTS (linux/sched.h).
NAMESPACES = 0x10000000 | 0x20000000 | 0x40000000 | 0x08000000 | 0x00020000 | 0x04000000
#: Who the process is in its own namespace of users: nobody.
NOBODY = 65534
#: System calls without a function in the C library; they have these numbers on every processor.
CREATE_RULESET, RESTRICT_SELF, VERSION = 444, 446, 1
#: By version of Landlock's interface: the rights to files that it knows, those to ports, and what else it keeps in.
FILES = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
PORTS, SCOPES = {4: 3}, {6: 3}
CAPABILITY_VERSION = 0x20080522
#: sys/mount.h: of a mount that has neither devices nor programs, and how it is changed.
MS_RDONLY, MS_NOTHING, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2 | 4 | 8, 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
OWN_NAMESPACES = "namespaces of its own"


def close_in(memory: int = MEMORY, seconds: int = SECONDS) -> None:
    """Give all of it up, for good; OSError where the system does not do it, or has another processor."""
    program = calls.compiled(platform.machine())
    for what, most in (
        (resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, 3), (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_MSGQUEUE, 0), (resource.RLIMIT_MEMLOCK, 0),
    ):  # fmt: skip
        resource.setrlimit(what, (most, most))
    held = ctypes.create_string_buffer(program)
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(held))
    _prctl(PR_SET_DUMPABLE, 0)
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    _prctl(PR_SET_SECCOMP, FILTER, header)


def hide_memory() -> None:
    """Let no other process of the same user look into this one, and leave no core file; OSError."""
    _prctl(PR_SET_DUMPABLE, 0)


def probe() -> None:
    """Check, in a process that ends, that `close_in` does what it promises on this system; OSError where it does not.

    A filter that a kernel (or what emulates one) accepts and does not apply would be worth nothing.
    """
    if (child := os.fork()) == 0:
        code = 1
        with contextlib.suppress(BaseException):
            close_in()
            try:
                Path("/").stat()
            except PermissionError:
                code = 0
        os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise OSError(f"this system does not limit system calls by seccomp ({platform.machine()})")


def enclose() -> list[str]:
    """Leave the namespaces that this process shares with others; return what this system does not do of it.

    OSError where something was begun that could not be completed. The rest of the program runs in another process, the
    first one of its namespace; this one waits for it, and ends as it does.
    """
    return [] if _unshare() else [OWN_NAMESPACES]


def forget_files(*, own_mounts: bool) -> list[str]:
    """Have no file by any name any more, and no capabilities; return what this system does not do of it.

    With ``own_mounts`` this process has its own namespace of mounts, so that what is mounted is not the host's. Nothing
    can be imported afterwards. OSError where something was begun that could not be completed.
    """
    missing = [] if own_mounts and _empty_root() else ["an empty root directory"]
    if _libc().capset(struct.pack("Ii", CAPABILITY_VERSION, 0), bytes(24)) != 0:
        raise _failed("capset")
    _prctl(PR_SET_DUMPABLE, 0)
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    return missing + ([] if _landlocked() else ["Landlock"])


def _landlocked() -> bool:
    version = _libc().syscall(CREATE_RULESET, None, ctypes.c_size_t(0), VERSION)
    if version < 1:
        return False
    known = [max((it for number, it in rights.items() if number <= version), default=0)
             for rights in (FILES, PORTS, SCOPES)]  # fmt: skip
    attributes = struct.pack("3Q", *known)[: 8 if version < 4 else 16 if version < 6 else 24]
    handle = _libc().syscall(CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if handle < 0:
        raise _failed("Landlock")
    try:
        if _libc().syscall(RESTRICT_SELF, handle, 0) != 0:
            raise _failed("Landlock")
    finally:
        os.close(handle)
    return True


def _empty_root() -> bool:
    """Have a root directory with nothing in it, which only namespaces of one's own allow; False where that fails."""
    libc = _libc()
    if libc.mount(None, b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None) != 0:
        return False
    if libc.mount(b"none", b"/proc", b"tmpfs", ctypes.c_ulong(MS_NOTHING), b"size=4k,nr_inodes=1,mode=0") != 0:
        return False
    os.chdir("/proc")
    if libc.pivot_root(b".", b".") != 0:
        return False
    if libc.umount2(b".", MNT_DETACH) != 0:  # the old one, which lies over the new one
        raise _failed("umount")
    os.chdir("/")
    if libc.mount(None, b"/", None, ctypes.c_ulong(MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOTHING), None) != 0:
        raise _failed("mount")
    return True


def _unshare() -> bool:
    """Be the first process of namespaces; False where this system lets no user make any."""
    user, group = os.geteuid(), os.getegid()
    if _libc().unshare(NAMESPACES) != 0:
        return False
    for name, text in (("setgroups", "deny"), ("uid_map", f"{NOBODY} {user} 1"), ("gid_map", f"{NOBODY} {group} 1")):
        Path("/proc/self", name).write_text(text)
    if (child := os.fork()) != 0:
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    proc.signal_at_parents_end(signal.SIGKILL)
    return True


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, first: int, second: bytes | int = 0) -> None:
    words = (ctypes.c_ulong(first), second if isinstance(second, bytes) else ctypes.c_ulong(second))
    if _libc().prctl(option, *words, ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
        raise _failed("prctl")


def _failed(what: str) -> OSError:
    return OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")
