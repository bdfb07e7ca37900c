"""One picture of both tracks: which hosts there are, whether they answer, and whether they were verified."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import msgspec

from dualtrack.cloud import instances
from dualtrack.core.errors import DualtrackError
from dualtrack.core.paths import STATE
from dualtrack.inventory import deployment
from dualtrack.inventory import target as targets
from dualtrack.inventory.model import Host
from dualtrack.inventory.render import Connection
from dualtrack.tracks import certificates, host_boot, local
from dualtrack.verify import record

State = Literal["up", "down", "unverified", "unknown"]


class HostRow(msgspec.Struct, frozen=True, kw_only=True):
    """One host of the table. `verified_at` is ISO 8601 in UTC, '' for never (or never since it was replaced).

    Of a host that does not answer it is known by name only: when the last one of its name was verified. A host is
    `unknown` where this account may not connect to it.
    """

    name: str
    track: str
    pool: str
    lifecycle: str
    address: str
    state: State
    verified_at: str
    roles: tuple[str, ...]
    zone: str
    instance_id: str


class TracksStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Both tracks. `problems` are things that kept a track from being looked at, in plain English."""

    hosts: tuple[HostRow, ...]
    stack: str
    facts: str
    aws_endpoint: str
    problems: tuple[str, ...]

    @property
    def in_order(self) -> bool:
        """Whether all that should be there was looked at, and answers."""
        return not self.problems and all(host.state not in ("down", "unknown") for host in self.hosts)


def state_of(answer: host_boot.Answer, verified: record.Verified | None) -> tuple[State, str]:
    """Return a host's state and when it was verified; a verification of a predecessor does not count."""
    if not answer.up:
        return "unknown" if answer.problem else "down", verified.verified_at if verified else ""
    if verified is None or not answer.identity or answer.identity != verified.identity:
        return "unverified", ""
    return ("up" if verified.ok else "unverified"), verified.verified_at


def status(pool: str = "") -> TracksStatus:
    """Look at both tracks now, or only at the hosts of one ``pool``: each of them is asked over ssh.

    A track that cannot be looked at is a problem in the answer, not an error.
    """
    now, problems, endpoint = deployment.current(), [], ""
    found: list[tuple[Host, Connection]] = []
    if now.stack:
        target = targets.of(now.stack)
        try:
            output = instances.saved_output(now.stack)
            if problem := target.problem():
                problems.append(f"cloud: {problem}: make cloud-up")
            elif output is not None:
                endpoint, connection = target.endpoint(), target.connection()
                found += [(host, connection) for host in instances.discover(output, endpoint)]
        except DualtrackError as error:
            problems.append(f"cloud: {error}")
    if now.facts:
        try:
            servers, connection = local.hosts(Path(now.facts))
            found += [(host, connection) for host in servers]
        except DualtrackError as error:
            problems.append(f"local: {error}")
    try:
        if not pool and (problem := certificates.problem()):
            problems.append(problem)
    except DualtrackError as error:
        problems.append(f"certificates: {error}")
    verified = record.load(STATE / "verified.json")
    found = [pair for pair in found if pool in ("", pair[0].pool)]
    with ThreadPoolExecutor(max_workers=32) as threads:
        answers = list(threads.map(lambda pair: host_boot.ask(*pair), found))
    refused = [(host.name, it.problem) for (host, _), it in zip(found, answers, strict=True) if it.problem]
    if refused:
        names = f"{refused[0][0]} and {len(refused) - 1} more" if len(refused) > 1 else refused[0][0]
        problems.append(f"{names}: this account may not connect ({refused[0][1]}): run the command as root")
    rows = tuple(_row(host, answer, verified.get(host.name)) for (host, _), answer in zip(found, answers, strict=True))
    return TracksStatus(hosts=rows, stack=now.stack, facts=now.facts, aws_endpoint=endpoint, problems=tuple(problems))


def _row(host: Host, answer: host_boot.Answer, verified: record.Verified | None) -> HostRow:
    state, at = state_of(answer, verified)
    return HostRow(
        name=host.name,
        track=host.track,
        pool=host.pool,
        lifecycle=host.lifecycle,
        address=host.address,
        state=state,
        verified_at=at,
        roles=host.roles,
        zone=host.zone,
        instance_id=host.instance_id,
    )
