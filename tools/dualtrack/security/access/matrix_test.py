"""Trying the table on what runs: each role's person on every host and in the store, allowed and forbidden alike."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from dualtrack.core import proc
from dualtrack.core.errors import BadInput, External, Refused
from dualtrack.inventory.read import read_inventory
from dualtrack.remote import connections as ssh_connections
from dualtrack.remote import ssh_config
from dualtrack.remote.opensearch import Store
from dualtrack.security.access import matrix, model
from dualtrack.security.access.matrix import Cell
from dualtrack.security.audit import fetch
from dualtrack.security.opensearch import connections

#: Becoming root: what is refused there must be in the audit trail.
ROOTS = ("root", "log-root")
Progress = Callable[[str], None]
PROBE = Path(__file__).with_name("probe.sh")
#: Seconds that a refusal gets to be found in the store.
RECORDED_S = 60
#: An index that is never there: a shipper's name that no host can have in the lab's or an operator's inventory.
NOWHERE = "audit-dualtrack-matrix-2000.01.01"
#: The index of one document that `dualtrack verify` leaves behind (roles/opensearch/verify).
VERIFIED = "audit-dualtrack-verify-2000.01.01"
#: How each action on the store is tried: requests that change nothing where they are allowed, or undo themselves.
REQUESTS: Mapping[str, Sequence[tuple[str, str, Any]]] = {
    "state": [("GET", "/_cluster/health", None)],
    "search": [("POST", "/audit-*/_search", {"size": 0})],
    "trail-create": [("PUT", f"/{NOWHERE}/_create/1", {"n": 1})],
    "trail-update": [("POST", f"/{NOWHERE}/_update/1", {"doc": {"n": 1}})],
    "trail-delete": [("DELETE", f"/{NOWHERE}", None)],
    "trail-close": [("POST", f"/{NOWHERE}/_close", None)],
    "index": [("PUT", "/dualtrack-matrix", None), ("DELETE", "/dualtrack-matrix", None)],
    "rights": [("PUT", "/_plugins/_security/api/internalusers/dualtrack-matrix", {})],
    "settings": [("PUT", "/_cluster/settings", {"persistent": {"dualtrack.matrix": 1}})],
}


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it: every cell of the table, and how many refused tries the audit trail has, of how many."""

    cells: tuple[Cell, ...]
    refusals: int
    recorded: int
    missing: tuple[str, ...]

    @property
    def wrong(self) -> tuple[Cell, ...]:
        """The cells that came otherwise than they must."""
        return tuple(it for it in self.cells if not it.right)


class _Tried(msgspec.Struct, frozen=True, kw_only=True):
    action: str
    role: str
    person: str
    place: str
    outcome: str
    said: str


def trial(access: model.Access, inventories: Sequence[Path], say: Progress, busy: Collection[str] = ()) -> Trial:
    """Try every cell on the hosts of the inventories, and in their stores, and look for the refusals in the trail.

    ``busy`` are people who have more than their roles for now, and so show nothing of what a role allows.
    Needs an inventory with a host that is up, and for each role a person who has it alone; what cannot be tried
    because a person or a service is missing is left out, and its cell says so by having no outcome.
    """
    variables = read_inventory(inventories)["_meta"]["hostvars"]
    hosts = {name: it for name, it in variables.items() if it.get("dualtrack_track")}
    people = {role: matrix.tester(access, role, busy) for role in access.all_roles()}
    people[matrix.STRANGER] = matrix.STRANGER
    mark = f"matrix{secrets.token_hex(6)}"
    with tempfile.TemporaryDirectory(prefix="dtm-") as folder, ExitStack() as stack:
        config = Path(folder, "ssh_config")
        config.write_text(ssh_config.render(hosts, Path(folder)))
        away = ssh_connections.open_all(config, list(hosts))
        stack.callback(ssh_connections.close_all, config, list(hosts))
        if away:
            name, reason = sorted(away.items())[0]
            raise External(f"{name} cannot be reached: {reason}", hint="dualtrack status")
        say(f"{len(hosts)} hosts, {sum(map(bool, people.values())) - 1} people and a stranger")
        with ThreadPoolExecutor(max_workers=8) as pool:
            tasks = [
                pool.submit(_on_host, config, name, role, person, mark, log_host=_is_log_host(name, it))
                for name, it in hosts.items()
                for role, person in people.items()
                if person
            ]
            tried = [it for task in tasks for it in task.result()]
        stores = connections.nodes(hosts, config)
        for node in stores:
            say(f"the search store on {node.name}")
            tried += _in_store(people, node)
        say("are the refusals in the audit trail?")
        inside = {(it.place, it.person) for it in tried if it.action == "login" and it.outcome == "allowed"}
        wanted = {
            (it.place, it.person)
            for it in tried
            if it.action in ROOTS and it.outcome == "refused" and hosts[it.place].get("audit_store")
        } & inside
        called = {name: str(it.get("audit_host") or name) for name, it in hosts.items()}
        found = _recorded(stores, people, mark, wanted, called) if stores else set()
    missing = tuple(sorted(f"{person} on {host}" for host, person in wanted - found))
    cells = tuple(_cell(it, [one for one in tried if (one.action, one.role) == (it.action, it.role)], hosts)
                  for it in matrix.expected(access))  # fmt: skip
    return Trial(cells=cells, refusals=len(wanted), recorded=len(wanted & found), missing=missing)


