"""Trails made for tests, and what a forger does to them who has the host's keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from dualtrack.core.errors import DualtrackError
from dualtrack.security.audit import keys, record
from dualtrack.security.audit import signed_head as heads
from dualtrack.security.audit.layout import Place
from dualtrack.security.audit.record import Record
from dualtrack.security.audit.verify import Anchor, TrailReport, judge
from dualtrack.security.audit.writer import Writer
from tests.support import reference_audit

SECOND = 10**9
MINUTE = 60 * SECOND
START = 1_767_225_600 * SECOND  # 2026-01-01


class Clock:
    """A clock that goes a second on at each look."""

    def __init__(self, now: int = START) -> None:
        self.now = now

    def __call__(self) -> int:
        self.now += SECOND
        return self.now


def fill(folder: Path, count: int, clock: Clock, *, records: int = 5, epoch_s: int = 20) -> None:
    """Write ``count`` events, ``records`` a segment, with a new key every ``epoch_s`` seconds."""
    with Writer(folder, clock=clock, records=records, age_ns=10**18, epoch_ns=epoch_s * SECOND) as writer:
        for number in range(count):
            writer.append("sudo", "ops", f"event {number}: ls -l /root".encode())
            writer.commit()


def anchors(folder: Path) -> list[Anchor]:
    """Return every head as somebody else would have kept it."""
    found = []
    for text in (folder / "heads.log").read_bytes().splitlines(keepends=True):
        data, _ = heads.split(text)
        head = heads.decode(data)
        found.append(
            Anchor(host=head.host, segment=head.segment, digest=heads.digest(data), last=head.last, ended=head.ended)
        )
    return found


def steal(folder: Path, number: int) -> None:
    """Rewrite record ``number`` with the host's present key, as a thief of that key does; the rest reads as before."""
    [stolen] = (folder / "keys").iterdir()
    key = keys.load(stolen)
    rewrite(folder, lambda _: key, lambda n: b"innocent" if n == number else f"event {n - 1}: ls -l /root".encode())


def rewrite(folder: Path, key_of: Callable[[int], keys.libcrypto.PrivateKey], change: Callable[[int], bytes]) -> None:
    """Write a whole trail anew with other bodies, heads signed by whatever key the thief has: a forger's best work."""
    place = Place(folder)
    host = (folder / "host").read_text().strip()
    old = [heads.decode(heads.split(it)[0]) for it in place.heads.read_bytes().splitlines(keepends=True)]
    chain, previous, made = record.start(host), heads.none(host), []
    for head in old:
        lines, before = [], chain
        for text in place.segment(head.segment).read_bytes().splitlines(keepends=True):
            was = record.decode(record.split(text)[0])
            data = record.encode(
                Record(n=was.n, t=was.t, kind=was.kind, source=was.source, body=change(was.n).decode())
            )
            chain = record.link(chain, data)
            lines.append(record.line(data, chain))
        place.segment(head.segment).write_bytes(b"".join(lines))
        fresh = msgspec.structs.replace(head, before=before.hex(), chain=chain.hex(), previous=previous)
        data = heads.encode(fresh)
        previous = heads.digest(data)
        made.append(heads.line(data, key_of(head.epoch).sign(heads.signed(data))))
    place.heads.write_bytes(b"".join(made))
    place.segment(len(old) + 1).unlink(missing_ok=True)


def both(trail: Path, root: bytes) -> tuple[TrailReport | None, list[str]]:
    """What both say: the report (None where the command would end with one line), and the reference's fault."""
    try:
        report = judge(trail, root)
    except DualtrackError:
        report = None
    return report, reference_audit.verdict(trail, root)


def line(n: int, before: bytes, **fields: object) -> tuple[bytes, bytes]:
    """A record's line that is linked to what is before it, and its hash; fields may be anything."""
    data = msgspec.json.encode({"n": n, **fields})
    chain = record.link(before, data)
    return record.line(data, chain), chain
