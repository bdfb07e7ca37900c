"""Snapshots of the search store: taking one, seeing what there are, and bringing back what a store has lost."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec

from dualtrack.core.errors import BadInput, External
from dualtrack.remote.opensearch import SearchStore

#: All that people and hosts keep in it; not the store's own indices: rights come from the controller.
ALL = "*,-.*"
#: Audit trails alone, and what the names begin with: of a snapshot of everything, of trails alone, of retired days.
TRAILS = "audit-*"
TAKEN, ALONE, RETIRED = "taken", "trails", "retired"
#: What a snapshot or a repository may be called: part of a path, and of a list.
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,199}")
WHOLE, RUNNING = "SUCCESS", "IN_PROGRESS"
#: Looks, a second apart, at a restore in which nothing moves before it has failed.
STILL = 30


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot: its state in the store's word, when it was begun (nanoseconds since 1970), what is in it."""

    name: str
    state: str
    begun: int
    indices: tuple[str, ...]
    why: str = ""

    @property
    def whole(self) -> bool:
        """Tell whether all of it was written."""
        return self.state == WHOLE


def called(prefix: str, now: int) -> str:
    """Return a name for a snapshot that is taken at a time (nanoseconds since 1970).

    It ends with milliseconds: two snapshots may begin within a second, and a store refuses a name that it has.
    """
    return f"{prefix}-{datetime.fromtimestamp(now // 10**9, UTC):%Y.%m.%d-%H%M%S}.{now // 10**6 % 1000:03d}"


def parse(found: dict[str, Any]) -> Snapshot:
    """Return a snapshot as the store describes it."""
    failures = found.get("failures") or [{}]
    return Snapshot(
        name=found["snapshot"],
        state=found["state"],
        begun=int(found.get("start_time_in_millis", 0)) * 10**6,
        indices=tuple(sorted(found.get("indices", ()))),
        why=str(found.get("reason") or failures[0].get("reason") or ""),
    )


def listed(store: SearchStore, repository: str) -> list[Snapshot]:
    """Return all snapshots of a repository, the oldest first."""
    found = store.ask("GET", f"{_path(repository)}/_all")["snapshots"]
    return sorted((parse(it) for it in found), key=lambda it: (it.begun, it.name))


def take(store: SearchStore, repository: str, name: str, indices: Sequence[str] = (ALL,)) -> Snapshot:
    """Take a snapshot and wait for its end; External where not all of it could be written."""
    body = {"indices": ",".join(indices), "include_global_state": False, "partial": False}
    path = _path(repository, name)
    store.ask("PUT", path, body)
    # A large one takes hours, in which nothing would come over a connection that waits.
    for wait in _waits():
        taken = parse(store.ask("GET", path)["snapshots"][0])
        if taken.state != RUNNING:
            break
        time.sleep(wait)
    if not taken.whole:
        raise External(f"the snapshot {name} is {taken.state}: {taken.why}", hint="the journal of the store's node")
    return taken


def take_all(store: SearchStore, repository: str, now: int) -> Snapshot:
    """Take a snapshot of everything at a time (nanoseconds since 1970); External where it is not whole.

    One index that can lie on no node keeps it from being whole. Then the audit trails are saved alone before the error
    is raised: nobody ends their snapshots with an index of another kind.
    """
    try:
        return take(store, repository, called(TAKEN, now))
    except External as error:
        alone = take(store, repository, called(ALONE, now), (TRAILS,))
        raise External(f"{error}; {alone.name} has the audit trails alone", hint=error.hint) from error


def restore(
    store: SearchStore, repository: str, snapshot: Snapshot, *, dry_run: bool = False
) -> tuple[list[str], list[str]]:
    """Bring back the indices of a snapshot that the store has not; return these, and those that it has.

    What is there stays as it is: nothing is written over. With ``dry_run`` nothing is touched.
    """
    there = set(store.ask("GET", "/*/_settings?filter_path=*.settings.index.uuid&expand_wildcards=all"))
    missing = [it for it in snapshot.indices if it not in there and not it.startswith(".")]
    if missing and not dry_run:
        body = {
            "indices": ",".join(missing), "include_global_state": False, "include_aliases": False,
            # What was about to be removed when the snapshot was taken is not written to.
            "ignore_index_settings": ["index.blocks.write"],
        }  # fmt: skip
        store.ask("POST", f"{_path(repository, snapshot.name)}/_restore", body)
        _await_whole(store, snapshot.name, missing)
    return missing, [it for it in snapshot.indices if it in there]


def _await_whole(store: SearchStore, name: str, indices: Sequence[str]) -> None:
    """Wait until these indices can be read; External where one stays behind and nothing is on its way any more.

    Others may be red all the while, as when one of them kept the snapshot of everything from being taken.
    """
    still = 0
    for wait in _waits():
        found = store.ask("GET", "/_cluster/health?level=indices&expand_wildcards=all")
        states = {it: health["status"] for it, health in found["indices"].items()}
        if all(states.get(it, "red") != "red" for it in indices):
            return
        still = 0 if found["initializing_shards"] or found["number_of_in_flight_fetch"] else still + 1
        if still == STILL:
            raise External(f"not all of {name} came back", hint="the journal of the store's node")
        time.sleep(wait)


def _waits() -> Iterator[float]:
    """Yield seconds to wait, for ever: short at first."""
    yield from (0.1, 0.2, 0.4)
    while True:
        yield 1.0


def remove(store: SearchStore, repository: str, name: str) -> None:
    """Remove a snapshot, and what only it has, for good."""
    store.ask("DELETE", _path(repository, name))


def chosen(found: Sequence[Snapshot], name: str) -> list[Snapshot]:
    """Return what to restore from, the newest first (pure); BadInput where there is none.

    That is the whole snapshot of a name. Without a name it is the newest whole one of everything (`take_all`), and
    those of trails alone that are newer; retired days, and what somebody took otherwise, come back by name only.
    """
    usable = [it for it in reversed(found) if it.whole and name in ("", it.name)]
    if not name:
        usable = [it for it in usable if it.name.startswith((f"{TAKEN}-", f"{ALONE}-"))]
        everything = next((n for n, it in enumerate(usable) if it.name.startswith(f"{TAKEN}-")), len(usable))
        usable = usable[: everything + 1]
    if not usable:
        raise BadInput(f"there is no whole snapshot {name}".rstrip(), hint="dualtrack audit snapshots")
    return usable


def _path(repository: str, name: str = "") -> str:
    for it in filter(None, (repository, name)):
        if not NAME.fullmatch(it):
            raise BadInput(f"{it!r} cannot be the name of a snapshot or a repository")
    return "/".join(filter(None, ("/_snapshot", quote(repository), quote(name))))
