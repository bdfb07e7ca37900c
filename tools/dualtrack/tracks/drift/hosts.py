"""Drift of hosts: what a verification found, as drift from what the roles promise. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from dualtrack.tracks.drift.model import Drift, Field
from dualtrack.verify.model import CheckReport
from dualtrack.verify.record import Verified


def drifts(
    report: CheckReport, before: Mapping[str, Verified], tracks: Mapping[str, str]
) -> tuple[list[Drift], list[str]]:
    """Return the hosts that are not as declared, and those that could not be asked. ``before``: the last record."""
    found, unknown = [], []
    for host in report.hosts:
        last = before.get(host.name)
        since = f"after {last.verified_at}" if last and last.ok and last.identity == host.identity else ""
        track = tracks.get(host.name, "")
        if host.state == "unreachable":
            unknown.append(f"host {host.name}: {host.reason}")
        elif host.failures:
            fields = tuple(Field(f"{it.role}: {it.check}", "true", it.assertion) for it in host.failures)
            remedy = f"make {track}-up" if track else "the play that configures it"
            found.append(
                Drift(
                    kind="host",
                    name=host.name,
                    what="is not as its roles promise",
                    fields=fields,
                    since=since,
                    who="",
                    remedy=remedy,
                )
            )
    return found, unknown
