"""A report for people."""

from __future__ import annotations

from dualtrack.output import console, table
from dualtrack.verify.model import Report


def show(report: Report) -> None:
    """Print a row a host, then each failed check with the assertion that did not hold."""
    table(
        ("host", "state", "passed", "failed", "roles"),
        [(h.name, h.state, str(h.passed), str(len(h.failures)), ", ".join(h.roles)) for h in report.hosts],
    )
    out = console()
    for host in report.hosts:
        if host.reason:
            out.print(f"{host.name} cannot be reached: {host.reason}", markup=False)
        for failure in host.failures:
            out.print(f"{host.name}: not true that {failure.check} [{failure.role}]", markup=False)
            out.print(f"    {failure.assertion}", markup=False)
        for reason in host.skipped:
            out.print(f"{host.name}: not checked: {reason}", markup=False)
    out.print(f"{report.headline} ({report.seconds} s)", markup=False)
