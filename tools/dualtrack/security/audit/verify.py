"""Judging a trail, in one pass and constant memory: is every record as it was written, and are all there?

What is found has a name, the records it concerns, and the times between which it lies. Whoever verifies must have the
root's public key, and heads that were anchored, from elsewhere than the host: its administrator can write all files.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from dualtrack.core.errors import BadInput, DualtrackError
from dualtrack.core.files import NotOwn
from dualtrack.crypto import libcrypto
from dualtrack.security.audit import record
from dualtrack.security.audit import signed_head as heads
from dualtrack.security.audit.layout import Place, lines, whole_lines
from dualtrack.security.audit.record import Hash, Host, Number, Time
from dualtrack.security.audit.signed_head import Head

Kind = Literal[
    "altered", "removed", "inserted", "not signed", "wrong key", "rolled back", "rewritten", "clock", "damaged",
    "silent", "split view", "not co-signed",
]  # fmt: skip
#: Nanoseconds between two heartbeats of a writer, and between two records after which silence is a finding.
HEARTBEAT_NS = 60 * 10**9
SILENCE_NS = 5 * HEARTBEAT_NS
#: Nanoseconds that records may wait for their signature: a segment is closed a minute after its first record.
UNSIGNED_NS = 3 * HEARTBEAT_NS
#: Findings at most. After so many nothing more is learned, and a hostile trail may hold any number.
MOST = 1000


class Anchor(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A head that somebody else keeps: which it was, its digest, and its last record and time."""

    host: Host
    segment: Number
    digest: Hash
    last: Number
    ended: Time


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong: records ``first`` to ``last`` (0: none in particular), between the times ``begun``, ``ended``."""

    kind: Kind
    first: int
    last: int
    begun: int
    ended: int
    detail: str


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """Where the judging begins when what came before was retired: behind the last head and the last record that went.

    ``segment``, ``previous`` and ``last`` are the number of that head, its digest and its last record, ``before`` the
    chain's hash there; ``epoch`` and ``key`` (PEM) what signs the next one. ``n``, ``chain`` and ``t`` are the last
    record that went, the hash behind it, and its time: of the next segment the first records may be gone, too.
    """

    host: str
    segment: int
    previous: str
    last: int
    before: str
    epoch: int
    key: bytes
    n: int
    chain: str
    t: int


class TrailReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a trail holds, how far it is signed, and what is wrong with it. Times in nanoseconds since 1970.

    ``cosigned`` is the last segment up to which enough witnesses co-signed every one, where any were asked for.
    ``retired`` is the last record that was retired before it was verified, 0 where the trail is there from its begin.
    ``anchors`` is how many heads that were kept elsewhere it was compared with, ``first`` the first segment of it all.
    """

    host: str
    records: int
    segments: int
    signed: int
    begun: int
    ended: int
    findings: tuple[Finding, ...]
    cosigned: int = 0
    retired: int = 0
    anchors: int = 0
    first: int = 1


class _TooMany(Exception):
    """There are as many findings as anybody reads."""


@dataclass
class _Run:
    """How far the judging is: the next record's number, the chain's hash before it, and the time of the last one."""

    place: Place
    key: libcrypto.PublicKey
    host: str
    epoch: int = 0
    next: int = 1
    chain: bytes = b""
    time: int = 0
    latest: int = 0  # the last record's time, 0 before the first
    span: tuple[int, int] = (0, 0)  # the earliest and the latest time of what is not signed
    begun: int = 0
    count: int = 0
    segments: int = 0  # the last head that fits, its digest, and its last record
    previous: str = ""
    signed: int = 0
    digests: dict[int, str] = field(default_factory=dict)  # of heads that are anchored
    gone: int = 0  # the last record that was retired, and the chain's hash behind it
    behind: bytes = b""
    findings: list[Finding] = field(default_factory=list)

    def add(self, kind: Kind, first: int, last: int, detail: str, *, begun: int = 0, ended: int = 0) -> None:
        """Take a finding down; without times it lies at the record that was read last."""
        self.findings.append(
            Finding(
                kind=kind, first=first, last=last, begun=begun or self.time, ended=ended or self.time, detail=detail
            )
        )
        if len(self.findings) == MOST:
            raise _TooMany


