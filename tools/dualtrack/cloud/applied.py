"""The stack as it was last applied: its output, its API, and the budget in its variables."""

from __future__ import annotations

import msgspec

from dualtrack.cloud import variables
from dualtrack.cloud.instances import applied_output
from dualtrack.core.errors import BadInput
from dualtrack.inventory import contract
from dualtrack.inventory import target as targets
from dualtrack.inventory.target import Stack


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """A stack and its API; ``endpoint`` is '' for the real AWS. ``budget`` is the stack's own, US$ a month."""

    output: contract.Output
    endpoint: str
    deployment: str
    budget: float | None


def applied(stack: Stack) -> Applied:
    """Return the stack as last applied; Missing when it is not up, BadInput for a budget that is none."""
    values = variables.read(variables.folder(stack))
    watch = values.get("watch") or {}
    budget = watch.get("budget_usd") if isinstance(watch, dict) else None
    return Applied(
        output=applied_output(stack),
        endpoint=targets.of(stack).endpoint(),
        deployment=str(values.get("name", "dualtrack")),
        budget=checked_budget(budget),
    )


def checked_budget(value: object) -> float | None:
    """Return a budget in US$ a month, None where there is none; BadInput for one that cannot be."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise BadInput(f"a budget of {value} cannot be", hint="US$ a month, more than 0")
    return float(value)
