"""The system calls that a process may make while it reads a foreign document, and the filter that refuses all others.

The document is in memory before the filter is installed, and modules are imported. What is left is memory, the answer
in descriptors that are open, time, locks of the process itself, and its end. No call opens, names or changes a file,
makes a process, a socket or a namespace, sends a signal, or looks at another process.
"""

from __future__ import annotations

import struct
from typing import Final

#: By processor: its audit number, and the numbers of the calls that are allowed.
CALLS: Final[dict[str, tuple[int, dict[str, int]]]] = {
    "x86_64": (0xC000003E, {
        "write": 1, "close": 3, "lseek": 8, "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "rt_sigaction": 13,
        "rt_sigprocmask": 14, "rt_sigreturn": 15, "writev": 20, "sched_yield": 24, "mremap": 25, "madvise": 28,
        "nanosleep": 35, "getpid": 39, "exit": 60, "gettimeofday": 96, "sigaltstack": 131, "gettid": 186, "time": 201,
        "futex": 202, "restart_syscall": 219, "clock_gettime": 228, "clock_getres": 229, "clock_nanosleep": 230,
        "exit_group": 231, "getrandom": 318, "rseq": 334,
    }),
    "aarch64": (0xC00000B7, {
        "write": 64, "close": 57, "lseek": 62, "mmap": 222, "mprotect": 226, "munmap": 215, "brk": 214,
        "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139, "writev": 66, "sched_yield": 124,
        "mremap": 216, "madvise": 233, "nanosleep": 101, "getpid": 172, "exit": 93, "gettimeofday": 169,
        "sigaltstack": 132, "gettid": 178, "futex": 98, "restart_syscall": 128, "clock_gettime": 113,
        "clock_getres": 114, "clock_nanosleep": 115, "exit_group": 94, "getrandom": 278, "rseq": 293,
    }),
}  # fmt: skip
#: These take in their third argument what memory may do; memory that can be run is refused.
EXECUTABLE: Final = ("mmap", "mprotect")
PROT_EXEC: Final = 4
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000 | 1, 0x80000000  # refused: EPERM
LOAD, EQUAL, NOT_BELOW, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
#: On x86-64, calls of the x32 interface have this bit, and other numbers.
X32 = 0x40000000
#: Where `struct seccomp_data` has the number, the processor, and the lower half of the third argument.
NUMBER, PROCESSOR, THIRD = 0, 4, 32


def compiled(machine: str) -> bytes:
    """Return the filter as classic BPF: the processor is checked, then the number of the call, then its argument.

    OSError for a processor without a list.
    """
    if machine not in CALLS:
        raise OSError(f"there is no list of system calls for {machine}")
    audit, calls = CALLS[machine]
    with_argument = [calls[it] for it in EXECUTABLE]
    plain = sorted(set(calls.values()) - set(with_argument))
    steps = [
        (LOAD, 0, 0, PROCESSOR), (EQUAL, 1, 0, audit), (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER), (NOT_BELOW, 0, 1, X32), (RETURN, 0, 0, KILL),
    ]  # fmt: skip
    body = [(EQUAL, number, True) for number in plain] + [(EQUAL, number, False) for number in with_argument]
    # After the list: refuse; then the look at the argument; then allow.
    for place, (code, number, whole) in enumerate(body):
        left = len(body) - place - 1
        steps.append((code, left + (4 if whole else 1), 0, number))
    steps += [
        (RETURN, 0, 0, REFUSE), (LOAD, 0, 0, THIRD), (ANY_BIT, 0, 1, PROT_EXEC), (RETURN, 0, 0, REFUSE),
        (RETURN, 0, 0, ALLOW),
    ]  # fmt: skip
    return b"".join(struct.pack("HBBI", *it) for it in steps)
