"""The plan as the stack's variable `pools`: what changes in the two pools that are planned, and what stays. Pure."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from dualtrack.cloud.spot import demand
from dualtrack.cloud.spot.model import Demand, Limits, SpotPlan
from dualtrack.core.errors import BadInput

#: A file that begins with this is ours, as long as its digest agrees. "//" is a comment to OpenTofu and Terraform
#: (https://developer.hashicorp.com/terraform/language/syntax/json#comment-properties).
MARK = "written by `dualtrack spot plan`"

Pools = Mapping[str, Mapping[str, Any]]


def pair(pools: Pools, spot: str, on_demand: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the two pools that are planned; BadInput when one is not there, or is of the other kind."""
    found = []
    for name, lifecycle in ((spot, "spot"), (on_demand, "on-demand")):
        if name not in pools:
            raise BadInput(
                f"the stack has no pool {name!r}",
                hint=f"it has {', '.join(sorted(pools))}: name one with --spot-pool or --ondemand-pool",
            )
        if pools[name].get("lifecycle") != lifecycle:
            raise BadInput(
                f"pool {name} has lifecycle {pools[name].get('lifecycle')!r}, not {lifecycle!r}",
                hint="--spot-pool and --ondemand-pool name the two that are planned",
            )
        found.append(pools[name])
    return found[0], found[1]


def limits(
    pools: Pools, spot: str, on_demand: str, *, spot_max: int | None, on_demand_max: int | None,
    base: int | None, ceiling: float | None, discount: float,
) -> Limits:  # fmt: skip
    """Return the limits of the two pools as they stand, each of which an operator may set otherwise.

    What the spot pool buys on demand (`on_demand_base`) and what the on-demand pool never goes below (`min`) is the
    plan's base, unless ``base`` says otherwise: both are on-demand, and count against the ceiling.
    """
    ours, other = pair(pools, spot, on_demand)
    return Limits(
        spot_max=int(ours["max"]) if spot_max is None else spot_max,
        on_demand_max=int(other["max"]) if on_demand_max is None else on_demand_max,
        base=int(ours.get("on_demand_base") or 0) + int(other.get("min") or 0) if base is None else base,
        ceiling=ceiling,
        discount=discount,
    )


def demand_of(pools: Pools, names: Sequence[str], gpus: int, job: int) -> Demand:
    """Return what the pools ask for as they stand: sizes by the hour, in GPUs. A schedule counts for every day."""
    total = [0] * 24
    for name in names:
        for hour, size in enumerate(_sizes(pools[name])):
            total[hour] += size * gpus
    return demand.checked(Demand(tuple(total), job))


def _sizes(pool: Mapping[str, Any]) -> list[int]:
    """Return a pool's nodes by hour; in an hour in which the size changes, the larger one."""
    events = sorted((str(s["at"]), int(s["desired"])) for s in (pool.get("schedules") or {}).values())
    if not events:
        return [int(pool["desired"])] * 24
    sizes = []
    size = events[-1][1]  # midnight finds what the evening left
    for hour in range(24):
        inside = [desired for at, desired in events if at[:2] == f"{hour:02}"]
        starts = any(at == f"{hour:02}:00" for at, _ in events)
        sizes.append(max(inside if starts else [size, *inside]))
        size = inside[-1] if inside else size
    return sizes


def apply(pools: Pools, plan: SpotPlan, bounds: Limits, names: tuple[str, str], hour: int) -> dict[str, dict[str, Any]]:
    """Return all pools with the plan in the two that it is about; ``hour`` is now, whose size they are created with.

    Roles, disks and every other field stay, and so do the other pools. A plan without spot leaves the spot pool its
    types and zones, and no nodes.
    """
    pair(pools, *names)
    changed = {name: dict(pool) for name, pool in pools.items()}
    spot, on_demand = changed[names[0]], changed[names[1]]
    if plan.spot_types:
        spot["instance_types"] = list(plan.spot_types)
        spot["zones"] = list(plan.spot_zones)
    on_demand["instance_types"] = list(plan.on_demand_types)
    spot.pop("on_demand_base", None)  # in the on-demand pool's sizes: see `limits`
    for name, pool, sizes, most in (
        (names[0], spot, plan.spot_sizes, bounds.spot_max),
        (names[1], on_demand, plan.on_demand_sizes, bounds.on_demand_max),
    ):
        pool["max"] = most
        pool["min"] = min(int(pool.get("min") or 0), *sizes)
        pool["desired"] = sizes[hour]
        changes = demand.spans(sizes)
        # The pool's name is in the schedule's: AWS tells schedules apart by their group, the emulator by name alone.
        pool["schedules"] = (
            {f"{name}_{at:02}00": {"at": f"{at:02}:00", "desired": size} for at, size in changes}
            if len(changes) > 1
            else {}
        )
    return changed


def render(pools: Pools, prices: Sequence[str]) -> str:
    """Return the variables file's text: JSON, with a comment that says whose it is and which prices it follows from."""
    said = f"{MARK} from prices of: {'; '.join(prices)}. Do not edit it: sha256 {_digest(pools)}"
    return json.dumps({"//": said, "pools": pools}, indent=2, ensure_ascii=False) + "\n"


def ours(text: str) -> bool:
    """Tell whether a variables file was written by `render`, whether or not it was edited since."""
    return str(_comment(text)).startswith(MARK)


def untouched(text: str) -> bool:
    """Tell whether a variables file is as `render` wrote it: nobody's work is lost when it is replaced."""
    if not ours(text):
        return False
    return str(_comment(text)).endswith(_digest(json.loads(text).get("pools")))


def difference(before: str, after: str, name: str) -> str:
    """Return what writing would change, as a unified diff; '' when nothing."""
    return "".join(
        difflib.unified_diff(before.splitlines(True), after.splitlines(True), f"{name} (now)", f"{name} (planned)")
    )


def _comment(text: str) -> object:
    try:
        document = json.loads(text)
    except ValueError:
        return ""
    return document.get("//", "") if isinstance(document, dict) else ""


def _digest(pools: object) -> str:
    return hashlib.sha256(json.dumps(pools, sort_keys=True).encode()).hexdigest()[:16]
