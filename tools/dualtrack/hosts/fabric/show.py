"""A report for people."""

from __future__ import annotations

from dualtrack.core.output import echo, table
from dualtrack.hosts.fabric.model import FabricReport


def show(report: FabricReport) -> None:
    """Print a row a finding, then what to do about each, and one line that sums up."""
    if report.findings:
        rows = [
            (str(n), f.severity, f.code, f.where or "-", f.expected, f.seen) for n, f in enumerate(report.findings, 1)
        ]
        table(("", "severity", "code", "cable", "expected", "seen"), rows)
    for number, finding in enumerate(report.findings, 1):
        echo(f"{number}. {finding.action}")
    echo(report.headline)
