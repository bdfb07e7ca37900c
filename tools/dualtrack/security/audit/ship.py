"""Shipping a trail to the search store: each record once, through outages, kills and full disks, in bounded memory.

The trail itself is the queue. What the store has acknowledged is noted beside it; after a crash the records since then
are sent again, and are there already, since a document's name follows from its content. Nothing is left out: what the
store will not take stops the shipping, and who watches it is told.

A store that was lost and built anew has another identity: the shipper notices, and sends again what the trail has.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from dualtrack.core import files
from dualtrack.core.errors import BadInput, DualtrackError, External
from dualtrack.remote.opensearch import Away, SearchStore
from dualtrack.security.audit import index_documents, record
from dualtrack.security.audit import signed_head as heads
from dualtrack.security.audit.layout import Place, lines

#: Records and bytes of a bulk request: memory is a few times as much.
RECORDS, BYTES = 2000, 5 << 20
#: Seconds between two looks when nothing comes; between two tries, doubled each time, and at most.
IDLE_S, FIRST_TRY_S, LAST_TRY_S = 0.5, 0.5, 30.0
#: Seconds between two lines that say that the queue is long.
REMIND_S = 60.0
#: Seconds between two looks at which store this is.
MEET_S = 60.0
DAY_NS = 86_400 * 10**9
#: Asks only for what is verified, item by item: an answer to 2,000 records is then 50 kB.
BULK = "/_bulk?filter_path=errors," + ",".join(
    f"items.create.{it}" for it in ("_index", "status", "error.type", "error.reason")
)
#: Errors of single documents that pass: the store is out of room, or busy.
PASSING = frozenset({"cluster_block_exception", "es_rejected_execution_exception", "unavailable_shards_exception",
                     "opensearch_rejected_execution_exception"})  # fmt: skip


class Shipped(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the store has acknowledged: up to byte ``offset`` of ``segment`` and of the heads' file; record ``n`` last.

    ``chain`` is the hash behind that record, in hexadecimal digits; ``at`` when the store said so, in nanoseconds
    since 1970; ``behind`` how many bytes waited then. ``store`` is which store that was, '' where it is not known.
    """

    segment: int = 1
    offset: int = 0
    heads: int = 0
    n: int = 0
    chain: str = ""
    at: int = 0
    behind: int = 0
    store: str = ""


class _Group(msgspec.Struct, frozen=True, kw_only=True):
    """Records for one request, and where the trail continues behind them; ``n`` and ``chain`` are the last one's."""

    segment: int
    offset: int
    documents: list[bytes]
    n: int
    chain: str


