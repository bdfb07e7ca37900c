"""A report for people."""

from __future__ import annotations

from dualtrack.core.output import echo, table
from dualtrack.verify.model import CheckReport


def show(report: CheckReport) -> None:
    """Print a row a host, what was not checked and where, and last of all each failure with the assertion."""
    table(
        ("host", "state", "passed", "failed", "roles", "not checked", "reason"),
        [
            (h.name, h.state, str(h.passed), str(len(h.failures)), ", ".join(h.roles), str(len(h.skipped)), h.reason)
            for h in report.hosts
        ],
        wide=2,
    )
    unchecked: dict[str, list[str]] = {}
    for host in report.hosts:
        for reason in host.skipped:
            unchecked.setdefault(reason, []).append(host.name)
    for reason, names in unchecked.items():
        echo(f"not checked on {', '.join(names)}: {reason}")
    for host in report.hosts:
        if host.reason:
            echo(f"{host.name} cannot be reached: {host.reason}")
        for failure in host.failures:
            echo(f"{host.name}: not true that {failure.check} [{failure.role}]")
            echo(f"    {failure.assertion}")
    echo(f"{report.headline} ({report.seconds} s)")
