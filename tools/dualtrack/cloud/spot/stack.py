"""The stack's variables on the disk: read as OpenTofu would, and the planned pools written beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from dualtrack.cloud import variables
from dualtrack.cloud.spot import tfvars
from dualtrack.core import paths
from dualtrack.core.errors import BadInput, Refused
from dualtrack.core.files import write_output

#: Where the plan goes without `--output`, in the stack's directory.
FILE = "pools.auto.tfvars.json"


class Stack(msgspec.Struct, frozen=True, kw_only=True):
    """What a stack's variables say, as far as a plan needs it."""

    region: str
    zones: tuple[str, ...]
    time_zone: str
    pools: dict[str, dict[str, Any]]


def read(where: Path) -> Stack:
    """Return the variables of the stack in a directory, without those that an earlier plan wrote.

    BadInput names the file that is damaged, and the variable that is not as the stack declares it.
    """
    values = variables.read(where, skip=tfvars.ours)
    try:
        return Stack(
            region=str(values["region"]),
            zones=tuple(values["network"]["subnets"]),
            time_zone=str(values["time_zone"]["name"]),
            pools={name: dict(pool) for name, pool in values["pools"].items()},
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadInput(
            f"the variables of {where} are not as variables.tf declares them: {error}",
            hint="region, network.subnets, time_zone.name and pools are read",
        ) from None


class Node(msgspec.Struct, frozen=True):
    """What every node of a set of types has: how many GPUs, and which ones (several where the types differ)."""

    gpus: int
    kinds: tuple[str, ...]


def node(types: tuple[str, ...]) -> Node:
    """Return what a node of any of these types has; BadInput for an unknown type, and for types that make no pool."""
    file = paths.ROOT / "terraform/modules/gpu_pool/instance_types.json"
    known = msgspec.json.decode(file.read_bytes(), type=dict[str, dict[str, Any]])
    unknown = [type_ for type_ in types if type_ not in known]
    if unknown:
        raise BadInput(
            f"instance type {unknown[0]} is not known",
            hint=f"one of {', '.join(sorted(known))}; {file.name} takes more",
        )
    counts = {type_: int(known[type_]["gpus"]) for type_ in types}
    if len(set(counts.values())) != 1:
        raise BadInput(
            "the types have different numbers of GPUs: "
            + ", ".join(f"{type_} {count}" for type_, count in counts.items()),
            hint="plan a pool of each: a job that fits one node must fit all",
        )
    gpus = next(iter(counts.values()))
    if gpus == 0:
        raise BadInput(f"{', '.join(types)}: no GPUs to plan", hint="name GPU types with --type")
    return Node(gpus, tuple(sorted({str(known[type_]["gpu"]) for type_ in types})))


def write(target: Path, text: str, *, force: bool) -> bool:
    """Write the planned variables; return whether the file changed. Refused for a file that is not ours, or was edited.

    Refused, too, where another variable file of the stack would win over this one: the plan would be in vain.
    """
    stronger = [
        file.name for file in variables.files(target.parent)
        if target.name.endswith((".auto.tfvars", ".auto.tfvars.json")) and ".auto.tfvars" in file.name
        and file.name > target.name and "pools" in variables.values_of(file)
    ]  # fmt: skip
    if stronger:
        raise Refused(f"{stronger[0]} sets pools, too, and wins over {target.name}", hint="take pools out of it")
    before = variables.text(target) if target.exists() else ""
    if before == text:
        return False
    if before and not tfvars.untouched(before) and not force:
        whose = "was edited since it was planned" if tfvars.ours(before) else "was not written by `dualtrack spot plan`"
        raise Refused(f"{target} {whose}", hint="--force overwrites it, --output FILE writes elsewhere")
    write_output(target, text.encode())
    return True


def present(target: Path) -> str:
    """Return the text that is in a variables file now, '' where there is none."""
    return variables.text(target) if target.exists() else ""
