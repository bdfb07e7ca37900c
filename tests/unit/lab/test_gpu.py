"""The fake nvidia-smi: what later rows parse must look like the real thing, and faults must show as real ones do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dualtrack.core.errors import BadInput
from dualtrack.lab import gpu

PROGRAM = Path(gpu.__file__).with_name("nvidia_smi.py")


def smi(tmp_path: Path, scenario: gpu.Scenario | None, *words: str) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "gpu.json"
    if scenario is not None:
        path.write_bytes(gpu.encode(scenario))
    return subprocess.run(
        [sys.executable, "-I", str(PROGRAM), *words], env={"DUALTRACK_GPU_SCENARIO": str(path)}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip


def test_query_prints_one_row_a_gpu_with_and_without_units(tmp_path: Path) -> None:
    fields = "--query-gpu=index,name,memory.total,utilization.gpu"
    done = smi(tmp_path, gpu.default(8), fields, "--format=csv")
    lines = done.stdout.splitlines()
    assert lines[0] == "index, name, memory.total [MiB], utilization.gpu [%]"
    assert lines[1] == "0, NVIDIA A100-SXM4-80GB, 81920 MiB, 0 %"
    assert len(lines) == 9
    done = smi(tmp_path, gpu.default(8), fields, "--format=csv,noheader,nounits")
    assert done.stdout.splitlines()[7] == "7, NVIDIA A100-SXM4-80GB, 81920, 0"
    assert done.returncode == 0


def test_memory_adds_up(tmp_path: Path) -> None:
    loaded = gpu.inject(gpu.default(1), memory_used=70000)
    done = smi(
        tmp_path,
        loaded,
        "--query-gpu=memory.total,memory.used,memory.free,memory.reserved",
        "--format=csv,noheader,nounits",
    )
    total, used, free, reserved = (int(cell) for cell in done.stdout.split(", "))
    assert total == used + free + reserved
    assert used == 70000


def test_one_gpu_is_chosen_by_index_or_uuid(tmp_path: Path) -> None:
    scenario = gpu.default(4)
    for word in ("2", scenario.gpus[2].uuid, scenario.gpus[2].bus_id):
        done = smi(tmp_path, scenario, "-i", word, "--query-gpu=index", "--format=csv,noheader")
        assert done.stdout == "2\n"
    assert smi(tmp_path, scenario, "-i", "9", "-L").returncode == 6


def test_a_lost_gpu_costs_its_row_and_the_exit_code_but_not_the_others(tmp_path: Path) -> None:
    done = smi(tmp_path, gpu.inject(gpu.default(4), index=1, xid=79), "--query-gpu=index", "--format=csv,noheader")
    assert done.returncode == 15
    lines = done.stdout.splitlines()
    assert [line for line in lines if "GPU is lost" in line] == [lines[1]]
    assert (lines[0], lines[2], lines[3]) == ("0", "2", "3")


@pytest.mark.parametrize(
    ("failure", "code", "words"),
    [("nvml-mismatch", 18, "Driver/library version mismatch"), ("no-driver", 9, "couldn't communicate")],
)
def test_a_broken_driver_fails_every_call(tmp_path: Path, failure: gpu.Failure, code: int, words: str) -> None:
    scenario = gpu.inject(gpu.default(8), failure=failure)
    for arguments in ((), ("-L",), ("--query-gpu=name", "--format=csv")):
        done = smi(tmp_path, scenario, *arguments)
        assert done.returncode == code
        assert words in done.stdout


def test_a_host_without_a_scenario_has_no_driver(tmp_path: Path) -> None:
    assert smi(tmp_path, None, "-L").returncode == 9


def test_what_does_not_exist_is_refused(tmp_path: Path) -> None:
    assert smi(tmp_path, gpu.default(1), "--query-gpu=happiness", "--format=csv").returncode == 2
    assert smi(tmp_path, gpu.default(1), "--query-gpu=name", "--format=json").returncode == 2
    assert smi(tmp_path, gpu.default(1), "--no-such-flag").returncode == 2


@pytest.mark.parametrize("words", [(), ("-L",), ("-q",)])
def test_the_forms_for_people_name_every_gpu(tmp_path: Path, words: tuple[str, ...]) -> None:
    scenario = gpu.default(8)
    done = smi(tmp_path, scenario, *words)
    assert done.returncode == 0
    assert done.stdout.count("A100-SXM4-80GB") == 8


def test_load_shows_in_power_and_heat_too() -> None:
    busy = gpu.inject(gpu.default(2), index=1, utilization=100)
    assert busy.gpus[0] == gpu.default(2).gpus[0]
    assert busy.gpus[1].power == 400.0
    assert busy.gpus[1].temperature > busy.gpus[0].temperature


def test_xid_that_is_not_fatal_leaves_the_gpu_on_the_bus() -> None:
    assert not gpu.inject(gpu.default(1), xid=13).gpus[0].lost
    assert gpu.inject(gpu.default(1), xid=79).gpus[0].lost


@pytest.mark.parametrize("values", [{"index": 8}, {"utilization": 101}, {"memory_used": 90000}])
def test_values_no_gpu_can_have_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(BadInput):
        gpu.inject(gpu.default(8), **values)  # type: ignore[arg-type]


def test_identities_are_stable_and_distinct() -> None:
    assert gpu.default(8) == gpu.default(8)
    assert len({item.uuid for item in gpu.default(16).gpus}) == 16


def test_apply_keeps_earlier_faults_and_reset_takes_them_away(tmp_path: Path) -> None:
    gpu.install(tmp_path, gpu.default(2))
    gpu.apply(tmp_path, 2, index=0, ecc=3)
    assert gpu.apply(tmp_path, 2, utilization=50).gpus[0].ecc_uncorrected == 3
    assert gpu.apply(tmp_path, 2, reset=True) == gpu.default(2)
    assert (tmp_path / gpu.PROGRAM_PATH).stat().st_mode & 0o111


def test_a_host_without_gpus_takes_no_fault(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no GPU"):
        gpu.apply(tmp_path, 0, utilization=50)
