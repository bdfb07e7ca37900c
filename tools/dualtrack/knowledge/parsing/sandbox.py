"""What a process that reads foreign documents gives up first: memory, time, files, the network, and other programs.

In the process itself, without any privilege: limits (setrlimit), and a filter of system calls (seccomp) that refuses
those named here. Parsers are large C libraries: whoever takes one over can compute, answer nonsense, and read what the
process's user can read.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct

#: Bytes of memory and seconds of processor time.
MEMORY, SECONDS = 1 << 30, 60
#: By processor: its audit number, and the numbers of the calls that are refused.
CALLS = {
    "x86_64": (0xC000003E, {
        "socket": 41, "connect": 42, "socketpair": 53, "bind": 49, "listen": 50, "execve": 59,
        "ptrace": 101, "mount": 165, "unshare": 272, "process_vm_readv": 310, "process_vm_writev": 311, "bpf": 321,
        "execveat": 322, "io_uring_setup": 425, "clone3": 435, "unlink": 87, "unlinkat": 263, "rename": 82,
        "renameat": 264, "renameat2": 316, "chmod": 90, "fchmodat": 268, "truncate": 76, "mkdir": 83, "mkdirat": 258,
        "symlink": 88, "symlinkat": 266, "link": 86, "linkat": 265, "kill": 62, "tgkill": 234, "pidfd_open": 434,
    }),
    "aarch64": (0xC00000B7, {
        "socket": 198, "connect": 203, "socketpair": 199, "bind": 200, "listen": 201, "execve": 221, "ptrace": 117,
        "mount": 40, "unshare": 97, "process_vm_readv": 270, "process_vm_writev": 271, "bpf": 280, "execveat": 281,
        "io_uring_setup": 425, "clone3": 435, "unlinkat": 35, "renameat": 38, "renameat2": 276, "fchmodat": 53,
        "truncate": 45, "mkdirat": 34, "symlinkat": 36, "linkat": 37, "kill": 129, "tgkill": 131, "pidfd_open": 434,
    }),
}  # fmt: skip
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, PR_SET_DUMPABLE, FILTER = 38, 22, 4, 2
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000 | 1, 0x80000000  # refused: EPERM
LOAD, EQUAL, NOT_BELOW, RETURN = 0x20, 0x15, 0x35, 0x06
#: On x86-64, calls of the x32 interface have this bit, and other numbers.
X32 = 0x40000000


def close_in(memory: int = MEMORY, seconds: int = SECONDS) -> None:
    """Give all of it up, for good; OSError where the system does not do it, or has another processor."""
    for what, most in (
        (resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, 64),
    ):  # fmt: skip
        resource.setrlimit(what, (most, most))
    machine = platform.machine()
    if machine not in CALLS:
        raise OSError(f"there is no filter of system calls for {machine}")
    program = _filter(*CALLS[machine])
    libc = ctypes.CDLL(None, use_errno=True)
    held = ctypes.create_string_buffer(program)
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(held))
    for words in (
        (PR_SET_DUMPABLE, 0, 0, 0, 0), (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, FILTER, header, 0, 0),
    ):  # fmt: skip
        if libc.prctl(*words) != 0:
            raise OSError(ctypes.get_errno(), f"prctl: {os.strerror(ctypes.get_errno())}")


def _filter(audit: int, calls: dict[str, int]) -> bytes:
    """Return the filter as classic BPF: the processor is checked, then the number of the call."""
    numbers = sorted(calls.values())
    steps = [
        (LOAD, 0, 0, 4), (EQUAL, 1, 0, audit), (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, 0), (NOT_BELOW, 0, 1, X32), (RETURN, 0, 0, KILL),
    ]  # fmt: skip
    for place, number in enumerate(numbers):
        steps.append((EQUAL, len(numbers) - place, 0, number))
    steps += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, REFUSE)]
    return b"".join(struct.pack("HBBI", *it) for it in steps)
