"""What the people and their roles become in each service (pure): accounts, rules for sudo, rights, associations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from dualtrack.security.access.break_glass import Grant
from dualtrack.security.access.model import Access, Person

#: The Unix group of everybody who is in the file: who is in it and not in the file has left.
EVERYBODY = "dualtrack-people"
#: How sudo writes a time (NOTAFTER).
UNTIL = "%Y%m%d%H%M%SZ"
#: Groups of the system that a grant needs.
SYSTEM_GROUPS: Mapping[str, tuple[str, ...]] = {"hosts.read_logs": ("adm", "systemd-journal")}
#: What a grant is in the search store (dualtrack.security.opensearch.security_config.ROLES).
STORE_RIGHTS = {"trail.read": "auditor", "store.run": "administrator"}
#: What a grant is in Kubernetes: its own cluster roles.
CLUSTER_ROLES = {"cluster.read": "view", "cluster.use": "edit", "cluster.administer": "cluster-admin"}


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """An account of a host; the fields of `base_users` of the role `base`."""

    name: str
    uid: int
    comment: str
    groups: tuple[str, ...]
    ssh_keys: tuple[str, ...]


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule for sudo: ``who`` (`%GROUP` or a person) may run ``commands`` as ``as_``, until a time or always ('')."""

    who: str
    as_: str
    commands: tuple[str, ...]
    until: str = ""


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """What a host is told. ``notices`` are sentences for its journal: rights that somebody has for a short time."""

    groups: tuple[str, ...]
    people: tuple[Account, ...]
    sudo: tuple[Rule, ...]
    notices: tuple[str, ...]


def group(role: str) -> str:
    """Return the Unix group of a role."""
    return f"dualtrack-{role}"


def host(
    access: Access, grants: Sequence[Grant], *, scheduled: bool, trail: str, program: str, log_host: bool = False
) -> Host:
    """Return what a host is told; ``scheduled``: jobs are submitted from it, or run on it; ``log_host``: it is one of
    the search store, whose administrators are others.

    ``trail`` is the directory of its audit trail, ``program`` what reads it: an auditor may call it as the trail's
    user, with these words and no others.
    """
    people = [it for it in access.people if _has_account(access, it, grants, scheduled)]
    used = sorted({role for it in people for role in it.roles})
    root = "log_hosts.administer" if log_host else "hosts.administer"
    reading = (f"{program} verify {trail} --key {trail}/root.pem", f"{program} show {trail}")
    return Host(
        groups=(EVERYBODY, *map(group, used)),
        people=tuple(
            Account(name=it.name, uid=it.uid, comment=it.comment, groups=_groups(access, it), ssh_keys=it.ssh_keys)
            for it in people
        ),
        sudo=(
            *(rule for role in used for rule in _rules(access, root, role, f"%{group(role)}", reading)),
            *(rule for it in grants for rule in _rules(access, root, it.role, it.name, reading, f"{it.until:{UNTIL}}")),
        ),
        notices=tuple(it.line for it in grants),
    )


def store(access: Access, grants: Sequence[Grant]) -> list[dict[str, Any]]:
    """Return who has which rights in the search store: people by their names, grants by what their tokens bear."""
    entries = [(it.name, "person", it.roles) for it in access.people]
    entries += [(it.id, "glass", (it.role,)) for it in grants]
    return [
        {"name": name, "kind": kind, "rights": rights}
        for name, kind, roles in entries
        if (rights := sorted({STORE_RIGHTS[it] for it in access.grants(roles) if it in STORE_RIGHTS}))
    ]


def scheduler(access: Access) -> dict[str, Any]:
    """Return Slurm's accounts (one for each role that may submit jobs, with its people), and its administrators."""
    accounts: dict[str, list[str]] = {}
    for it in access.people:
        for role in it.roles:
            if "jobs.submit" in access.grants((role,)):
                accounts.setdefault(role, []).append(it.name)
    return {
        "accounts": [{"name": name, "users": sorted(users)} for name, users in sorted(accounts.items())],
        "administrators": sorted(it.name for it in access.people if "jobs.manage" in access.grants(it.roles)),
    }


def cluster(access: Access) -> Iterator[dict[str, Any]]:
    """Yield Kubernetes' bindings: for readers and administrators in all namespaces, for users in one of their own."""
    for it in access.people:
        found = access.grants(it.roles)
        for grant, role in CLUSTER_ROLES.items():
            if grant not in found:
                continue
            own = grant == "cluster.use"
            if own:
                yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": it.name}}
            yield {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding" if own else "ClusterRoleBinding",
                "metadata": {"name": f"dualtrack-{it.name}-{role}"} | ({"namespace": it.name} if own else {}),
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": it.name}],
            }


def _has_account(access: Access, person: Person, grants: Sequence[Grant], scheduled: bool) -> bool:
    found = access.grants([*person.roles, *(it.role for it in grants if it.name == person.name)])
    return "hosts.login" in found or (scheduled and "jobs.submit" in found)


def _groups(access: Access, person: Person) -> tuple[str, ...]:
    found = access.grants(person.roles)
    system = {name for grant, names in SYSTEM_GROUPS.items() if grant in found for name in names}
    return (EVERYBODY, *map(group, person.roles), *sorted(system))


def _rules(access: Access, root: str, role: str, who: str, reading: tuple[str, ...], until: str = "") -> Iterator[Rule]:
    """Yield the rule of a role; ``root`` is the grant that makes one root on this host."""
    found = access.grants((role,))
    if root in found:
        yield Rule(who=who, as_="ALL:ALL", commands=("ALL",), until=until)
    elif "hosts.read_logs" in found:
        yield Rule(who=who, as_="dualtrack-audit", commands=reading, until=until)
