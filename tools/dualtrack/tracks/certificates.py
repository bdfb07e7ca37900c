"""Renewal of certificates on the hosts of the tracks that are up, by the playbook that does nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from dualtrack.core import files
from dualtrack.core.paths import STATE
from dualtrack.inventory import deployment
from dualtrack.security.pki import renewal
from dualtrack.security.pki.renewal import Standing
from dualtrack.tracks import ansible_runner

PLAYBOOK = ansible_runner.SITE.parent / "playbooks/renew-certificates.yml"
#: The deployment's own authority.
PKI = STATE / "pki"
#: Which certificates were brought to their hosts.
RECORD = STATE / "certificates.json"


def standings(folder: Path, now: datetime | None = None) -> list[Standing]:
    """Return the machines' certificates of an authority, by what is known here: no host is asked."""
    hosts: dict[str, set[str]] = {}
    for group in deployment.generated():
        for name, child in group.children.items():
            hosts.setdefault(name, set()).update((child or {}).get("hosts") or ())
    return renewal.standings(folder, hosts, renewal.read(RECORD), now or datetime.now(UTC))


class Renewed(msgspec.Struct, frozen=True):
    """What was ``wanted``, what of it no role uses any more, and the runs of the playbook as one."""

    wanted: list[Standing]
    unused: list[Standing]
    result: ansible_runner.Result


def renew(folder: Path, progress: Callable[[str], None] | None = None) -> Renewed:
    """Renew what is due and bring it to the hosts. Call it where something is due.

    What the roles of a host did not renew, though it was due, none of them uses any more: it counts as nobody's from
    now on. Raises ConfigureFailed at the end where a host failed or was away: the other hosts have theirs, and what is
    missing is brought by the next call.
    """
    with files.alone(STATE / "certificates.lock", "another renewal of certificates is running"):
        due = [it for it in standings(folder) if it.wanted]
        again = sorted({it.host for it in due if it.brought == renewal.BEGUN})
        # A cluster that is not whole is left alone, but not until its nodes no longer find each other.
        broken = any(it.kind == "node" and it.state in ("late", "over") for it in due)
        settings = {"renew_again": again, "renew_broken": broken}
        renewal.write(RECORD, due, "begun")
        results, unused = [], []
        for group, hosts in batches(due):
            try:
                result = ansible_runner.configure(
                    deployment.inventories(), limit=",".join(hosts), tags=group, progress=progress, playbook=PLAYBOOK,
                    settings=settings,
                )  # fmt: skip
            except ansible_runner.ConfigureFailed as error:
                result = error.result
            there = brought(due, group, hosts, result)
            renewal.write(RECORD, there, "brought")
            still = {it.certificate for it in standings(folder) if it.state}
            idle = [it for it in there if it.state and it.certificate in still]
            renewal.write(RECORD, idle, "unused")
            unused += idle
            results.append(result)
    whole = together(results)
    if whole.failures:
        raise ansible_runner.ConfigureFailed(whole)
    return Renewed(due, unused, whole)


def batches(due: Sequence[Standing]) -> list[tuple[str, list[str]]]:
    """Return the runs of the playbook: the group, whose play is tagged so, and its hosts.

    Each group has a run of its own, since Ansible ends a run in which all hosts of a play failed: an engine that is
    away must not keep a gateway from its certificate. Nodes of search stores come one after the other, at the end.
    """
    found: list[tuple[str, list[str]]] = []
    for group in dict.fromkeys(renewal.GROUPS.values()):
        hosts = sorted({it.host for it in due if renewal.GROUPS[it.kind] == group})
        found += [(group, [it]) for it in hosts] if group == "role_log" else [(group, hosts)] if hosts else []
    return sorted(found, key=lambda it: it[0] == "role_log")


def brought(due: Sequence[Standing], group: str, hosts: Sequence[str], result: ansible_runner.Result) -> list[Standing]:
    """Return the certificates of a group that hosts have after a run: of hosts that were reached and did not fail."""
    good = set(hosts) & result.changed.keys() - {it.host for it in result.failures}
    return [it for it in due if it.host in good and renewal.GROUPS[it.kind] == group]


def together(results: Sequence[ansible_runner.Result]) -> ansible_runner.Result:
    """Return what several runs did as one."""
    changed: dict[str, int] = {}
    for name, count in (pair for it in results for pair in it.changed.items()):
        changed[name] = changed.get(name, 0) + count
    return ansible_runner.Result(
        changed=changed, failures=tuple(failure for it in results for failure in it.failures),
        seconds=round(sum(it.seconds for it in results), 1), log=results[-1].log,
    )  # fmt: skip


def problem() -> str:
    """Return one line with the next step where renewal of the deployment's certificates fails; '' where it does not."""
    line = renewal.complaint(standings(PKI))
    return f"{line}: dualtrack pki renew" if line else ""


def clean(folder: Path, now: datetime | None = None) -> list[Standing]:
    """Remove certificates that ended long ago and that no host holds; return them."""
    now = now or datetime.now(UTC)
    found = renewal.gone(standings(folder, now), now)
    renewal.remove(found)
    return found
