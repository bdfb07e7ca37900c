"""Break-glass: rights beyond one's own, for minutes, with a reason, seen by everybody.

A grant ends automatically, wherever it went: the rule for `sudo` bears its end, and the token for the search store,
too. The list of grants is kept on the controller, closed ones as well.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from dualtrack.core.errors import BadInput, Refused
from dualtrack.core.files import locked, read, write_atomically
from dualtrack.security.access import model

MOST_MINUTES = 8 * 60
KEPT = 1000


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody has beyond their own roles, and until when (UTC)."""

    id: str
    name: str
    role: str
    reason: str
    since: datetime
    until: datetime

    @property
    def line(self) -> str:
        """The grant as a sentence for journals."""
        return f"break-glass {self.id}: {self.name} is {self.role} until {self.until:%Y-%m-%dT%H:%M:%SZ}: {self.reason}"


class Grants(msgspec.Struct, frozen=True):
    """The list as a file."""

    grants: tuple[Grant, ...] = ()


def list_grants(path: Path) -> tuple[Grant, ...]:
    """Return all grants that were ever given, the newest last; BadInput where the list is damaged."""
    return (read(path, Grants, "restore it from a backup: it says who holds rights") or Grants()).grants


def active_grants(path: Path, access: model.Access, now: datetime | None = None) -> tuple[Grant, ...]:
    """Return the grants that have not ended, of people who are still there."""
    now, names = now or datetime.now(UTC), {it.name for it in access.people}
    return tuple(it for it in list_grants(path) if it.until > now and it.name in names)


def new_id() -> str:
    """Return the number of a new grant."""
    return secrets.token_hex(4)


def grant(
    path: Path, access: model.Access, name: str, role: str, *, minutes: int, reason: str, now: datetime | None = None,
    id: str = "",
) -> Grant:  # fmt: skip
    """Note a grant and return it; BadInput for a wrong one, Refused where it would join what must stay apart.

    ``id`` is its number, for whoever must be able to `withdraw` it also when this does not return.
    """
    person = access.person(name)
    if role not in access.all_roles():
        raise BadInput(f"there is no role '{role}'", hint=", ".join(sorted(access.all_roles())))
    if not 1 <= minutes <= MOST_MINUTES:
        raise BadInput(f"{minutes} minutes", hint=f"1 to {MOST_MINUTES}")
    reason = " ".join(reason.split())
    if len(reason) < 10 or not reason.isprintable():
        raise BadInput("a reason in words is missing", hint='--reason "the store is read-only, ticket 4711"')
    now = (now or datetime.now(UTC)).replace(microsecond=0)
    with locked(path):
        others = [it.role for it in active_grants(path, access, now) if it.name == name]
        if complaint := model.separate(access, name, [*person.roles, *others, role]):
            raise Refused(complaint)
        grant = Grant(
            id=id or new_id(),
            name=name,
            role=role,
            reason=reason[:300],
            since=now,
            until=now + timedelta(minutes=minutes),
        )
        write_atomically(path, msgspec.json.encode(Grants((*list_grants(path), grant)[-KEPT:])), 0o600)
    return grant


def in_force(path: Path, id: str, now: datetime | None = None) -> Grant:
    """Return a grant that has not ended; BadInput where there is none with this number."""
    found = [it for it in list_grants(path) if it.id == id and it.until > (now or datetime.now(UTC))]
    if not found:
        raise BadInput(f"no grant {id} is in force", hint="dualtrack access people shows them")
    return found[0]


def end(path: Path, id: str, now: datetime | None = None) -> Grant:
    """End a grant before its time, and return it; BadInput where there is none that is in force."""
    now = (now or datetime.now(UTC)).replace(microsecond=0)
    with locked(path):
        grants, ended = list_grants(path), msgspec.structs.replace(in_force(path, id, now), until=now)
        write_atomically(path, msgspec.json.encode(Grants(tuple(ended if it.id == id else it for it in grants))), 0o600)
    return ended


def withdraw(path: Path, id: str) -> None:
    """End a grant of which nobody learns, where there is one."""
    if any(it.id == id for it in list_grants(path)):
        end(path, id)
