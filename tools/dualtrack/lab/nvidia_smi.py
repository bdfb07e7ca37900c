#!/usr/bin/env python3
"""A simulator of `nvidia-smi` on lab hosts, which have no GPU: it answers from a scenario file.

Installed as /usr/bin/nvidia-smi inside a host and run by that host's own Python, so it uses the standard library alone.
Flags, column names, words and exit codes follow https://docs.nvidia.com/deploy/nvidia-smi/index.html; what it does not
know it refuses, as the real program does, so that a test cannot pass by asking for something that does not exist.
The scenario (/etc/dualtrack-lab/gpu.json) is written by dualtrack.lab.gpu, which describes its fields.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

SCENARIO = os.environ.get("DUALTRACK_GPU_SCENARIO", "/etc/dualtrack-lab/gpu.json")

# Exit codes of the real program.
BAD_ARGUMENT, NOT_FOUND, NO_DRIVER, LOST, MISMATCH = 2, 6, 9, 15, 18

Gpu = dict[str, Any]

SAME = {"gpu_name": "name", "gpu_uuid": "uuid", "gpu_bus_id": "pci.bus_id", "gpu_serial": "serial",
        "clocks.current.sm": "clocks.sm", "clocks.current.memory": "clocks.mem", "clocks.mem.current": "clocks.mem",
        "temperature": "temperature.gpu"}  # fmt: skip
PROCESS_FIELDS = ("gpu_uuid", "pid", "process_name", "used_memory", "gpu_name", "gpu_bus_id")

# Units of the columns that have one; they are printed unless `nounits` is asked for.
UNITS = {
    "power.draw": "W",
    "power.limit": "W",
    "utilization.gpu": "%",
    "utilization.memory": "%",
    "memory.total": "MiB",
    "memory.used": "MiB",
    "memory.free": "MiB",
    "memory.reserved": "MiB",
    "clocks.sm": "MHz",
    "clocks.mem": "MHz",
    "clocks.max.sm": "MHz",
}


def columns(gpu: Gpu, scenario: dict[str, Any]) -> dict[str, Any]:
    """Return every column that `--query-gpu` knows, for one GPU."""
    return {
        "timestamp": time.strftime("%Y/%m/%d %H:%M:%S.000"),
        "driver_version": scenario["driver"],
        "count": len(scenario["gpus"]),
        "index": gpu["index"],
        "name": gpu["name"],
        "uuid": gpu["uuid"],
        "serial": gpu["serial"],
        "pci.bus_id": gpu["bus_id"],
        "vbios_version": "92.00.9F.00.01",
        "persistence_mode": "Enabled",
        "compute_mode": "Default",
        "compute_cap": gpu["compute_cap"],
        "mig.mode.current": "Disabled",
        "pstate": "P0",
        "fan.speed": "[N/A]",
        "temperature.gpu": gpu["temperature"],
        "power.draw": f"{gpu['power']:.2f}",
        "power.limit": f"{gpu['power_limit']:.2f}",
        "utilization.gpu": gpu["utilization"],
        "utilization.memory": gpu["memory_utilization"],
        "memory.total": gpu["memory_total"],
        "memory.used": gpu["memory_used"],
        "memory.free": gpu["memory_total"] - gpu["memory_used"] - gpu["memory_reserved"],
        "memory.reserved": gpu["memory_reserved"],
        "clocks.sm": gpu["clock_sm"],
        "clocks.mem": gpu["clock_mem"],
        "clocks.max.sm": gpu["clock_sm_max"],
        "ecc.mode.current": "Enabled",
        "ecc.errors.corrected.volatile.total": gpu["ecc_corrected"],
        "ecc.errors.uncorrected.volatile.total": gpu["ecc_uncorrected"],
        "ecc.errors.corrected.aggregate.total": gpu["ecc_corrected"],
        "ecc.errors.uncorrected.aggregate.total": gpu["ecc_uncorrected"],
        "retired_pages.pending": "No",
        "pcie.link.gen.current": gpu["pcie_gen"],
        "pcie.link.width.current": gpu["pcie_width"],
        "pcie.link.gen.max": 4,
        "pcie.link.width.max": 16,
    }


def fail(code: int, message: str) -> NoReturn:
    """Print ``message`` where the real program prints its errors (stdout), and end with ``code``."""
    print(message)
    raise SystemExit(code)


def load() -> dict[str, Any]:
    """Return the scenario, each GPU with its index; end as a host without a driver would when there is none."""
    try:
        scenario: dict[str, Any] = json.loads(Path(SCENARIO).read_text(encoding="utf-8"))
    except FileNotFoundError:
        scenario = {"failure": "no-driver", "gpus": []}
    for index, gpu in enumerate(scenario["gpus"]):
        gpu["index"] = index
    if scenario.get("failure") == "nvml-mismatch":
        fail(MISMATCH, "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: "
             + scenario["driver"].rsplit(".", 1)[0])  # fmt: skip
    if scenario.get("failure") == "no-driver":
        fail(NO_DRIVER, "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that "
             "the latest NVIDIA driver is installed and running.\n")  # fmt: skip
    return scenario


def chosen(scenario: dict[str, Any], ids: str | None) -> list[Gpu]:
    """Return the GPUs that `-i` names (index, UUID, serial or bus id), or all."""
    gpus: list[Gpu] = scenario["gpus"]
    if not ids:
        if not gpus:
            fail(NOT_FOUND, "No devices were found")
        return gpus
    found = []
    for word in ids.split(","):
        match = [
            g for g in gpus if word in (str(g["index"]), g["uuid"], g["serial"]) or word.lower() == g["bus_id"].lower()
        ]
        if not match:
            fail(NOT_FOUND, "No devices were found")
        found += match
    return found


def lost(gpu: Gpu) -> str:
    """Return the real program's sentence for a GPU that fell off the bus."""
    return (f"Unable to determine the device handle for GPU{gpu['index']}: {gpu['bus_id']}: GPU is lost.  "
            "Reboot the system to recover this GPU")  # fmt: skip


