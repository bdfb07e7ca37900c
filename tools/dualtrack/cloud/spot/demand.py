"""How many GPUs are wanted at which hour, and how many nodes that takes. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dualtrack.cloud.spot.model import Demand
from dualtrack.core.errors import BadInput

SPAN = re.compile(r"(?:(\d{1,2})-(\d{1,2})=)?(\d{1,6})")
_HINT = "write 16 for the whole day, or 08-20=16,20-08=32: from hour to hour, GPUs"


def parse(text: str, job: int) -> Demand:
    """Return the demand that a text names: `16`, or `08-20=16,20-08=32`; hours that it does not name want none."""
    gpus: list[int | None] = [None] * 24
    for part in text.replace(" ", "").split(","):
        found = SPAN.fullmatch(part)
        if not found:
            raise BadInput(f"--demand: {part!r} is not understood", hint=_HINT)
        begin, end = int(found[1] or 0), int(found[2] or 24)
        if begin > 23 or end > 24:
            raise BadInput(f"--demand: {part!r} names an hour that no day has", hint="hours go from 0 to 24")
        hours = range(begin, end) if begin < end else [*range(begin, 24), *range(end)]
        for hour in hours:
            if gpus[hour] is not None:
                raise BadInput(f"--demand: the hour from {hour:02}:00 is named twice", hint=_HINT)
            gpus[hour] = int(found[3])
    return checked(Demand(tuple(number or 0 for number in gpus), job))


def checked(demand: Demand) -> Demand:
    """Return the demand; BadInput when it cannot be one."""
    if demand.job < 1:
        raise BadInput(f"a job of {demand.job} GPUs is none", hint="1 or more")
    if len(demand.gpus) != 24 or min(demand.gpus) < 0:
        raise BadInput("a demand has 24 hours, none of them below 0", hint=_HINT)
    return demand


def nodes(gpus: int, per_node: int, job: int) -> int:
    """Return how many nodes of ``per_node`` GPUs the jobs take: no job is cut, so the last node may be half idle."""
    jobs = -(-gpus // job)
    if job > per_node:
        return jobs * -(-job // per_node)
    return -(-jobs // (per_node // job))


def holds(count: int, per_node: int, job: int) -> int:
    """Return how many GPUs' worth of whole jobs ``count`` nodes hold."""
    if job > per_node:
        return count // -(-job // per_node) * job
    return count * (per_node // job) * job


def spans(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Return (hour, size) for each hour at which the size changes, around the clock; one entry when it never does."""
    changes = [(hour, size) for hour, size in enumerate(sizes) if size != sizes[hour - 1]]
    return changes or [(0, sizes[0])]