class Shipper:
    """Sends what a trail has and the store has not. `step` until it returns False, then again when there may be more.

    ``alarm`` is how many bytes may wait before ``tell`` is told, and again each minute. ``reach`` is how many days it
    goes back when it sends again, 0 for the trail's begin.
    """

    def __init__(
        self, folder: Path, store: SearchStore, state: Path, *, alarm: int, tell: Callable[[str], None], reach: int = 0
    ) -> None:
        self.place, self.store, self.state, self.alarm, self.tell = Place(folder), store, state, alarm, tell
        self.host = index_documents.host(self.place.name())
        found = files.read(state, Shipped, follow=False)
        self.at = found or Shipped()
        self.reach = reach
        self._reminded = self._met = float("-inf")
        self._beside = ThreadPoolExecutor(max_workers=1)
        self._ahead: tuple[tuple[int, int], Future[_Group]] | None = None
        self._check()

    def _check(self) -> None:
        """Refuse to continue behind a record that is not there any more: the trail was changed, or is another one."""
        if not self.at.n:
            return
        segment, end = self.at.segment, self.at.offset
        if not end:  # the segment before it was shipped to its end
            segment -= 1
            end = self.place.size(self.place.segment(segment)) or 0
        try:
            with self.place.open(self.place.segment(segment)) as file:
                file.seek(max(0, end - record.HEX - 1))
                there = file.read(record.HEX + 1)
        except OSError:
            there = b""
        if there != f"{self.at.chain}\n".encode():
            raise External(
                f"record {self.at.n} is not there any more as it was shipped: the trail was changed, or is another one",
                hint="dualtrack audit verify",
            )

    def resend_from_start(self, store: str = "") -> None:
        """Begin anew, ``reach`` days back: what the store has stays there once, what it lacks comes back."""
        since = time.time_ns() - self.reach * DAY_NS if self.reach else 0
        at = Shipped(store=store or self.at.store)
        try:
            for line in self.place.head_lines():
                head = heads.parse(line)[0]
                if not since or head.ended >= since:
                    break
                at = msgspec.structs.replace(
                    at, segment=head.segment + 1, heads=at.heads + len(line), n=head.last, chain=head.chain
                )
        except BadInput as error:
            raise External(f"heads.log: {error}", hint="dualtrack audit verify") from None
        self.at = at
        self._record_ack()

    def _check_store_identity(self) -> None:
        """Find out whether this is the store of the last time."""
        if time.monotonic() - self._met < MEET_S:
            return
        found, known = self.store.identity(), self.at.store
        self._met = time.monotonic()
        if known and found and found != known:
            self.tell("this is another store than before: what the trail has is sent again")
            self.resend_from_start(found)
        elif found:
            self.at = msgspec.structs.replace(self.at, store=found)

    def step(self) -> bool:
        """Send one group and note that it was taken; False when there is nothing to send. Away: try again later."""
        self._check_store_identity()
        signed = (
            self.place.size(self.place.heads) or 0
        )  # what these heads name was written before: it is sent before them
        group = self._next()
        if group.documents:
            if len(group.documents) == RECORDS:  # there is more: it is made while the store takes this
                behind = (group.segment, group.offset)
                self._ahead = (behind, self._beside.submit(self._group, *behind))
            self._send(group.documents)
            self._record_ack(segment=group.segment, offset=group.offset, n=group.n, chain=group.chain)
            return True
        if (group.segment, group.offset) != (self.at.segment, self.at.offset):
            self._record_ack(segment=group.segment, offset=group.offset)
            return True
        batch, end = self._heads(signed)
        if batch:
            self._send([index_documents.of_head(self.host, it) for it in batch])
            self._record_ack(heads=end)
        return bool(batch)

    def waiting(self) -> int:
        """Return how many bytes of records are not shipped."""
        total, number = -self.at.offset, self.at.segment
        while (size := self.place.size(self.place.segment(number))) is not None:
            total += size
            number += 1
        return max(0, total)

    def remind(self, behind: int) -> None:
        """Say that more bytes wait than should, once a minute."""
        if behind > self.alarm and time.monotonic() - self._reminded >= REMIND_S:
            self._reminded = time.monotonic()
            self.tell(f"{behind / 1e6:.1f} MB of the trail are not shipped (alarm at {self.alarm / 1e6:.1f} MB)")

    def _next(self) -> _Group:
        """Return what comes after what the store has: made ahead, or now where nothing was there then."""
        at, ahead = (self.at.segment, self.at.offset), self._ahead
        self._ahead = None
        if ahead is not None and ahead[0] == at and (group := ahead[1].result()).documents:
            return group
        return self._group(*at)

    def _group(self, segment: int, offset: int) -> _Group:
        """Return the records behind a place in the trail as documents; External for a line that is none."""
        batch, segment, offset = self._records(segment, offset)
        try:
            documents = [index_documents.of_record(self.host, it) for it in batch]
            n, chain = _end(batch[-1]) if batch else (0, "")
        except BadInput as error:
            raise External(f"segment {segment}: {error}", hint="dualtrack audit verify") from None
        return _Group(segment=segment, offset=offset, documents=documents, n=n, chain=chain)

    def _records(self, segment: int, offset: int) -> tuple[list[bytes], int, int]:
        """Return the whole lines behind a place, and where the next ones begin."""
        over = self.place.has(segment + 1)  # asked first: who begins a segment has ended the one before
        found: list[bytes] = []
        size = 0
        try:
            with self.place.open(self.place.segment(segment)) as file:
                if os.fstat(file.fileno()).st_size < offset:
                    raise External(f"segment {segment} has become shorter", hint="dualtrack audit verify")
                file.seek(offset)
                for line in lines(file):
                    if len(line) == record.LINE:
                        raise External(f"segment {segment} has a line that is too long", hint="dualtrack audit verify")
                    if not line.endswith(b"\n") or len(found) == RECORDS or size > BYTES:
                        break
                    found.append(line)
                    size += len(line)
                if found and not over:
                    os.fdatasync(file.fileno())  # what a power cut could take back is not shipped
        except FileNotFoundError:
            if over:
                raise External(
                    f"segment {segment} is gone and was not shipped", hint="dualtrack audit verify"
                ) from None
            return [], segment, offset
        if over and not found:
            return [], segment + 1, 0
        return found, segment, offset + size

    def _heads(self, end: int) -> tuple[list[bytes], int]:
        found: list[bytes] = []
        size = 0
        if end <= self.at.heads:
            return found, end
        with self.place.open(self.place.heads) as file:
            file.seek(self.at.heads)
            for line in lines(file):
                if not line.endswith(b"\n") or self.at.heads + size + len(line) > end or len(found) == RECORDS:
                    break
                found.append(line)
                size += len(line)
        return found, self.at.heads + size

    def _send(self, documents: list[bytes]) -> None:
        """Have the store take documents, all of them. Away when it was too busy for some: all may be sent again."""
        left, missing = _left(self.host, documents, self.store.ask("POST", BULK, b"".join(documents)))
        if missing:
            self._ask(missing)
            raise Away(f"the store has no {missing[0]} yet, and was asked for it")
        if left:
            raise Away(f"the store does not take {left} of {len(documents)} records now")

    def _ask(self, indices: list[str]) -> None:
        """Ask for indices of ours: only the keeper on the store's node creates any (`index_requests`)."""
        answer = self.store.ask("POST", "/_bulk", index_documents.of_asks(self.host, indices))
        for item in answer["items"]:
            status = item["index"]["status"]
            if status == 404:
                raise Away(f"the store has not admitted {self.host}: dualtrack audit admit, on the controller")
            if status == 403:
                raise External(f"the store does not take a record (403): the certificate is not that of {self.host}")

    def _record_ack(self, **fields: Any) -> None:
        self.at = msgspec.structs.replace(self.at, at=time.time_ns(), **fields)
        self.at = msgspec.structs.replace(self.at, behind=self.waiting())
        try:
            files.write_atomically(self.state, msgspec.json.encode(self.at))
        except DualtrackError as error:  # a full disk: shipping continues, and a restart sends some again
            self.tell(str(error))


