"""What the fake `nvidia-smi` of a lab host answers: a scenario, its default, and the faults that can be put into it.

A scenario is data; `default` and `inject` are pure. Only `install` and `apply` touch a host's files.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import msgspec

from dualtrack.core.errors import BadInput
from dualtrack.core.files import write_atomically

#: Where a host keeps its scenario, and the program that answers from it.
SCENARIO_PATH = "etc/dualtrack-lab/gpu.json"
PROGRAM_PATH = "usr/bin/nvidia-smi"
#: Memory of an A100-SXM4-80GB as nvidia-smi counts it, in MiB.
A100_MEMORY = 81920
#: XID errors after which the GPU does not answer any more (https://docs.nvidia.com/deploy/xid-errors/).
FATAL_XIDS = frozenset({79, 119, 120})

Failure = Literal["", "nvml-mismatch", "no-driver"]


class Process(msgspec.Struct, frozen=True):
    """A program that holds GPU memory; ``memory`` in MiB."""

    pid: int
    name: str
    memory: int


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU: memory in MiB, power in W, clocks in MHz, utilisation in per cent, temperature in °C."""

    uuid: str
    serial: str
    bus_id: str
    name: str = "NVIDIA A100-SXM4-80GB"
    compute_cap: str = "8.0"
    memory_total: int = A100_MEMORY
    memory_used: int = 0
    memory_reserved: int = 645
    utilization: int = 0
    memory_utilization: int = 0
    temperature: int = 34
    power: float = 61.0
    power_limit: float = 400.0
    clock_sm: int = 1410
    clock_sm_max: int = 1410
    clock_mem: int = 1593
    pcie_gen: int = 4
    pcie_width: int = 16
    ecc_corrected: int = 0
    ecc_uncorrected: int = 0
    xid: int = 0
    lost: bool = False
    processes: tuple[Process, ...] = ()


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """All that one host's nvidia-smi knows. ``failure`` makes every call fail, as the driver would."""

    gpus: tuple[Gpu, ...]
    driver: str = "580.95.05"
    cuda: str = "13.0"
    failure: Failure = ""


def default(count: int = 8) -> Scenario:
    """Return ``count`` idle, healthy A100-80G; the same identities for the same count, every time."""
    if not 0 <= count <= 16:
        raise BadInput(f"a host cannot have {count} GPUs", hint="0 to 16")
    return Scenario(gpus=tuple(_gpu(index) for index in range(count)))


def _gpu(index: int) -> Gpu:
    digest = hashlib.sha256(f"dualtrack lab GPU {index}".encode()).hexdigest()
    uuid = f"GPU-{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"
    return Gpu(
        uuid=uuid, serial=f"13250{int(digest[32:40], 16) % 10**8:08d}", bus_id=f"00000000:{0x10 + index:02X}:1C.0"
    )


def inject(
    scenario: Scenario,
    *,
    index: int | None = None,
    utilization: int | None = None,
    memory_used: int | None = None,
    ecc: int | None = None,
    xid: int | None = None,
    lost: bool | None = None,
    failure: Failure | None = None,
) -> Scenario:
    """Return ``scenario`` with faults or load in one GPU (``index``) or in all.

    ``utilization`` per cent, ``memory_used`` MiB, ``ecc`` uncorrected errors, ``xid`` the last XID (the fatal ones also
    make the GPU fall off the bus). Raises BadInput for a GPU that is not there or a value that no GPU can have.
    """
    if index is not None and not 0 <= index < len(scenario.gpus):
        raise BadInput(f"there is no GPU {index}", hint=f"the host has {len(scenario.gpus)}, counted from 0")
    if utilization is not None and not 0 <= utilization <= 100:
        raise BadInput(f"utilisation of {utilization} per cent", hint="0 to 100")
    changed = []
    for number, gpu in enumerate(scenario.gpus):
        if index is not None and number != index:
            changed.append(gpu)
            continue
        if memory_used is not None and not 0 <= memory_used <= gpu.memory_total - gpu.memory_reserved:
            raise BadInput(f"{memory_used} MiB in use", hint=f"0 to {gpu.memory_total - gpu.memory_reserved}")
        values: dict[str, object] = {}
        if utilization is not None:
            # Load shows in more places than one; a monitor that watches power must see it too. Idle 61 W, full 400 W.
            values |= {
                "utilization": utilization,
                "memory_utilization": utilization * 6 // 10,
                "power": round(61 + (gpu.power_limit - 61) * utilization / 100, 1),
                "temperature": 34 + utilization * 36 // 100,
            }
        if memory_used is not None:
            values["memory_used"] = memory_used
        if ecc is not None:
            values["ecc_uncorrected"] = ecc
        if xid is not None:
            values |= {"xid": xid, "lost": xid in FATAL_XIDS}
        if lost is not None:
            values["lost"] = lost
        changed.append(msgspec.structs.replace(gpu, **values))
    return msgspec.structs.replace(
        scenario, gpus=tuple(changed), failure=scenario.failure if failure is None else failure
    )


def encode(scenario: Scenario) -> bytes:
    """Return the scenario file's content."""
    return msgspec.json.format(msgspec.json.encode(scenario), indent=1) + b"\n"


def decode(content: bytes, where: str = SCENARIO_PATH) -> Scenario:
    """Return the scenario in ``content``; BadInput names what is wrong with it."""
    try:
        return msgspec.json.decode(content, type=Scenario)
    except msgspec.DecodeError as error:
        raise BadInput(f"{where}: {error}", hint="--reset writes a healthy one") from None


def install(root: Path, scenario: Scenario) -> None:
    """Put nvidia-smi and its scenario below ``root``, the root directory of a host (or what is laid over it)."""
    program = Path(__file__).with_name("nvidia_smi.py").read_bytes()
    # The host's own Python, whatever the environment of the one who calls it.
    program = program.replace(b"#!/usr/bin/env python3", b"#!/usr/bin/python3", 1)
    write_atomically(root / PROGRAM_PATH, program, 0o755)
    write_atomically(root / SCENARIO_PATH, encode(scenario), 0o644)


def apply(
    root: Path,
    gpus: int,
    *,
    index: int | None = None,
    utilization: int | None = None,
    memory_used: int | None = None,
    ecc: int | None = None,
    xid: int | None = None,
    lost: bool | None = None,
    failure: Failure | None = None,
    reset: bool = False,
) -> Scenario:
    """Change the scenario of the host whose files are below ``root``, and return it. See `inject` for the values.

    ``gpus`` is what the host was made with: ``reset`` goes back to that many healthy ones.
    """
    path = root / SCENARIO_PATH
    if not reset and not path.is_file():
        raise BadInput("this host has no GPU", hint="make it with --gpus N")
    scenario = default(gpus) if reset else decode(path.read_bytes())
    scenario = inject(
        scenario,
        index=index,
        utilization=utilization,
        memory_used=memory_used,
        ecc=ecc,
        xid=xid,
        lost=lost,
        failure=failure,
    )
    write_atomically(path, encode(scenario), 0o644)
    return scenario