def value(field: str, gpu: Gpu, scenario: dict[str, Any], units: bool) -> str:
    """Return one cell of a query."""
    name = SAME.get(field, field)
    cell, unit = columns(gpu, scenario)[name], UNITS.get(name)
    return f"{cell} {unit}" if units and unit and cell != "[N/A]" else str(cell)


def formats(text: str) -> tuple[bool, bool]:
    """Return (header wanted, units wanted) of `--format`."""
    words = text.split(",")
    unknown = set(words) - {"csv", "noheader", "nounits"}
    if unknown or "csv" not in words:
        fail(BAD_ARGUMENT, f'"--format=" must include "csv"; unknown: {", ".join(sorted(unknown)) or "none"}')
    return "noheader" not in words, "nounits" not in words


def query(fields: list[str], gpus: list[Gpu], scenario: dict[str, Any], form: str) -> int:
    """Print `--query-gpu`; a lost GPU costs its row and the exit code, the others still answer."""
    header, units = formats(form)
    known = columns(gpus[0], scenario)
    for field in fields:
        if SAME.get(field, field) not in known:
            fail(BAD_ARGUMENT, f'Field "{field}" is not a valid field to query.\n')
    if header:
        shown = [(field, UNITS.get(SAME.get(field, field), "")) for field in fields]
        print(", ".join(f"{field} [{unit}]" if units and unit else field for field, unit in shown))
    code = 0
    for gpu in gpus:
        if gpu["lost"]:
            print(lost(gpu))
            code = LOST
            continue
        print(", ".join(value(field, gpu, scenario, units) for field in fields))
    return code


def query_processes(fields: list[str], gpus: list[Gpu], form: str) -> int:
    """Print `--query-compute-apps`."""
    header, units = formats(form)
    for field in fields:
        if field not in PROCESS_FIELDS:
            fail(BAD_ARGUMENT, f'Field "{field}" is not a valid field to query.\n')
    if header:
        print(", ".join(f"{f} [MiB]" if f == "used_memory" and units else f for f in fields))
    for gpu in gpus:
        for process in gpu["processes"]:
            cells = {"gpu_uuid": gpu["uuid"], "gpu_name": gpu["name"], "gpu_bus_id": gpu["bus_id"],
                     "pid": process["pid"], "process_name": process["name"],
                     "used_memory": f"{process['memory']} MiB" if units else process["memory"]}  # fmt: skip
            print(", ".join(str(cells[field]) for field in fields))
    return 0


def listing(gpus: list[Gpu]) -> int:
    """Print `-L`."""
    code = 0
    for gpu in gpus:
        if gpu["lost"]:
            print(lost(gpu))
            code = LOST
        else:
            print(f"GPU {gpu['index']}: {gpu['name']} (UUID: {gpu['uuid']})")
    return code


