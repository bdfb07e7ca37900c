"""What makes a node's GPUs unfit for a job, from what the tools print."""

from __future__ import annotations

import pytest

from dualtrack.node import gpu_health as health

EIGHT = "".join(f"{index}, 0\n" for index in range(8))


def found(stdout: str = EIGHT, rc: int = 0, stderr: str = "", journal: str = "", dcgm: str = "") -> list[str]:
    return health.findings(rc, stdout, stderr, 8, journal, dcgm)


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
    assert found(journal=line.format(79)) == ["XID 79 on 0000:10:1C"]
    assert found(journal="\n".join([line.format(79)] * 3)) == ["XID 79 on 0000:10:1C"]
    assert found(journal=line.format(31)) == []  # a bad pointer in somebody's kernel
    assert found(journal="nothing of the kind") == []


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
