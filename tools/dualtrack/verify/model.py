"""What a verification found, and how single results become a report (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

State = Literal["passed", "failed", "unreachable"]


class Shard(msgspec.Struct, frozen=True):
    """What one test process is to do: hosts with their roles and variables (role defaults included)."""

    ssh_config: str
    roles: dict[str, list[str]]
    variables: dict[str, dict[str, Any]]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One check on one host, as the test process reported it. ``assertion`` is the line that did not hold."""

    host: str
    role: str
    check: str
    outcome: Literal["passed", "failed", "skipped"]
    assertion: str = ""
    detail: str = ""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A check that failed: what should be true, the assertion that was not, and everything that was printed."""

    role: str
    check: str
    assertion: str
    detail: str = ""


class HostReport(msgspec.Struct, frozen=True, kw_only=True):
    """One host. ``reason`` says why it could not be reached, ``skipped`` which checks were left out, and why.

    ``identity`` tells it from a successor with the same name (`verify.identity`), '' where it is not known.
    """

    name: str
    state: State
    roles: tuple[str, ...]
    passed: int
    failures: tuple[Failure, ...] = ()
    skipped: tuple[str, ...] = ()
    reason: str = ""
    identity: str = ""


class CheckReport(msgspec.Struct, frozen=True, kw_only=True):
    """All hosts, and the sum of them. ``ok`` only when every host was reached and no check failed."""

    ok: bool
    headline: str
    passed: int
    failed: int
    unreachable: int
    seconds: float
    verified_at: str
    hosts: tuple[HostReport, ...]


def build(
    plan: Mapping[str, Sequence[str]],
    unreachable: Mapping[str, str],
    checks: Sequence[Check],
    *,
    seconds: float,
    verified_at: str,
    identities: Mapping[str, str] | None = None,
) -> CheckReport:
    """Return the report on the hosts of ``plan`` (host to roles), and which hosts they are by ``identities``.

    ``unreachable`` names the hosts that did not answer and why. A host that was reached and of which no check came back
    has failed: a test process that dies must not look like a healthy host.
    """
    hosts = tuple(
        _host(name, plan[name], unreachable, checks, (identities or {}).get(name, "")) for name in sorted(plan)
    )
    failed = sum(len(host.failures) for host in hosts)
    passed = sum(host.passed for host in hosts)
    lost = sum(host.state == "unreachable" for host in hosts)
    ok = all(host.state == "passed" for host in hosts)
    return CheckReport(
        ok=ok,
        headline=headline(hosts),
        passed=passed,
        failed=failed,
        unreachable=lost,
        seconds=seconds,
        verified_at=verified_at,
        hosts=hosts,
    )


def _host(
    name: str, roles: Sequence[str], unreachable: Mapping[str, str], checks: Sequence[Check], identity: str
) -> HostReport:
    if name in unreachable:
        return HostReport(name=name, state="unreachable", roles=tuple(roles), passed=0, reason=unreachable[name])
    own = [check for check in checks if check.host == name]
    failures = [
        Failure(role=check.role, check=check.check, assertion=check.assertion, detail=check.detail)
        for check in own
        if check.outcome == "failed"
    ]
    for role in roles:
        if not any(check.role == role for check in own):
            failures.append(
                Failure(role=role, check="the role's checks ran", assertion="no check of this role reported back")
            )
    return HostReport(
        name=name,
        state="failed" if failures else "passed",
        roles=tuple(roles),
        passed=sum(check.outcome == "passed" for check in own),
        failures=tuple(failures),
        skipped=tuple(f"{check.check}: {check.assertion}" for check in own if check.outcome == "skipped"),
        identity=identity,
    )


def headline(hosts: Sequence[HostReport]) -> str:
    """Return one line: how many hosts are in order, and the first thing that is not."""
    good = sum(host.state == "passed" for host in hosts)
    line = f"{good} of {len(hosts)} hosts in order, {sum(host.passed for host in hosts)} checks passed"
    for host in hosts:
        if host.state == "unreachable":
            return f"{line}; {host.name} cannot be reached: {host.reason}"
        if host.failures:
            return f"{line}; {host.name}: not true that {host.failures[0].check}"
    return line
