"""A parser that was taken over does nothing, in the process that the product makes for it."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dualtrack.knowledge.parsing import calls, sandbox
from dualtrack.knowledge.parsing.starter import Gone, Starter
from tests.conftest import ROOT
from tests.support.parser_attacks import BREAKPOINTS, BYTES, MORE_THAN_ALL

UNTOUCHED = b"as it was".ljust(64)


class Target:
    """What is attacked: files of this user, and the memory of this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("master.key", "other", "renamed"):
            (folder / name).write_bytes(b"K" * 32)
            (folder / name).chmod(0o600)
        self.memory = ctypes.create_string_buffer(UNTOUCHED)

    def plan(self, what: str) -> dict[str, Any]:
        return {
            "try": what, "folder": str(self.folder), "pid": os.getpid(), "address": ctypes.addressof(self.memory),
        }  # fmt: skip

    def state(self) -> object:
        seen = {it.name: (it.lstat().st_mode, it.lstat().st_size, it.lstat().st_mtime) for it in self.folder.iterdir()}
        return seen, self.memory.raw

    def taken_over(self, module: str, what: str = "everything", **more: Any) -> dict[str, str]:
        """Have a parser try something, and return what became of it."""
        code, answer, said = run(module, {**self.plan(what), **more})
        assert code == 0, said
        return dict(json.loads(parsed(answer)))


def parsed(answer: bytes) -> str:
    import msgspec

    from dualtrack.knowledge.parsing.blocks import Parsed

    return msgspec.msgpack.decode(answer, type=Parsed).blocks[0].text


def run(module: str, plan: dict[str, Any]) -> tuple[int, bytes, bytes]:
    made = Starter(f"tests.support.{module}")
    try:
        return made.run("txt", json.dumps(plan).encode(), seconds=60, most=1 << 20)
    finally:
        made.end()


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target(tmp_path)


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' modules are found by what is started."""
    monkeypatch.syspath_prepend(ROOT)


@pytest.mark.attack("a parser that was taken over", "tries to leave its sandbox", "prevented", "the sandbox")
@pytest.mark.parametrize("module", ["parser_attacks", "parser_without_namespaces"])
def test_parser_that_was_taken_over_does_nothing(target: Target, module: str) -> None:
    before = target.state()
    found = target.taken_over(module)
    assert len(found) > 25
    assert {name: it for name, it in found.items() if it != "EPERM"} == {}
    assert target.state() == before


def test_the_same_succeeds_in_an_ordinary_process(target: Target) -> None:
    """What is tried is right: all of it that this system lets a process of this user do."""
    words = [sys.executable, "-m", "tests.support.parser_attacks", json.dumps(target.plan("everything"))]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT)
    found = json.loads(done.stdout)
    assert {name: it for name, it in found.items() if it != "done"} == {}
    assert target.memory.raw.startswith(BYTES)


@pytest.mark.attack("a parser that was taken over", "makes every system call", "prevented", "the list of system calls")
def test_every_system_call_that_is_not_on_the_list_is_refused(target: Target) -> None:
    found = target.taken_over("parser_attacks", "every call")
    allowed = calls.CALLS[platform.machine()][1]
    assert max(allowed.values()) < MORE_THAN_ALL
    assert len(found) + len(allowed) + len(BREAKPOINTS) == MORE_THAN_ALL
    assert {number for number, it in found.items() if it != "EPERM"} == set()


@pytest.mark.parametrize("number", sorted(BREAKPOINTS))
def test_breakpoints_of_the_kernel_are_refused_or_end_the_process(target: Target, number: int) -> None:
    code, answer, _ = run("parser_attacks", {**target.plan("number"), "number": number})
    assert (code in (1, -signal.SIGILL), answer) == (True, b"")


@pytest.mark.parametrize(
    ("what", "said"),
    [({"try": "program"}, b"PermissionError"), ({"try": "number", "number": 0x40000000 | 2}, None)],
    ids=["program", "the calls of another interface"],
)
def test_program_and_other_interfaces(target: Target, what: dict[str, Any], said: bytes | None) -> None:
    code, answer, errors = run("parser_attacks", {**target.plan(""), **what})
    assert (code, answer) == (-signal.SIGSYS if said is None else 1, b"")
    assert said is None or said in errors


