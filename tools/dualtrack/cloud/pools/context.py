"""Which stack is watched: its output, its API, and the directory of its watch. And what the commands show of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import msgspec

from dualtrack.cloud import stack as stacks
from dualtrack.cloud.pools import costs
from dualtrack.cloud.pools.fallback import Budget
from dualtrack.cloud.pools.model import Group, Policy
from dualtrack.cloud.pools.state import Entry, Store
from dualtrack.cloud.prices import files
from dualtrack.cloud.prices.book import Book
from dualtrack.core import paths
from dualtrack.core.errors import BadInput, External
from dualtrack.inventory import contract
from dualtrack.inventory import target as targets
from dualtrack.inventory.target import Stack


class Place(msgspec.Struct, frozen=True):
    """One stack as the watch needs it. ``endpoint`` is '' for the real AWS."""

    output: contract.Output
    endpoint: str
    folder: Path


def folder(stack: Stack) -> Path:
    """Return where the watch of a stack keeps its memory and journal."""
    return paths.STATE / "pools" / stack


def place(stack: Stack, *, inventory: Path | None = None, endpoint: str = "") -> Place:
    """Return a stack's place.

    ``inventory`` is a JSON file with the stack's output `inventory` (else OpenTofu's state is asked), ``endpoint``
    another API than the stack's own. Raises BadInput, Missing and External.
    """
    if inventory is not None:
        try:
            value = msgspec.json.decode(inventory.read_bytes())
        except OSError as error:
            raise BadInput(f"cannot read {inventory}: {error.strerror}") from None
        except msgspec.DecodeError as error:
            raise BadInput(f"{inventory} is not JSON: {error}", hint="tofu output -json inventory writes it") from None
    else:
        value = stacks.outputs(stack).get("inventory")
    output = contract.parse(value)
    if not any(pool.gpus for pool in output.pools.values()):
        raise BadInput("the stack has no pool with GPUs", hint="terraform/stacks/aws/variables.tf: pools")
    return Place(output, endpoint or targets.of(stack).endpoint(), folder(stack))


def policy(
    output: contract.Output, book: Book, *, ceiling: float | None, grace: float, hold: float, cooldown: float,
    interval: float,
) -> Policy:  # fmt: skip
    """Return what the operator allows, checked; BadInput for a ceiling that is none."""
    if ceiling is not None and not (math.isfinite(ceiling) and ceiling >= 0):
        raise BadInput(f"--ceiling {ceiling:g}", hint="US$ a day, 0 or more")
    by_pool = costs.by_pool(output, book)
    gap, window = max(300.0, 3 * interval), max(900.0, grace)
    return Policy(
        costs=by_pool, ceiling=ceiling, grace_s=grace, hold_s=hold, cooldown_s=cooldown, window_s=window, gap_s=gap
    )


def prices(path: Path | None) -> Book:
    """Return the price facts, the repository's own without a file."""
    return files.load(path) if path else files.load()


class PoolStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One pool: sizes as AWS has them now, ``raised`` by the watch, zones avoided with the end of that (epoch)."""

    pool: str
    group: str
    lifecycle: str
    nodes: int
    desired: int
    max: int
    raised: int
    zones: tuple[str, ...]
    avoided: dict[str, float]
    usd_per_day: float | None
    inconsistency: str = msgspec.field(name="doubt")


class PoolsStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The pools now. ``usd_per_day`` is what on-demand nodes cost; ``ceiling`` what the watch last ran with."""

    pools: tuple[PoolStatus, ...]
    usd_per_day: float | None
    ceiling: float | None
    last_look: float
    watching: bool
    prices: tuple[str, ...]
    problem: str


def status(where: Place, book: Book) -> PoolsStatus:
    """Return how the pools are. When the API cannot be asked, that is the problem in the answer."""
    from dualtrack.cloud.pools.api import Api

    store = Store(where.folder)
    kept, problem = store.peek()
    groups: dict[str, Group] = {}
    try:
        groups = Api(where.output.region, where.endpoint).observe(where.output, kept.memory).groups
    except External as error:
        problem = f"{problem}; {error}" if problem else str(error)
    costs_now = costs.by_pool(where.output, book)
    rows = []
    for name, group in sorted(groups.items()):
        known = kept.memory.pools.get(name)
        rows.append(
            PoolStatus(
                pool=name,
                group=group.group,
                lifecycle=group.lifecycle,
                nodes=len(group.nodes),
                desired=group.desired,
                max=group.max,
                raised=kept.memory.fallback_nodes(name),
                zones=group.inside,
                avoided={zone: it.until for zone, it in known.avoided.items()} if known else {},
                usd_per_day=Budget({name: group}, Policy(costs=costs_now)).usd_per_day(),
                inconsistency=group.inconsistency,
            )
        )
    total = Budget(groups, Policy(costs=costs_now)).usd_per_day() if groups else None
    return PoolsStatus(
        pools=tuple(rows),
        usd_per_day=total,
        ceiling=kept.ceiling,
        last_look=kept.memory.at,
        watching=store.busy(),
        prices=costs.dates(
            {it for pool in where.output.pools.values() if pool.gpus for it in pool.instance_types},
            where.output.region,
            book,
        ),
        problem=problem,
    )


def check_ceiling(allowed: Policy) -> None:
    """Raise BadInput where a watch that shall act has no ceiling."""
    if allowed.ceiling is None:
        hint = "--ceiling USD_PER_DAY, of which 0 raises nothing; --dry-run needs none"
        raise BadInput("to act, the watch needs to know what on-demand may cost", hint=hint)


def watch(
    where: Place, allowed: Policy, *, apply: bool, once: bool, interval: float, say: Callable[[Entry], None]
) -> None:  # fmt: skip
    """Watch a stack until stopped, or look once. Refused without a ceiling when it shall act."""
    from dualtrack.cloud.pools.api import Api
    from dualtrack.cloud.pools.controller import Watch

    if apply:
        check_ceiling(allowed)
    cloud = Api(where.output.region, where.endpoint)
    store = Store(where.folder, dry=not apply)
    Watch(cloud, where.output, allowed, store, apply=apply, say=say).run(once=once, interval=interval)
