"""A break-even and a cost report for people."""

from __future__ import annotations

from collections.abc import Iterator

from dualtrack.cloud.cost.breakeven import GUIDE_CALLS, BreakEvenReport
from dualtrack.cloud.cost.running import CostReport
from dualtrack.core.output import echo, table


def breakeven(report: BreakEvenReport) -> None:
    """Print the two sides, where they meet, what moves that, and whose numbers these are."""
    it, of, swing = report.reckoning, report.assumptions, f"{report.swing_percent:g}"
    table(
        ("", "local", "cloud"),
        [
            ("a month, whatever comes", f"¥{it.server_cny_per_month + it.local_fixed_cny_per_month:,.0f}",
             f"¥{it.cloud_minimum_cny_per_month + it.cloud_fixed_cny_per_month:,.0f}"),
            ("a thousand calls", f"¥{1000 * it.full_server_cny_per_call:,.2f} when full",
             f"¥{1000 * it.cloud_cny_per_call:,.2f}"),
            ("calls a month at most", f"{it.server_calls_per_month:,.0f} a server", "as many as nodes are bought"),
        ],
    )  # fmt: skip
    for line in _meeting(report):
        echo(line)
    table(
        ("assumption", "is", f"{swing} % less", "break-even", f"{swing} % more", "break-even"),
        [
            (row.figure, f"{row.value:,g}", f"{row.low:,g}", _calls(row.at_low), f"{row.high:,g}", _calls(row.at_high))
            for row in report.sensitivity
        ],
        title="What moves it most",
    )  # fmt: skip
    exchange = of.exchange
    echo(f"exchange   ¥{exchange.cny_per_usd:g} for a US$, {exchange.taken} ({of.sources[exchange.source].what})")
    for name, source in of.sources.items():
        echo(f"{name:<10} {source.what} ({source.taken})")


def _meeting(report: BreakEvenReport) -> Iterator[str]:
    it = report.reckoning
    if report.break_even_calls_per_month is None:
        yield f"break-even: never: {it.why}"
    else:
        yield f"break-even: {report.break_even_calls_per_month:,} calls a month: {it.why}"
        servers = "one server" if it.servers == 1 else f"{it.servers} servers"
        yield f"            up to {it.holds_to_calls_per_month:,} calls: more than {servers} can serve need another"
    if report.agrees_with_guide:
        yield f"            the guide says {GUIDE_CALLS:,}: with these assumptions it is right"
    else:
        yield f"            the guide says {GUIDE_CALLS:,}: with these assumptions it is WRONG"


def _calls(calls: int | None) -> str:
    return "never" if calls is None else f"{calls:,}"


def running(report: CostReport) -> None:
    """Print what runs now, the most expensive first, with the sums in both currencies."""
    table(
        ("track", "pool, data or server", "kind", "lifecycle", "quantity", "$/h", "$/month"),
        [
            (row.track, row.name, row.kind, row.lifecycle, f"{row.quantity:,.6g} {row.unit}", _usd(row.usd_per_hour),
             _usd(row.usd_per_month))
            for row in report.rows
        ],
        title=f"What runs now: {report.region} and the servers of your own",
    )  # fmt: skip
    least = "at least " if report.unpriced else ""
    rate = report.cny_per_usd
    echo(f"an hour    {least}${report.usd_per_hour:,.2f} (¥{report.usd_per_hour * rate:,.2f})")
    echo(f"a month    {least}${report.usd_per_month:,.2f} (¥{report.usd_per_month * rate:,.0f})")
    if report.budget_usd_per_month is None:
        echo("budget     none: --budget, or the stack's watch.budget_usd")
    else:
        part = 100 * report.usd_per_month / report.budget_usd_per_month
        echo(f"budget     ${report.budget_usd_per_month:,.2f} a month: {least}{part:.1f} % of it")
    for title, lines in (
        ("no price", report.unpriced), ("prices", report.prices), ("notes", report.notes), ("FINDING", report.findings),
    ):  # fmt: skip
        for line in lines:
            echo(f"{title:<10} {line}")


def _usd(value: float | None) -> str:
    return "?" if value is None else f"{value:,.2f}"
