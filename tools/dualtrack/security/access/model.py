"""People, roles and what a role grants (pure): one file, checked whole before any of it is used.

A grant is something that a service of ours can allow. Roles are made of grants and of other roles; a person has roles.
Whoever reads the audit trail changes nothing: that no person has both is checked here, over all roles together.
"""

from __future__ import annotations

import base64
import binascii
import graphlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from dualtrack.core.errors import BadInput
from dualtrack.core.files import read_as

HELP = "inventories/access.yml shows how one looks"

#: Every grant, and what it allows.
GRANTS: Mapping[str, str] = {
    "hosts.login": "log in on every host",
    "hosts.administer": "become root on every host but those of the search store",
    "log_hosts.administer": "become root on the hosts of the search store",
    "hosts.read_logs": "read the journal, and verify the audit trail, on every host",
    "trail.read": "search the audit trail in the search store",
    "store.run": "run the search store: see its state, read and remove ordinary logs, take snapshots",
    "jobs.submit": "submit jobs to the scheduler, from its hosts",
    "jobs.manage": "manage all jobs, partitions and nodes of the scheduler",
    "cluster.use": "run workloads in a namespace of one's own in Kubernetes",
    "cluster.read": "see everything in Kubernetes but its secrets",
    "cluster.administer": "administer Kubernetes",
}
#: Who reads the trail has none of these.
CHANGING = frozenset((
    "hosts.administer", "log_hosts.administer", "store.run", "jobs.submit", "jobs.manage", "cluster.use",
    "cluster.administer",
))  # fmt: skip
READING = frozenset({"trail.read"})
#: Root where the trails of all hosts lie reads them, whatever the store's own rights say: nobody is that who is root on
#: the hosts that they audit.
APART = frozenset({"hosts.administer", "log_hosts.administer"})

#: Names of accounts, users of the search store, and parts of certificates.
NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
#: Names that a host or a service has for itself.
TAKEN = frozenset((
    "root", "daemon", "bin", "sys", "sync", "games", "man", "lp", "mail", "news", "uucp", "proxy", "backup", "list",
    "irc", "nobody", "messagebus", "sshd", "opensearch", "slurm", "munge", "mysql", "admin", "stranger",
    "models", "spot-guard", "traffic-keeper", "dualtrack-serve",
))  # fmt: skip
UIDS = range(3000, 60000)
KEY_TYPES = frozenset((
    "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa",
    "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com",
))  # fmt: skip


