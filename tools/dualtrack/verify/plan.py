"""Which role's checks run on which host: read from the playbooks (pure, but for reading them)."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from dualtrack.core.errors import BadInput


class Play(msgspec.Struct, frozen=True):
    """A play that gives roles to hosts."""

    hosts: str
    roles: tuple[str, ...]


def read(path: Path) -> list[Any]:
    """Return the plays or tasks of a file as they are written; BadInput when it is not a list of them."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) or []
    except (OSError, yaml.YAMLError) as error:
        raise BadInput(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(found, list):
        raise BadInput(f"{path} is not a playbook", hint="a list of plays, or of tasks")
    return found


def pattern_of(play: Mapping[str, Any]) -> str:
    """Return which hosts a play is for, as one Ansible pattern."""
    hosts = play["hosts"]
    return hosts if isinstance(hosts, str) else ":".join(hosts)


def role_name(entry: str | Mapping[str, Any]) -> str:
    """Return the role that an entry of `roles`, or the argument of `include_role`, names."""
    return entry if isinstance(entry, str) else str(entry.get("role") or entry.get("name"))


def imported(entry: Mapping[str, Any]) -> str:
    """Return the playbook that an entry of a playbook imports, '' for a play."""
    return str(entry.get("ansible.builtin.import_playbook") or entry.get("import_playbook") or "")


def plays_of(document: Iterable[Mapping[str, Any]]) -> list[Play]:
    """Return the plays of one playbook that have roles."""
    named = ((play, tuple(map(role_name, play.get("roles", ())))) for play in document)
    return [Play(pattern_of(play), names) for play, names in named if names]


def read_plays(site: Path) -> list[Play]:
    """Return the plays of ``site`` and of all playbooks that it imports, in their order."""
    found = []
    for entry in read(site):
        name = imported(entry)
        found += read_plays(site.parent / name) if name else plays_of([entry])
    return found


def matches(pattern: str, groups: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the hosts that an Ansible pattern names: unions by `:` or `,`, `&` for both, `!` for not, `*` wild.

    ``groups`` is group name to all its hosts and must hold `all`. BadInput for a pattern with a regular expression or a
    slice, which this reader does not know; a name that is nowhere matches nothing, as in Ansible.
    """
    every = groups["all"]
    wanted: set[str] = set()
    parts = [part.strip() for part in re.split(r"[:,]", pattern) if part.strip()]
    for part in parts:
        if part[0] == "~" or "[" in part:
            raise BadInput(f"the pattern '{part}' is not understood", hint="names, groups, * ! & and , are")
    # As in Ansible, the order in which they are written does not matter: unions, then intersections, then exclusions.
    for part in (part for part in parts if part[0] not in "!&"):
        wanted |= _named(part, groups)
    if parts and not any(part[0] not in "!&" for part in parts):
        wanted = set(every)
    for part in (part for part in parts if part[0] == "&"):
        wanted &= _named(part[1:], groups)
    for part in (part for part in parts if part[0] == "!"):
        wanted -= _named(part[1:], groups)
    return [host for host in every if host in wanted]


def _named(name: str, groups: Mapping[str, Sequence[str]]) -> set[str]:
    found: set[str] = set()
    for group, hosts in groups.items():
        if fnmatch.fnmatchcase(group, name):
            found.update(hosts)
    return found | {host for host in groups["all"] if fnmatch.fnmatchcase(host, name)}


def plan(
    plays: Iterable[Play],
    groups: Mapping[str, Sequence[str]],
    tested: Iterable[str],
    *,
    roles: Sequence[str] | None = None,
    limit: str | None = None,
) -> dict[str, list[str]]:
    """Return host to the roles whose checks it gets, in the order of the plays.

    ``tested`` are the roles that have checks; ``roles`` and ``limit`` (a pattern) narrow the plan. BadInput when a role
    is asked for that has no checks, when no host is left, or when a role in a play has no checks at all: a role without
    a check would be called good unseen.
    """
    known = set(tested)
    plays = list(plays)
    bare = sorted({role for play in plays for role in play.roles} - known)
    if bare:
        raise BadInput(f"role {', '.join(bare)} has no checks", hint="write roles/<role>/verify/test_<role>.py")
    unknown = sorted(set(roles or ()) - known)
    if unknown:
        raise BadInput(f"no checks for role {', '.join(unknown)}", hint=f"there are: {', '.join(sorted(known))}")
    allowed = set(matches(limit, groups)) if limit else set(groups["all"])
    found: dict[str, list[str]] = {}
    for play in plays:
        for host in matches(play.hosts, groups):
            for role in play.roles:
                if host in allowed and (not roles or role in roles) and role not in found.setdefault(host, []):
                    found[host].append(role)
    found = {host: names for host, names in found.items() if names}
    if not found:
        narrowed = [f"the limit '{limit}'"] * bool(limit) + [f"role {', '.join(roles or ())}"] * bool(roles)
        hint = (
            "nothing matches " + " and ".join(narrowed)
            if narrowed
            else "is the inventory the right one, and not empty?"
        )
        raise BadInput("no host to verify", hint=hint)
    return found


def groups_of(inventory: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return group name to all its hosts, children included, from what `ansible-inventory --list` prints."""

    def members(name: str, seen: frozenset[str]) -> list[str]:
        group = inventory.get(name) or {}
        found = list(group.get("hosts", ()))
        for child in group.get("children", ()):
            if child not in seen:
                found += members(child, seen | {child})
        return list(dict.fromkeys(found))

    names = {name for name in inventory if name != "_meta"}
    names |= {child for name in names for child in (inventory[name] or {}).get("children", ())}
    return {name: members(name, frozenset({name})) for name in sorted(names | {"all"})}
