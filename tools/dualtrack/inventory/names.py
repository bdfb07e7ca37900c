"""How an EC2 instance is called in inventories: readable, stable for its whole life, unique."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

SHORT = 8


def host_names(instances: Sequence[tuple[str, str]]) -> list[str]:
    """Return a name for each (pool, instance id): the pool and eight characters of the id, the whole id on a clash.

    The name follows the instance, not its address, so that a replacement is never taken for its predecessor.
    """
    short = [_name(pool, instance_id, SHORT) for pool, instance_id in instances]
    seen = Counter(short)
    return [
        name if seen[name] == 1 else _name(pool, instance_id, None)
        for name, (pool, instance_id) in zip(short, instances, strict=True)
    ]


def _name(pool: str, instance_id: str, length: int | None) -> str:
    tail = instance_id.removeprefix("i-")[:length]
    return f"{pool}-{tail}" if pool else f"i-{tail}"