def _cell(cell: Cell, tried: Sequence[_Tried], hosts: Mapping[str, Any]) -> Cell:
    """Return a cell with what came of it; of several places the one where it came wrong."""
    seen = [it for it in tried if _counts(it, hosts)]
    if cell.expected == "found":  # it cannot be prevented; that it is found is tried by make drill-audit
        seen = [msgspec.structs.replace(it, outcome="found") if it.outcome == "allowed" else it for it in seen]
    seen.sort(key=lambda it: it.outcome == cell.expected)
    return (
        msgspec.structs.replace(
            cell, person=seen[0].person, place=seen[0].place, outcome=seen[0].outcome, said=seen[0].said
        )
        if seen
        else cell
    )


def _counts(it: _Tried, hosts: Mapping[str, Any]) -> bool:
    """Tell whether a try says something of its action: whoever submits jobs has accounts where that is done, only."""
    return it.action != "login" or it.person == matrix.STRANGER or not hosts[it.place].get("slurm_controllers")


def _is_log_host(name: str, facts: Mapping[str, Any]) -> bool:
    """Tell whether a host is one of the search store, by its variables."""
    return any(it["name"] == name for it in facts.get("opensearch_nodes", ()))


def _on_host(config: Path, host: str, role: str, person: str, mark: str, *, log_host: bool) -> list[_Tried]:
    """Try what can be tried on a host, as somebody."""
    words = ["ssh", "-F", str(config), host, f"sudo -n sh -s -- {person} {mark}"]
    done = proc.run(words, stdin=PROBE.read_text(), check=False, timeout=300)
    if done.returncode != 0:
        raise External(f"{host}: the tries as {person} ended with {done.returncode}: {proc.last_line(done.stderr)}")
    rows = [line.split("\t", 2) for line in done.stdout.splitlines() if line.count("\t") >= 2]
    called = matrix.ON_LOG_HOST if log_host else {}
    found = [
        _Tried(action=called.get(action, action), role=role, person=person, place=host, outcome=outcome, said=said)
        for action, outcome, said in rows
    ]
    if len(found) == 1:  # nobody gets in: nothing else can even be tried
        service = "log hosts" if log_host else "hosts"
        others = [it.id for it in matrix.ACTIONS if it.service == service and it.id != "login"]
        found += [
            _Tried(action=action, role=role, person=person, place=host, outcome="refused", said=found[0].said)
            for action in others
        ]
    return found


@contextmanager
def _requests(store: Store) -> Iterator[dict[str, Sequence[tuple[str, str, Any]]]]:
    """Yield the requests to try. A restore needs a snapshot that is there: a small one, while the block lasts.

    It is asked for an index that is there and open: who may restore hears that, and nothing is written over.
    ``store`` is spoken to as the administrator of the authority; one that was never verified, or has no repository, has
    no restores to try.
    """
    name, body = "/_snapshot/disk/dualtrack-matrix", {"indices": VERIFIED, "include_global_state": False}
    taken = store.call("PUT", f"{name}?wait_for_completion=true", body).status == 200
    try:
        yield {**REQUESTS, **({"restore": [("POST", f"{name}/_restore", {"indices": VERIFIED})]} if taken else {})}
    finally:
        store.call("DELETE", name)


def _in_store(people: Mapping[str, str], node: connections.Node) -> Iterator[_Tried]:
    with node.open("admin", "admin") as admin, _requests(admin) as wanted:
        for role, person in people.items():
            if not person:
                continue
            with node.open(None if person == matrix.STRANGER else "person", person) as store:
                for action, requests in wanted.items():
                    answers = [store.call(*request) for request in requests]
                    refused = any(it.status in (401, 403) for it in answers)
                    said = f"{answers[0].status} {answers[0].reason}"[:200]
                    yield _Tried(
                        action=action,
                        role=role,
                        person=person,
                        place=node.name,
                        outcome="refused" if refused else "allowed",
                        said=said,
                    )


def _recorded(
    stores: Sequence[connections.Node], people: Mapping[str, str], mark: str, wanted: set[tuple[str, str]],
    called: Mapping[str, str],
) -> set[tuple[str, str]]:  # fmt: skip
    """Return the (host, person) whose refusal is found in a store, as an auditor finds it.

    ``called`` is what each host is called in its trail.
    """
    auditor = people.get("auditor", "")
    if not auditor:
        raise BadInput("nobody is an auditor alone, so nobody can look for the refusals")
    found: set[tuple[str, str]] = set()
    for node in stores:
        store = connections.searched([node], person=auditor)
        for _ in range(RECORDED_S):
            hits: list[dict[str, Any]] = []
            with suppress(Refused):  # whom it refuses to let search has a cell that says so
                hits = fetch.search(store, text=mark, last=1000)
            for it in hits:
                text = str(it.get("body", ""))
                found |= {(host, who) for host, who in wanted if called[host] == it["host"] and f"{who} : " in text}
            if wanted <= found:
                return found
            proc.pause(1)
    return found