def judge(
    folder: Path, root: bytes, anchors: Sequence[Anchor] = (), *, now: int = 0, starts: Sequence[Start] = ()
) -> TrailReport:
    """Return what a trail is worth, given the root's public key (PEM) and heads that were anchored elsewhere.

    ``now`` (nanoseconds since 1970) makes silence at the end a finding, for a host that should be alive. ``starts``
    are the places up to which it was retired, in order; what they say must be known to be true.
    """
    place = Place(folder)
    # What a retirement names was there: in a trail that is whole it is an anchor like others.
    fixed = [
        Anchor(host=it.host, segment=it.segment, digest=it.previous, last=it.last, ended=it.t)
        for it in starts
        if it.segment
    ]
    known = sorted([*anchors, *fixed], key=lambda it: it.segment)
    run = _Run(place, libcrypto.public_key(root), _host(place, known))
    run.chain, run.previous = record.start(run.host), heads.none(run.host)
    start: Start | None = None
    try:
        start = _start(place, starts)
        _trail(run, known, start, now)
    except NotOwn as error:  # a link or a directory in the place of a file
        run.findings.append(
            Finding(kind="inserted", first=run.next, last=run.next, begun=run.time, ended=run.time, detail=str(error))
        )
    except _TooMany:
        more = "so much is wrong that it was verified no further"
        run.findings[-1] = Finding(
            kind="altered", first=run.next, last=run.next, begun=run.time, ended=run.time, detail=more
        )
    return TrailReport(
        host=run.host,
        records=run.count,
        segments=run.segments,
        signed=run.signed,
        begun=run.begun,
        ended=run.time,
        findings=tuple(run.findings),
        retired=run.gone,
        anchors=len(anchors),
        first=start.segment + 1 if start else 1,
    )


def _trail(run: _Run, known: Sequence[Anchor], start: Start | None, now: int) -> None:
    """Verify heads and records in order, then what is not signed, and what lies elsewhere."""
    present, follows = run.place.numbers(), True
    wanted = {it.segment for it in known}
    if start is not None:
        run.segments, run.previous, run.signed = start.segment, start.previous, start.last
        run.digests[start.segment] = start.previous
        known = [it for it in known if it.segment >= start.segment]  # older ones are fixed by it
        run.key, run.epoch, run.next = libcrypto.public_key(start.key), start.epoch, start.last + 1
        run.chain, run.time = bytes.fromhex(start.before), start.t
        run.gone, run.behind = start.n, bytes.fromhex(start.chain)
    for head, data, signature in _heads(run):
        if start is not None and head.segment <= start.segment:
            continue  # was sent again since
        if not (follows := _fits(head, data, signature, run) and _next_key(head, run)):
            break
        run.segments, run.previous = head.segment, heads.digest(data)
        if head.segment in wanted:
            run.digests[head.segment] = run.previous
        _segment(head, run)
        run.signed = head.last
    if follows:
        _tail(present, run, now)
    _anchored(known, run)
    for name in run.place.strangers():
        run.add("damaged" if ".damaged-" in name else "inserted", 0, 0, f"{name} is not a segment of this trail")
    if run.signed == 0 and follows:
        run.add("not signed", 1, run.count, "no head is there: nothing proves any of it")
    if now and now - run.time > SILENCE_NS:
        run.add("silent", 0, 0, "nothing came since, no heartbeat either", ended=now)
    if now and run.time - now > SILENCE_NS:
        run.add("clock", 0, 0, "the host's clock is ahead of this one: silence would not be seen", begun=now)