class Role(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a role allows: ``grants`` of its own, and those of the roles that it ``includes``."""

    grants: tuple[str, ...] = ()
    includes: tuple[str, ...] = ()


class Person(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A person: ``uid`` is the same on every host, since files and jobs belong to numbers.

    ``ssh_keys`` are lines as in authorized_keys, without options; without any there is no login by ssh. ``groups`` are
    those whose documents the person sees in the knowledge base.
    """

    name: str
    uid: Annotated[int, msgspec.Meta(ge=UIDS.start, lt=UIDS.stop)]
    roles: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    comment: str = ""
    ssh_keys: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """What the person is, for documents: everyone, the person, the groups and the roles."""
        of = {"person": (self.name,), "group": self.groups, "role": self.roles}
        return ("everyone", *(f"{kind}:{name}" for kind, names in of.items() for name in names))


class Access(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file as a whole. ``roles`` are the operator's own, beside those that are always there (BUILT_IN)."""

    people: tuple[Person, ...] = ()
    roles: dict[str, Role] = {}

    def all_roles(self) -> dict[str, Role]:
        """Return the roles that are always there, and the operator's."""
        return {**BUILT_IN, **self.roles}

    def grants(self, roles: Sequence[str]) -> frozenset[str]:
        """Return all grants of ``roles`` together."""
        return frozenset(granted(self.all_roles(), roles))

    def person(self, name: str) -> Person:
        """Return a person by name; BadInput where there is none."""
        for it in self.people:
            if it.name == name:
                return it
        raise BadInput(f"there is no '{name}' among the people", hint=", ".join(it.name for it in self.people))


BUILT_IN: Mapping[str, Role] = {
    "administrator": Role(
        ("hosts.login", "hosts.administer", "store.run", "jobs.submit", "jobs.manage", "cluster.administer")
    ),
    "log-administrator": Role(("hosts.login", "log_hosts.administer")),
    "auditor": Role(("hosts.login", "hosts.read_logs", "trail.read", "cluster.read")),
    "user": Role(("jobs.submit", "cluster.use")),
}


def load(path: Path) -> Access:
    """Return the file of people; BadInput with the place and what is wrong there."""
    found = read_as(path, Access, "a file of people", HELP)
    for problem in problems(found):
        raise BadInput(f"{path}: {problem}")
    return found


def problems(access: Access) -> Iterator[str]:
    """Yield what is wrong, a sentence each, the worst first."""
    roles = access.all_roles()
    for name, role in access.roles.items():
        if not NAME.fullmatch(name):
            yield f"role '{name}': names are lower-case letters, digits and hyphens"
        if name in BUILT_IN:
            yield f"role '{name}' is always there, and means the same everywhere: give yours another name"
        for it in role.includes:
            if it not in roles:
                yield f"role '{name}' includes '{it}', which is not a role: {', '.join(sorted(roles))}"
        for it in role.grants:
            if it not in GRANTS:
                yield f"role '{name}' grants '{it}', which nothing here allows: {', '.join(GRANTS)}"
    if circle := _circle(roles):
        yield f"roles include each other in a circle: {' → '.join(circle)}"
        return  # whoever is in a circle has no grants that could be counted
    yield from _people(access, roles)


def _people(access: Access, roles: Mapping[str, Role]) -> Iterator[str]:
    names: set[str] = set()
    uids: dict[int, str] = {}
    for it in access.people:
        if not NAME.fullmatch(it.name) or it.name in TAKEN or it.name.startswith(("dualtrack-", "systemd-")):
            yield f"'{it.name}' cannot be a name: up to 31 lower-case letters, digits and hyphens, and no service's"
        if it.name in names:
            yield f"{it.name} is there twice"
        names.add(it.name)
        if (other := uids.setdefault(it.uid, it.name)) != it.name:
            yield f"{it.name} and {other} have the uid {it.uid}: the next free one is {_free(access)}"
        for role in it.roles:
            if role not in roles:
                yield f"{it.name} has the role '{role}', which is none: {', '.join(sorted(roles))}"
        if complaint := separate(access, it.name, [role for role in it.roles if role in roles]):
            yield complaint
        if any(character in it.comment for character in ":\n") or not it.comment.isprintable():
            yield f"{it.name}: the comment must be one line without a colon"
        for group in it.groups:
            if not NAME.fullmatch(group):
                yield f"{it.name}: '{group}' cannot be a group: up to 31 lower-case letters, digits and hyphens"
        for key in it.ssh_keys:
            if not _is_key(key):
                yield f"{it.name}: '{key[:30]}…' is not a public ssh key: write TYPE and BASE64, without options"


def separate(access: Access, name: str, roles: Sequence[str]) -> str:
    """Return a sentence where ``roles`` together give somebody what must stay apart, '' where they do not."""
    found = access.grants(roles)
    if found & READING and (changing := sorted(found & CHANGING)):
        return f"{name} would read the audit trail and also {GRANTS[changing[0]]}: who audits changes nothing"
    if found >= APART:
        return (
            f"{name} would be root on the search store's hosts and on the others: whose trail is kept does not keep it"
        )
    return ""


def granted(roles: Mapping[str, Role], names: Sequence[str]) -> Iterator[str]:
    """Yield the grants of roles, and of those that they include, each role once."""
    waiting, seen = list(names), set()
    while waiting:
        name = waiting.pop()
        if name not in seen and name in roles:
            seen.add(name)
            yield from roles[name].grants
            waiting += roles[name].includes


def _circle(roles: Mapping[str, Role]) -> list[str]:
    """Return the names of a circle of inclusions, the first again at its end; empty where there is none."""
    try:
        graphlib.TopologicalSorter({name: role.includes for name, role in roles.items()}).prepare()
    except graphlib.CycleError as error:
        return list(reversed(error.args[1]))
    return []


def _free(access: Access) -> int:
    used = {it.uid for it in access.people}
    return next(uid for uid in UIDS if uid not in used)


def _is_key(line: str) -> bool:
    kind, _, rest = line.strip().partition(" ")
    text = rest.split(" ")[0]
    if kind not in KEY_TYPES or "\n" in line:
        return False
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    # The key says once more what kind it is: a length of four bytes, and the name.
    return data[4 : 4 + int.from_bytes(data[:4])] == kind.encode()
