"""What makes a node's GPUs unfit for a job, from what the tools print."""

from __future__ import annotations

import json
import subprocess

import pytest

from dualtrack.hosts.agents import gpu_health as health

EIGHT = "".join(f"{index}, 0\n" for index in range(8))


def found(stdout: str = EIGHT, rc: int = 0, stderr: str = "", journal: str = "", dcgm: str = "") -> list[str]:
    return health.findings(rc, stdout, stderr, 8, journal, dcgm)


def journal(*messages: object) -> str:
    """Return messages as `journalctl --output=json` prints them."""
    return "".join(json.dumps({"__CURSOR": "s=1", "MESSAGE": message}) + "\n" for message in messages)


def test_healthy() -> None:
    assert found() == []
    assert found(EIGHT.replace(", 0", ", [N/A]")) == []  # ECC is off, or the GPU has none


def test_uncorrected_errors() -> None:
    assert found(EIGHT.replace("2, 0", "2, 5")) == ["GPU 2: 5 uncorrected ECC errors"]


def test_missing_gpu_is_named() -> None:
    assert found(EIGHT.replace("3, 0\n", "")) == ["7 of 8 GPUs answer (missing: 3)"]
    lost = EIGHT.replace("3, 0\n", "Unable to determine the device handle for GPU3: GPU is lost.\n")
    assert found(lost, rc=15) == ["7 of 8 GPUs answer (missing: 3)"]


@pytest.mark.parametrize(
    ("stdout", "stderr", "rc", "said"),
    [
        ("Failed to initialize NVML: Driver/library version mismatch\n", "", 18, "nvidia-smi ended with 18: Failed to"),
        ("", "[Errno 2] No such file", 127, "nvidia-smi ended with 127: [Errno 2]"),
        ("", "", 1, "nvidia-smi ended with 1: nothing"),
    ],
)
def test_driver_that_does_not_answer(stdout: str, stderr: str, rc: int, said: str) -> None:
    assert [it.startswith(said) for it in found(stdout, rc, stderr)] == [True]


def test_xid_of_the_hardware_counts_and_the_applications_own_does_not() -> None:
    line = "NVRM: Xid (PCI:0000:10:1C): {}, pid=812, name=python3, it happened"
    assert found(journal=journal(line.format(79))) == ["XID 79 on 0000:10:1C"]
    assert found(journal=journal(*[line.format(79)] * 3)) == ["XID 79 on 0000:10:1C"]
    assert found(journal=journal(line.format(31))) == []  # a bad pointer in somebody's kernel
    assert found(journal=journal("nothing of the kind", None, [255, 10]) + "{}\n7\nnot json\n") == []


XID_79 = "NVRM: Xid (PCI:0000:10:1C): 79"


@pytest.mark.attack("a user", "has a node drained by an error in a file's name", "prevented", "where a message begins")
@pytest.mark.parametrize("name", [XID_79, f"x\n{XID_79}", f"x\u2028{XID_79}"])
def test_xid_in_the_name_of_a_file_that_a_program_died_in_is_none(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also as journalctl prints it, whichever way it is asked."""
    said = f"a.out[812]: segfault at 0 ip 00005613 sp 00007ffc error 4 in {name}[5613+1000]"

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        plain = {"journalctl": f"{said}\n", "nvidia-smi": EIGHT}
        if "--output=json" in words:
            plain["journalctl"] = journal(said)
        return subprocess.CompletedProcess(words, 0, plain.get(words[0], ""), "")

    monkeypatch.setattr(health, "run", run)
    assert health.look(8) == []


def test_dcgm() -> None:
    assert found(dcgm='{"body": {"Overall Health": {"value": "Healthy"}}}') == []
    assert found(dcgm='{"body": {"Overall Health": {"value": "Failure"}}}') == ["dcgmi health says Failure"]
    assert found(dcgm="not json") == []


def test_first_reason_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def run(*command: str) -> object:
        asked.append(command)
        return health.subprocess.CompletedProcess(command, 0, "drained  spot: terminate\n", "")

    monkeypatch.setattr(health, "run", run)
    health.drain("gpu-1", "GPU 2: 5 uncorrected ECC errors")
    assert [command[0] for command in asked] == ["sinfo"]
