"""A plan for people: the day as a table with bars, the zones and types with their reasons, the money."""

from __future__ import annotations

from collections.abc import Iterator

from dualtrack.cloud.spot.actions import Planned
from dualtrack.cloud.spot.model import Hour, SpotPlan
from dualtrack.core.output import echo, table

#: Bars are this many characters at most; a fleet that is larger is drawn to scale.
WIDTH = 24


def show(planned: Planned) -> None:
    """Print the plan."""
    plan = planned.plan
    most = max((hour.spot + hour.on_demand for hour in plan.hours), default=0)
    rows = [
        (
            span, str(first.gpus), bar(first, most), str(first.spot), str(first.on_demand),
            f"{first.usd:,.2f}", f"{first.all_on_demand_usd:,.2f}", _short(first), where(first, plan.region), first.why,
        )
        for span, first in merged(plan)
    ]  # fmt: skip
    table(
        ("hours", "GPUs", "█ spot ░ on demand", "spot", "od", "$/h", "all od $/h", "short", "where (spot+od)", "why"),
        rows,
        title=f"{plan.region}, hours of {planned.time_zone}, {planned.gpus_per_node} GPUs a node",
    )  # fmt: skip
    table(
        ("zone or type", "spot", "why"),
        [(it.name, "yes" if it.spot else "no", it.why) for it in (*plan.zones, *plan.types)],
    )
    for line in summary(planned):
        echo(line)


def merged(plan: SpotPlan) -> Iterator[tuple[str, Hour]]:
    """Yield runs of hours that are alike: ("08-20", the first of them)."""
    begin = plan.hours[0]
    for hour, following in zip(plan.hours, (*plan.hours[1:], None), strict=True):
        if following is None or _alike(following) != _alike(begin):
            yield f"{begin.hour:02}-{hour.hour + 1:02}", begin
            if following is not None:
                begin = following


def _alike(hour: Hour) -> tuple[object, ...]:
    return hour.gpus, hour.spot, hour.on_demand, round(hour.usd, 2), hour.short_gpus, hour.why, where(hour)


def bar(hour: Hour, most: int) -> str:
    """Return an hour's nodes as a bar: full for spot, light for on-demand."""
    scale = min(1.0, WIDTH / most) if most else 0.0
    return "█" * round(hour.spot * scale) + "░" * round(hour.on_demand * scale)


def where(hour: Hour, region: str = "") -> str:
    """Return the nodes of each zone and what spot costs there: `a 2+1 at 9.80` is two on spot and one on demand."""
    return ", ".join(
        f"{share.zone.removeprefix(region)} {share.spot}+{share.on_demand}"
        + (f" at {share.spot_usd:.2f}" if share.spot_usd else "")
        for share in hour.zones
    )


def _short(hour: Hour) -> str:
    return f"{hour.short_gpus} GPUs" if hour.short_gpus else ""


def summary(planned: Planned) -> Iterator[str]:
    """Yield the lines below the tables."""
    plan, money = planned.plan, planned.plan.money
    yield f"spot types       {', '.join(plan.spot_types) or 'none: no spot is bought'}"
    costs = (f"{name} {plan.on_demand_usd[name]:.2f}" for name in plan.on_demand_types)
    yield f"on-demand types  {', '.join(costs)} $/h"
    yield f"the day costs    ${money.plan:,.2f}: spot ${money.spot:,.2f}, on demand ${money.on_demand:,.2f}"
    yield (
        f"all on demand    ${money.all_on_demand:,.2f}: the plan saves ${money.saving:,.2f},"
        f" {money.saving_percent:.1f} %"
    )
    yield f"at most          ${money.at_most:,.2f}, with the most expensive zone and type at every hour"
    if planned.limits.ceiling is not None:
        yield (
            f"ceiling          ${planned.limits.ceiling:,.2f} a day on demand; the plan uses up to"
            f" ${money.on_demand_at_most:,.2f} of it"
        )
    if plan.idle_gpu_hours:
        yield f"idle             {plan.idle_gpu_hours} GPU hours are paid for and not asked for: nodes are bought whole"
    if plan.short_gpu_hours:
        worst = max(hour.short_gpus for hour in plan.hours)
        yield f"SHORT            by {worst} GPUs at worst, {plan.short_gpu_hours} GPU hours in all"
    for number, line in enumerate(plan.prices):
        yield f"{'prices' if number == 0 else '':<16} {line}"
    for number, line in enumerate(plan.notes):
        yield f"{'notes' if number == 0 else '':<16} {line}"