@pytest.mark.skipif(os.geteuid() != 0, reason="as root, so that nothing is refused because of missing rights")
def test_second_line_holds_without_the_list(target: Target) -> None:
    """Nothing of the host has a name, and other processes have no number."""
    before = target.state()
    found = target.taken_over("parser_without_filter")
    itself = {
        "open a socket", "open a Unix socket", "make a pair of sockets", "fork", "make a file in memory",
        "have memory that runs", "copy a descriptor", "queue a signal",
    }  # fmt: skip
    assert {name for name, it in found.items() if it == "done"} <= itself
    assert {name for name, it in found.items() if it in ("EPERM", "EACCES", "ENOENT", "ESRCH", "EROFS")} >= (
        set(found) - itself
    )
    assert target.state() == before


def test_what_is_missing_is_told() -> None:
    made = Starter("tests.support.parser_without_namespaces")
    try:
        made.connected("txt")
        assert made.missing == [sandbox.OWN_NAMESPACES, "an empty root directory"]
    finally:
        made.end()


def test_nothing_is_read_where_system_calls_are_not_limited() -> None:
    made = Starter("tests.support.parser_without_seccomp")
    with pytest.raises(Gone, match=r"documents cannot be read safely on this system: .* seccomp"):
        made.connected("txt")


@pytest.mark.parametrize("machine", [*calls.CALLS])
def test_list_has_no_call_that_names_or_makes_anything(machine: str) -> None:
    names = set(calls.CALLS[machine][1])
    words = (
        "open", "creat", "link", "stat", "exec", "clone", "fork", "kill", "ptrace", "process", "sock", "connect",
        "send", "recv", "mount", "chmod", "chown", "prctl", "limit", "bpf", "uring", "fcntl", "ioctl", "dup", "memfd",
        "pidfd",
    )  # fmt: skip
    assert not [(it, word) for it in names for word in words if word in it]
    assert len(set(calls.CALLS[machine][1].values())) == len(names)


def test_processor_without_a_list() -> None:
    with pytest.raises(OSError, match="no list of system calls for riscv64"):
        calls.compiled("riscv64")


def interpreted(program: bytes, processor: int, number: int, third: int) -> int:
    """Return what a filter decides of a call, by the rules of classic BPF."""
    import struct

    steps = [struct.unpack_from("HBBI", program, at) for at in range(0, len(program), 8)]
    words = {calls.NUMBER: number, calls.PROCESSOR: processor, calls.THIRD: third}
    compare: dict[int, Callable[[int, int], bool]] = {
        calls.EQUAL: lambda a, b: a == b, calls.NOT_BELOW: lambda a, b: a >= b, calls.ANY_BIT: lambda a, b: bool(a & b),
    }  # fmt: skip
    held, at = 0, 0
    while True:
        code, yes, no, value = steps[at]
        at += 1
        if code == calls.RETURN:
            return int(value)
        if code == calls.LOAD:
            held = words[value]
        else:
            at += yes if compare[code](held, value) else no


@pytest.mark.parametrize("machine", [*calls.CALLS])
def test_filter_decides_as_the_list_says(machine: str) -> None:
    """Of each processor, also of those that this test does not run on."""
    program = calls.compiled(machine)
    audit, allowed = calls.CALLS[machine]
    runs = {allowed[it] for it in calls.EXECUTABLE}
    for number in range(MORE_THAN_ALL):
        for third in (0, 3, calls.PROT_EXEC, 7):
            wanted = number in allowed.values() and not (number in runs and third & calls.PROT_EXEC)
            assert interpreted(program, audit, number, third) == (calls.ALLOW if wanted else calls.REFUSE), number
    assert interpreted(program, audit ^ 1, 1, 0) == calls.KILL
    assert interpreted(program, audit, calls.X32 | 1, 0) == calls.KILL


def test_memory_of_who_holds_keys_is_hidden() -> None:
    code = "from dualtrack.knowledge.parsing import sandbox; sandbox.hide_memory(); import ctypes; "
    code += "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"