def full(gpus: list[Gpu], scenario: dict[str, Any]) -> int:
    """Print the part of `-q` that tools read: `key : value` under each GPU's bus id."""
    print("\n==============NVSMI LOG==============\n")
    rows = [("Timestamp", time.strftime("%a %b %e %H:%M:%S %Y")), ("Driver Version", scenario["driver"]),
            ("CUDA Version", scenario["cuda"]), ("", ""), ("Attached GPUs", len(scenario["gpus"]))]  # fmt: skip
    for key, shown in rows:
        print(f"{key:<42}: {shown}" if key else "")
    code = 0
    sections = (
        (None, (("Product Name", "name"), ("Serial Number", "serial"), ("GPU UUID", "uuid"))),
        ("FB Memory Usage", (("Total", "memory.total"), ("Reserved", "memory.reserved"), ("Used", "memory.used"),
                             ("Free", "memory.free"))),
        ("Utilization", (("Gpu", "utilization.gpu"), ("Memory", "utilization.memory"))),
        ("ECC Errors", (("Volatile Corrected", "ecc.errors.corrected.volatile.total"),
                        ("Volatile Uncorrected", "ecc.errors.uncorrected.volatile.total"))),
        ("Temperature", (("GPU Current Temp", "temperature.gpu"),)),
        ("GPU Power Readings", (("Power Draw", "power.draw"), ("Current Power Limit", "power.limit"))),
        ("Clocks", (("SM", "clocks.sm"), ("Memory", "clocks.mem"))),
    )  # fmt: skip
    for gpu in gpus:
        print(f"GPU {gpu['bus_id']}")
        if gpu["lost"]:
            print(f"    {'GPU is lost':<38}: Yes")
            code = LOST
            continue
        for title, keys in sections:
            indent = 4
            if title:
                print(f"    {title}")
                indent = 8
            for key, field in keys:
                print(f"{' ' * indent}{key:<{42 - indent}}: {value(field, gpu, scenario, True)}")
        print()
    return code


def table(gpus: list[Gpu], scenario: dict[str, Any]) -> int:
    """Print what the program prints without arguments, simplified: one box, two lines a GPU."""
    line = "+" + "-" * 41 + "+" + "-" * 24 + "+" + "-" * 22 + "+"
    print(time.strftime("%a %b %e %H:%M:%S %Y"))
    print("+" + "-" * 89 + "+")
    driver, cuda = scenario["driver"], scenario["cuda"]
    print(f"| NVIDIA-SMI {driver:<23}Driver Version: {driver:<15}CUDA Version: {cuda:<8} |")
    print(line)
    print(f"| {'GPU  Name':<28}{'Persist-M':>11} | {'Bus-Id          Disp.A':<22} | {'Volatile Uncorr. ECC':<20} |")
    print(f"| {'Fan  Temp   Perf':<20}{'Pwr:Usage/Cap':>19} | {'Memory-Usage':>22} | {'GPU-Util  Compute M.':<20} |")
    print(line)
    code = 0
    for gpu in gpus:
        if gpu["lost"]:
            print(f"| {gpu['index']:>3}  {'GPU is lost. Reboot the system to recover':<82} |")
            code = LOST
            continue
        power = f"{gpu['power']:.0f}W / {gpu['power_limit']:.0f}W"
        memory = f"{gpu['memory_used']}MiB / {gpu['memory_total']}MiB"
        utilization = f"{gpu['utilization']:>4}%"
        errors = gpu["ecc_uncorrected"]
        print(
            f"| {gpu['index']:>3}  {gpu['name'][:24]:<24}{'On':>10} | {gpu['bus_id']:<16} {'Off':>5} | {errors:>20} |"
        )
        print(f"| N/A  {gpu['temperature']:>3}C    P0{power:>24}   | {memory:>22} | {utilization:>8} {'Default':>11} |")
        print(line)
    print("\nProcesses:")
    running = [(gpu, process) for gpu in gpus for process in gpu["processes"]]
    for gpu, process in running:
        print(f"  GPU {gpu['index']}  PID {process['pid']}  C  {process['name']}  {process['memory']}MiB")
    if not running:
        print("  No running processes found")
    return code


def main(arguments: list[str]) -> int:
    """Answer one call and return the exit code."""
    parser = argparse.ArgumentParser(prog="nvidia-smi", allow_abbrev=False)
    parser.add_argument("-L", "--list-gpus", action="store_true")
    parser.add_argument("-q", "--query", action="store_true")
    parser.add_argument("-d", "--display")
    parser.add_argument("-i", "--id")
    parser.add_argument("-pm", "--persistence-mode", choices=["0", "1"])
    parser.add_argument("--query-gpu")
    parser.add_argument("--query-compute-apps")
    parser.add_argument("--format", default="")
    parser.add_argument("--version", action="store_true")
    asked = parser.parse_args(arguments)
    scenario = load()
    if asked.version:
        print(f"NVIDIA-SMI version  : {scenario['driver']}\nDRIVER version      : {scenario['driver']}\n"
              f"CUDA Version        : {scenario['cuda']}")  # fmt: skip
        return 0
    gpus = chosen(scenario, asked.id)
    if asked.persistence_mode:
        print("All done.")
        return 0
    if asked.query_gpu:
        return query([field.strip() for field in asked.query_gpu.split(",")], gpus, scenario, asked.format)
    if asked.query_compute_apps:
        return query_processes([field.strip() for field in asked.query_compute_apps.split(",")], gpus, asked.format)
    if asked.list_gpus:
        return listing(gpus)
    if asked.query:
        return full(gpus, scenario)
    return table(gpus, scenario)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
