"""The indices that hosts write to: a host may add documents and create no index; it asks, and a node's keeper creates.

A shipper that finds no index of a record's day puts that day into `.asked-HOST`, an index of its own that the
controller made when it admitted the host, and tries on. Whose it is follows from that index's name, which the store
holds to the certificate, and how it is made from the store's template: no host chooses settings. Days around today are
always made; of all others a host gets `days`, so that it cannot use up what the store can hold.

Logs cannot ask: what sends them is rsyslog. Their days are made ahead, for each host that has sent some lately.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from dualtrack.core.errors import DualtrackError, External, Refused
from dualtrack.remote.opensearch import Away, SearchStore
from dualtrack.security.audit import index_documents

#: Days of a host that are answered in one round.
ROUND = 30
#: Seconds between two rounds: what a host waits for the first record of a day.
PAUSE_S = 2.0
#: Seconds between two lines about the same trouble.
REMIND_S = 600.0
#: A host that has sent no logs for so many days has gone.
GONE = 7
LOGS = re.compile(r"logs-(.+)-(\d{4}-\d{2}-\d{2})")
#: What is there, with how many documents: not even the keeper reads one.
THERE = "/audit-*,logs-*/_stats/docs?filter_path=indices.*.primaries.docs.count"
WAITING = {
    "size": 0, "track_total_hits": False,
    "aggs": {"asked": {
        "terms": {"field": "_index", "size": 10_000}, "aggs": {"days": {"terms": {"field": "day", "size": ROUND}}},
    }},
}  # fmt: skip


class Ask(msgspec.Struct, frozen=True):
    """A ``host`` asks for the index of a ``day`` (2026.11.25, but it wrote it: it may be anything)."""

    host: str
    day: str

    @property
    def index(self) -> str:
        """Return the index that is asked for; '' for a day that is none."""
        found = f"audit-{self.host}-{self.day}"
        return found if index_documents.host_of(found) == self.host and _day(self.day, "%Y.%m.%d") else ""


def parse(answer: Mapping[str, Any]) -> list[Ask]:
    """Return what is asked for, out of the answer to WAITING."""
    buckets = answer.get("aggregations", {}).get("asked", {}).get("buckets", ())
    return [
        Ask(bucket["key"].removeprefix(index_documents.ASKED), str(day["key"]))
        for bucket in buckets
        for day in bucket["days"]["buckets"]
    ]


def decide(asks: Sequence[Ask], there: Mapping[str, int], today: date, days: int) -> tuple[list[str], dict[str, str]]:
    """Return the indices to make, and for each host that gets less than it asked for why.

    ``there`` are indices with their number of documents.
    """
    near = {f"{today + timedelta(days=it):%Y.%m.%d}" for it in (-1, 0, 1)}
    count: dict[str, int] = {}
    for index in there:
        count[index_documents.host_of(index)] = count.get(index_documents.host_of(index), 0) + 1
    make: list[str] = []
    why: dict[str, str] = {}
    for ask in sorted(asks, key=lambda it: (it.day not in near, it.day)):
        if not ask.index:
            why[ask.host] = "asks for a day that is none"
        elif ask.index in there or ask.index in make:
            continue
        elif ask.day not in near and count.get(ask.host, 0) >= days:
            why[ask.host] = f"has {count[ask.host]} days in the store and asks for more: {ask.day} is not made"
        else:
            make.append(ask.index)
            count[ask.host] = count.get(ask.host, 0) + 1
    return make, why


def ahead(there: Mapping[str, int], today: date) -> Iterator[str]:
    """Yield the indices of logs that are missing, up to tomorrow, of hosts that have sent some lately."""
    newest: dict[str, date] = {}
    for index, count in there.items():
        found = LOGS.fullmatch(index) if count else None
        day = _day(found[2], "%Y-%m-%d") if found else None
        if found and day and day <= today + timedelta(days=1):
            newest[found[1]] = max(day, newest.get(found[1], day))
    for host, day in sorted(newest.items()):
        # What was queued while the store was away is of the days between.
        late = (today - day).days
        for number in range(1, late + 2 if late <= GONE else 0):
            if (index := index_documents.logs_index(host, day + timedelta(days=number))) not in there:
                yield index


class Keeper:
    """Makes what hosts ask for, a `round` at a time; ``tell`` hears of what somebody should look at."""

    def __init__(self, store: SearchStore, days: int, tell: Callable[[str], None]) -> None:
        self.store, self.days, self.tell = store, days, tell
        self._told: dict[str, float] = {}

    def round(self, now: float = 0) -> int:
        """Answer what is asked now, and return how many indices were made. Away: try again later."""
        today = datetime.fromtimestamp(now or time.time(), UTC).date()
        lenient = "ignore_unavailable=true&allow_no_indices=true"
        asks = parse(self.store.ask("POST", f"/{index_documents.ASKED}*/_search?{lenient}", WAITING))
        stats = self.store.ask("GET", f"{THERE}&{lenient.partition('&')[0]}").get("indices", {})
        there = {name: int(it["primaries"]["docs"]["count"]) for name, it in stats.items()}
        make, why = decide(asks, there, today, self.days)
        made = [it for it in (*make, *ahead(there, today)) if self._make(it)]
        for host, reason in sorted(why.items()):
            self._remind(host, f"{host} {reason}")
        self._forget(asks)
        return len(made)

    def _make(self, index: str) -> bool:
        try:
            self.store.ask("PUT", f"/{index}", {})
        except Away:
            raise
        except (External, Refused) as error:
            if "already exists" in str(error):  # another node's keeper was faster
                return False
            # The store can hold no more, for instance: the host asks again, and waits.
            self._remind("", f"{index} cannot be made: {error}")
            return False
        return True

    def _forget(self, asks: Sequence[Ask]) -> None:
        """Take away what was answered: else a day that was retired would come back. Who still waits asks again."""
        lines = [{"delete": {"_index": index_documents.ASKED + it.host, "_id": it.day}} for it in asks if it.index]
        if lines:
            self.store.ask("POST", "/_bulk", b"".join(msgspec.json.encode(it) + b"\n" for it in lines))

    def _remind(self, about: str, said: str) -> None:
        if time.monotonic() - self._told.get(about, float("-inf")) >= REMIND_S:
            self._told[about] = time.monotonic()
            self.tell(said)


def follow(keeper: Keeper, *, once: bool, stopped: Callable[[], bool], pause: Callable[[float], object]) -> None:
    """Answer until ``stopped``, or with ``once`` one round."""
    away = False
    while not stopped():
        try:
            keeper.round()
        except DualtrackError as error:  # a store that has just started knows nobody yet; nothing ends this
            if once:
                raise
            if not away:
                keeper.tell(f"{error}; trying on")
            away = True
        else:
            if away:
                keeper.tell("the store answers again")
            away = False
        if once:
            return
        pause(PAUSE_S)


def _day(text: str, form: str) -> date | None:
    try:
        return datetime.strptime(text, form).replace(tzinfo=UTC).date()
    except ValueError:
        return None
