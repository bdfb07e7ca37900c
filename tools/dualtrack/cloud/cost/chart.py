"""The break-even as a picture: both tracks' cost by calls, and what each assumption does to it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dualtrack.cloud.cost.breakeven import BreakEvenReport
from dualtrack.core.files import write_output

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOCAL, CLOUD = "#0b6e4f", "#c2410c"
#: Steps along the axis of calls.
STEPS = 400
#: The tornado shows this many assumptions: those that move the result most.
MOST = 8


def write(report: BreakEvenReport, path: Path) -> None:
    """Draw to a PNG file, which appears whole or not at all."""
    import io

    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    _costs(left, report)
    _tornado(right, report)
    data = io.BytesIO()
    figure.savefig(data, format="png")
    write_output(path, data.getvalue())


def costs(report: BreakEvenReport, calls: float) -> tuple[float, float]:
    """Return what ``calls`` a month cost on the local track and in the cloud, in ¥ a month."""
    import math

    it = report.reckoning
    servers = max(1, math.ceil(calls / it.server_calls_per_month))
    local = servers * it.server_cny_per_month + it.local_fixed_cny_per_month
    cloud = max(it.cloud_minimum_cny_per_month, calls * it.cloud_cny_per_call) + it.cloud_fixed_cny_per_month
    return local, cloud


def _costs(axes: Axes, report: BreakEvenReport) -> None:
    even = report.break_even_calls_per_month
    end = max(2.0 * (even or 0), 1.2 * report.reckoning.server_calls_per_month)
    calls = [end * step / STEPS for step in range(STEPS + 1)]
    lines = [costs(report, it) for it in calls]
    thousands = [it / 1000 for it in calls]
    axes.plot(thousands, [it[0] for it in lines], color=LOCAL, label="local", drawstyle="steps-pre")
    axes.plot(thousands, [it[1] for it in lines], color=CLOUD, label="cloud")
    if even is not None:
        axes.axvline(even / 1000, color="grey", linestyle=":")
        axes.annotate(f" {even:,} calls", (even / 1000, axes.get_ylim()[1] * 0.95))
    axes.set(title="Cost of a month", xlabel="thousand calls a month", ylabel="CNY a month", xlim=(0, end / 1000))
    axes.set_ylim(bottom=0)
    axes.legend(loc="lower right")


def _tornado(axes: Axes, report: BreakEvenReport) -> None:
    rows = [it for it in report.sensitivity if it.at_low != it.at_high][:MOST]
    never = 1.15 * max((end for it in rows for end in (it.at_low, it.at_high) if end is not None), default=1)
    middle = never if report.break_even_calls_per_month is None else report.break_even_calls_per_month
    for place, it in enumerate(rows):
        for end, colour in ((it.at_low, "#94a3b8"), (it.at_high, "#334155")):
            reach = never if end is None else end
            axes.barh(place, (reach - middle) / 1000, left=middle / 1000, color=colour)
            if end is None:
                axes.annotate("never ", (never / 1000, place), ha="right", va="center", color="white")
    axes.set_yticks(range(len(rows)), [it.figure for it in rows])
    axes.invert_yaxis()
    axes.axvline(middle / 1000, color="grey", linestyle=":")
    axes.set(
        title=f"Break-even by assumption: {report.swing_percent:g} % less (light), more (dark)",
        xlabel="thousand calls a month",
    )
