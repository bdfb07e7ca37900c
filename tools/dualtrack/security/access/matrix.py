"""Who may do what, as a table (pure): actions on the real services, and what each role must find when it tries them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Literal

import msgspec

from dualtrack.security.access.model import Access

Verdict = Literal["allowed", "refused", "found"]
#: Whoever has no account, no certificate and no token.
STRANGER = "stranger"


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """Something that somebody may try. ``grants``: with one of these it is allowed; with one of ``found`` it cannot be
    prevented, and the audit trail finds it.
    """

    id: str
    service: Literal["hosts", "log hosts", "search store", "scheduler"]
    what: str
    grants: frozenset[str] = frozenset()
    found: frozenset[str] = frozenset()

    def verdict(self, granted: frozenset[str]) -> Verdict:
        """Return what must come of it for somebody with these grants."""
        if granted & self.grants:
            return "allowed"
        return "found" if granted & self.found else "refused"


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """A role tries an action: what must come of it, and what came of it ('' where it was not tried).

    ``place`` is where it was tried, ``said`` the service's own words.
    """

    action: str
    role: str
    expected: Verdict
    person: str = ""
    place: str = ""
    outcome: str = ""
    said: str = ""

    @property
    def right(self) -> bool:
        """Whether it came as it must, or was not tried."""
        return self.outcome in ("", self.expected)


def _action(id: str, service: str, what: str, grants: str = "", found: str = "") -> Action:
    return msgspec.convert(
        {"id": id, "service": service, "what": what, "grants": grants.split(), "found": found.split()}, Action
    )


ROOT, LOG_ROOT = "hosts.administer", "log_hosts.administer"
#: What an action of a host is called on a host of the search store, where other people are root.
ON_LOG_HOST = {
    "root": "log-root", "journal": "log-journal", "verify": "log-verify", "trail-write": "log-trail-write",
    "recorder-stop": "log-recorder-stop", "data": "log-data",
}  # fmt: skip
ACTIONS: tuple[Action, ...] = (
    _action("login", "hosts", "log in", "hosts.login"),
    _action("root", "hosts", "become root", ROOT),
    _action("journal", "hosts", "read the whole journal", f"hosts.read_logs {ROOT}"),
    _action("verify", "hosts", "verify the host's audit trail", f"hosts.read_logs {ROOT}"),
    _action("trail-write", "hosts", "change the host's audit trail", found=ROOT),
    _action("recorder-stop", "hosts", "stop what records", found=ROOT),
    _action("log-root", "log hosts", "become root", LOG_ROOT),
    _action("log-journal", "log hosts", "read the whole journal", f"hosts.read_logs {LOG_ROOT}"),
    _action("log-verify", "log hosts", "verify the host's audit trail", f"hosts.read_logs {LOG_ROOT}"),
    _action("log-data", "log hosts", "read the store's files, with all trails", LOG_ROOT),
    _action("log-trail-write", "log hosts", "change the host's audit trail", found=LOG_ROOT),
    _action("log-recorder-stop", "log hosts", "stop what records", found=LOG_ROOT),
    _action("state", "search store", "see its state", "store.run trail.read"),
    _action("search", "search store", "search the audit trail", "trail.read"),
    _action("trail-create", "search store", "add to the audit trail"),
    _action("trail-update", "search store", "change the audit trail"),
    _action("trail-delete", "search store", "delete the audit trail"),
    _action("trail-close", "search store", "close the audit trail"),
    _action("restore", "search store", "restore an older snapshot"),
    _action("index", "search store", "make and remove an ordinary index"),
    _action("rights", "search store", "change who may do what"),
    _action("settings", "search store", "change its settings"),
    _action("submit", "scheduler", "submit a job", "jobs.submit"),
    _action("partition", "scheduler", "change a partition", "jobs.manage"),
    _action("accounts", "scheduler", "change its accounts", "jobs.manage"),
)


def roles(access: Access) -> Mapping[str, frozenset[str]]:
    """Return the grants of every role and of a stranger, in the order of the table's columns."""
    return {name: access.grants((name,)) for name in access.all_roles()} | {STRANGER: frozenset()}


def expected(access: Access) -> Iterator[Cell]:
    """Yield every cell: what each role must find when it tries each action."""
    for action in ACTIONS:
        for role, granted in roles(access).items():
            yield Cell(action=action.id, role=role, expected=action.verdict(granted))


def tester(access: Access, role: str, busy: Collection[str]) -> str:
    """Return somebody who has this role alone, '' where nobody has: more roles would blur what this one allows.

    ``busy`` are those who have temporary rights.
    """
    return next((it.name for it in access.people if it.roles == (role,) and it.name not in busy), "")