def _start(place: Place, starts: Sequence[Start]) -> Start | None:
    """Return where the judging begins: None for the trail's begin, which it has, or where nothing was retired."""
    first = 0
    with contextlib.suppress(BadInput):
        first = heads.parse(next(place.head_lines(), b""))[0].segment
    # A trail that continues behind an older one was brought back from a snapshot, and is there from then on.
    exact = [it for it in starts if it.segment + 1 == first]
    usable = exact or (list(starts) if first > 1 else [])
    return usable[-1] if usable else None


def of(folder: Path, known: Sequence[Anchor]) -> list[Anchor]:
    """Return those anchors that are of this trail's host; BadInput where there are only others'."""
    if len({it.host for it in known}) < 2:
        return list(known)
    host = _host(Place(folder), ())
    if found := [it for it in known if it.host == host]:
        return found
    raise BadInput(f"none of the anchors is of {host}", hint="is it another host's trail?")


def _host(place: Place, known: Sequence[Anchor]) -> str:
    name = place.name()
    return known[0].host if known else name


def _heads(run: _Run) -> Iterator[tuple[Head, bytes, bytes]]:
    """Yield the heads with their signatures, up to the first that is none."""
    for text in run.place.head_lines():
        try:
            found = heads.parse(text)
        except BadInput:
            # Else it is written just now, or was torn by a crash; anchors tell what should be there.
            if text.endswith(b"\n") or len(text) > heads.LINE:
                run.add("altered", run.next, run.next, "heads.log holds a line that is not a head")
            return
        yield found


def _fits(head: Head, data: bytes, signature: bytes, run: _Run) -> bool:
    """Tell whether a head is signed by its epoch's key and follows the one before it; else nothing after it counts."""
    segments = run.segments
    where = {"begun": run.time or head.begun, "ended": head.ended}
    gap = head.segment > segments + 1
    # Behind a gap in which the key was changed nobody can say whose signature it is: the gap is the finding.
    known = not gap or head.epoch <= run.epoch
    if known and (head.epoch != run.epoch or not run.key.verifies(signature, heads.signed(data))):
        why = f"the head of segment {head.segment} is not signed by this host's key of epoch {run.epoch}"
        run.add("wrong key", head.first, head.last, why, **where)
        return False
    follows = (head.segment, head.previous, head.host, head.first, head.before)
    if follows != (segments + 1, run.previous, run.host, run.next, run.chain.hex()):
        kind: Kind = "removed" if gap else "inserted"
        why = f"after segment {segments} the head of segment {head.segment} follows"
        run.add(kind, run.next, run.next, why, **where)
        return False
    return True


def _next_key(head: Head, run: _Run) -> bool:
    """Continue with the key that a head names, if it does."""
    if head.next_key:
        try:
            run.key, run.epoch = libcrypto.public_key(head.next_key.encode()), run.epoch + 1
        except DualtrackError:
            why = f"the head of segment {head.segment} names a next key that is none"
            run.add("wrong key", head.first, head.last, why)
            return False
    return True


def _segment(head: Head, run: _Run) -> None:
    """Verify the records of one segment against its head, and continue from what the head says."""
    path = run.place.segment(head.segment)
    before = len(run.findings)
    if head.first <= run.gone:
        run.next, run.chain = run.gone + 1, run.behind
    if head.last < run.next and (head.last < run.gone or run.chain.hex() == head.chain):
        pass  # all its records are retired
    elif not run.place.has(head.segment):
        run.add("removed", run.next, head.last, f"{path.name} is gone", begun=head.begun, ended=head.ended)
    else:
        _records(path, run)
        if run.next <= head.last:
            run.add("removed", run.next, head.last, f"the end of {path.name} is missing", ended=head.ended)
        elif run.next > head.last + 1:
            run.add("inserted", head.last + 1, run.next - 1, f"{path.name} is longer than it was signed")
        elif run.chain.hex() != head.chain and len(run.findings) == before:
            run.add("rewritten", head.first, head.last, f"{path.name} is a chain of its own, and not the one that was"
                    " signed", begun=head.begun, ended=head.ended)  # fmt: skip
    run.next, run.chain = head.last + 1, bytes.fromhex(head.chain)
    run.time = max(run.time, head.ended)