def follow(
    shipper: Shipper, *, once: bool, stopped: Callable[[], bool], pause: Callable[[float], object] = time.sleep
) -> int:
    """Ship until ``stopped``, or with ``once`` until all is there; return the number of the last record shipped."""
    wait, out = FIRST_TRY_S, False
    while not stopped():
        try:
            moved = shipper.step()
        except Away as error:
            if not out:
                shipper.tell(f"{error}; trying on")
            out = True
            shipper.remind(shipper.waiting())
            pause(wait)
            wait = min(LAST_TRY_S, 2 * wait)
            continue
        if out:
            shipper.tell("the store takes records again")
        wait, out = FIRST_TRY_S, False
        if not moved:
            if once:
                break
            pause(IDLE_S)
        else:
            shipper.remind(shipper.at.behind)
    return shipper.at.n


def _left(host: str, sent: list[bytes], answer: Any) -> tuple[int, list[str]]:
    """Return how many documents the store was too busy for, and which indices it has not; External for a document that
    it will never take.

    Also for one that lies in another index than the host's: somebody gave that one's name to another as an alias, and
    may do anything with the record.
    """
    try:
        items = [it["create"] for it in answer["items"]]
        if len(items) != len(sent):
            raise ValueError
        left, missing = 0, set[str]()
        for item in items:
            status, index = item["status"], item["_index"]
            if index_documents.host_of(index) != host:
                raise External(f"the store put a record into {str(index)[:200]!r}, which is not an index of {host}")
            if status < 300 or status == 409:  # 409: it is there already, since a document's name is its content
                continue
            error = item.get("error") or {}
            if status == 404 and error.get("type") == "index_not_found_exception":
                missing.add(index)
            elif status != 429 and status < 500 and error.get("type") not in PASSING:
                raise External(f"the store does not take a record ({status}): {str(error.get('reason'))[:200]}")
            left += 1
        return left, sorted(missing)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise External("the store's answer is not that of a bulk request") from None


def _end(line: bytes) -> tuple[int, str]:
    found, _, chain = record.parse(line)
    return found.n, chain.hex()