def _records(path: Path, run: _Run, *, live: bool = False) -> None:
    """Verify a file's records: numbers without a gap, each hash right. After a finding continue from what is there.

    ``live``: the last line may be written just now.
    """
    again = run.gone > 0  # records that were retired may come again, before all others
    with run.place.open(path) as file:
        for text in whole_lines(file) if live else lines(file):
            try:
                found, data, chain = record.parse(text)
            except BadInput:
                if live and not text.endswith(b"\n") and len(text) < record.LINE:
                    return
                run.add("altered", run.next, run.next, f"{path.name}: where record {run.next} should be is none")
                run.next, run.chain = run.next + 1, b""
                continue
            if again and found.n <= run.gone:
                continue  # was sent again since
            again = False
            run.count += 1
            if found.n < run.next:
                why = f"record {found.n} comes after record {run.next - 1}: repeated, moved, or renumbered"
                run.add("inserted", run.next, run.next, why)
                run.chain = b""  # what the next one is linked to is not known
                continue
            if found.n > run.next:
                run.add("removed", run.next, found.n - 1, f"record {found.n} follows record {run.next - 1}")
            elif run.chain and record.link(run.chain, data) != chain:
                run.add("altered", found.n, found.n, f"record {found.n} is not as it was written")
            run.next, run.chain = found.n + 1, chain
            _when(found, run)


def _when(found: record.Record, run: _Run) -> None:
    run.begun = run.begun or found.t
    if found.kind == "clock" and not found.source:
        run.add("clock", found.n, found.n, f"the host's clock was {found.body}", begun=found.t, ended=run.time)
    elif (back := run.latest - found.t) > record.BACK_NS:  # the writer says so in a record of its own
        why = f"record {found.n} is {back / 1e9:.0f} s before the one before it, no clock was said to be set back"
        run.add("clock", found.n, found.n, why, begun=found.t, ended=run.latest)
    if found.kind == "damaged" and found.source == "audit":
        run.add("damaged", found.n, found.n, f"the writer found the trail changed: {found.body}", ended=found.t)
    if run.time and found.t - run.time > SILENCE_NS:
        run.add("silent", found.n - 1, found.n, f"nothing for {(found.t - run.time) / 1e9:.0f} s, no heartbeat either",
                ended=found.t)  # fmt: skip
    run.time = run.latest = found.t
    run.span = min(run.span[0] or found.t, found.t), max(run.span[1], found.t)


def _tail(present: Sequence[int], run: _Run, now: int) -> None:
    """Verify what is not signed yet: the one segment after the last head, and no other."""
    number, first = run.segments + 1, run.next
    if number in present:
        before, run.begun, run.span = run.begun, 0, (0, 0)
        _records(run.place.segment(number), run, live=True)
        begun, run.begun = run.begun, before or run.begun
        # Whoever has no key can put any number of records here: those that the writer had time to sign are not its own.
        late = max(run.span[1], now) - run.span[0] if begun else 0
        if late > UNSIGNED_NS:
            run.add("not signed", first, run.next - 1, f"not signed {late / 1e9:.0f} s after they began", begun=begun)
    for other in present:
        if other > number:
            run.add("inserted", 0, 0, f"{run.place.segment(other).name} has no head and follows on nothing")


def _anchored(known: Sequence[Anchor], run: _Run) -> None:
    """Compare with the heads that were anchored: what they fix must still be there."""
    for it in known:
        if it.segment > run.segments:
            run.add("rolled back", 0, it.last, f"the trail ends before segment {it.segment}, which was anchored",
                    ended=it.ended)  # fmt: skip
        elif run.digests.get(it.segment) != it.digest:
            run.add("rewritten", 0, it.last, f"segment {it.segment} differs from the anchored one", ended=it.ended)
