"""Judging by several witnesses: which heads of a trail did enough of them co-sign, and did they all see the same?

Of each witness all statements are read, in the order in which it made them; each names the digest of the one before,
so one signature, the newest, is checked. In constant memory: heads and statements of a host are in the same order.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from dualtrack.core.errors import BadInput
from dualtrack.crypto import libcrypto
from dualtrack.security.audit import record, witness_log
from dualtrack.security.audit import signed_head as heads
from dualtrack.security.audit.layout import Place, lines
from dualtrack.security.audit.signed_head import Head
from dualtrack.security.audit.verify import MOST, Finding, TrailReport
from dualtrack.security.audit.witness_log import Statement

#: Nanoseconds that a head has to be co-signed in.
PATIENCE_NS = 15 * 60 * 10**9


@dataclass(frozen=True)
class _Voice:
    """One file of one witness: its name, its key's point, and where and how many its statements are."""

    name: str
    point: bytes
    path: Path
    count: int


def split(places: Sequence[str]) -> tuple[list[str], list[Path]]:
    """Return which of the places hold plain anchors, and which are files of a witness's statements."""
    plain, said = list[str](), list[Path]()
    for place in places:
        first = b"}"
        if "://" not in place and Path(place).is_file():
            with Path(place).open("rb") as file:
                first = file.readline(1 << 16)
        (said.append(Path(place)) if first and witness_log.is_one(first) else plain.append(place))
    return plain, said


def judge(
    folder: Path, report: TrailReport, said: Sequence[Path], witnesses: Sequence[bytes], quorum: int, *, now: int,
    patience_ns: int = PATIENCE_NS,
) -> TrailReport:  # fmt: skip
    """Return a trail's report with what the witnesses' files make of it.

    ``witnesses`` are the public keys (PEM) of those who count, ``quorum`` of whom must have co-signed each head that is
    older than ``patience_ns`` at ``now``. BadInput where there are fewer witnesses than that.
    """
    points = {libcrypto.public_key(pem).point: pem for pem in witnesses}
    if not 0 < quorum <= len(points):
        raise BadInput(f"a quorum of {quorum} of {len(points)} witnesses cannot be had", hint="--witness, --quorum")
    found, voices = list[Finding](), dict[bytes, _Voice]()
    for path in said:
        try:
            voice = _voice(path, points)
            before = voices.get(voice.point)
            if before is not None:
                _agree(before, voice)
        except _Wrong as error:
            found.append(_finding("wrong key" if error.stranger else "split view", str(error)))
            continue
        if before is None or voice.count > before.count:
            voices[voice.point] = voice
    told = sorted(voices.values(), key=lambda it: (it.name, it.point))
    for one, other in itertools.pairwise(told):
        if one.name == other.name:
            why = f"{one.path.name} and {other.path.name}: two witnesses, and both call themselves {one.name}"
            found.append(_finding("wrong key", why))
    cosigned, more = _compare(Place(folder), report, told, quorum, now - patience_ns)
    return msgspec.structs.replace(report, cosigned=cosigned, findings=(*report.findings, *found, *more))


class _Wrong(Exception):
    """A file that is not to be believed; ``stranger``: it is not a known witness's, or not all of it."""

    def __init__(self, said: str, *, stranger: bool) -> None:
        super().__init__(said)
        self.stranger = stranger


def _voice(path: Path, points: dict[bytes, bytes]) -> _Voice:
    """Check a file: begun by one of the witnesses, each statement after the one before, the last one signed."""
    first: Statement | None = None
    previous, count, data, signature = "", 0, b"", b""
    segments: dict[str, int] = {}
    try:
        for it, data, signature in _statements(path):  # noqa: B007 - the last ones are looked at
            if first is None:
                first, previous = it, witness_log.none(it.host)
            if it.n != count + 1 or it.previous != previous:
                raise _Wrong(f"{path.name}: statement {it.n} does not follow on number {count}", stranger=True)
            if it.kind == "head" and it.segment != segments.get(it.host, 0) + 1:
                again = it.segment <= segments.get(it.host, 0)
                how = "a second time" if again else f"after segment {segments.get(it.host, 0)}"
                raise _Wrong(
                    f"the witness {first.host} co-signed {it.host}, segment {it.segment}, {how}", stranger=not again
                )
            if it.kind == "head":
                segments[it.host] = it.segment
            count, previous = it.n, witness_log.digest(data)
        if first is None or first.kind != "begun":
            raise _Wrong(f"{path.name} does not begin with a witness's first statement", stranger=True)
        point = libcrypto.public_key(first.key.encode()).point
    except BadInput as error:
        raise _Wrong(f"{path.name}, after statement {count}: {error}", stranger=True) from None
    if point not in points:
        raise _Wrong(f"{path.name} is of a witness that was not named ({first.host})", stranger=True)
    if not libcrypto.public_key(points[point]).verifies(signature, witness_log.signed(data)):
        raise _Wrong(f"{path.name}: statement {count} is not signed by the witness {first.host}", stranger=True)
    return _Voice(first.host, point, path, count)


def _agree(one: _Voice, other: _Voice) -> None:
    """Compare two files of one witness: the shorter one must be the longer one's beginning."""
    for (it, data, _), (_, theirs, _) in zip(_statements(one.path), _statements(other.path), strict=False):
        if data != theirs:
            raise _Wrong(
                f"the witness {one.name} contradicts itself: statement {it.n} in {one.path.name} is another one in"
                f" {other.path.name}",
                stranger=False,
            )


def _statements(path: Path) -> Iterator[tuple[Statement, bytes, bytes]]:
    with path.open("rb") as file:
        for text in lines(file):
            if text.endswith(b"\n") or len(text) == record.LINE:  # else it is written just now
                yield witness_log.parse(text)


def _compare(
    place: Place, report: TrailReport, voices: Sequence[_Voice], quorum: int, before: int
) -> tuple[int, list[Finding]]:
    """Walk through all segments that the trail has or a witness speaks of; return how far enough of them agree."""
    # What was retired is fixed by the note that the verifier began behind: it is neither there nor missing.
    first = report.first
    said = [_Cursor(voice.name, _of(voice.path, report.host, first)) for voice in voices]
    trail = _heads(place, first, report.segments)
    cosigned, found = first - 1, _Runs(report.host)
    for segment in itertools.count(first):
        mine = next(trail, None)
        told = [(cursor.name, it) for cursor in said if (it := cursor.at(segment)) is not None]
        if (mine is None and not told and all(cursor.ended for cursor in said)) or len(found.all) == MOST:
            break
        digests = list(dict.fromkeys(it.digest for _, it in told))  # in the order of the witnesses
        agreeing = [name for name, it in told if mine is not None and it.digest == mine[1]]
        ended = mine[0].ended if mine else max((it.ended for _, it in told), default=0)
        last = mine[0].last if mine else max((it.last for _, it in told), default=0)
        names = ", ".join(name for name, _ in told)
        if len(digests) > 1:
            by = [", ".join(name for name, it in told if it.digest == one) for one in digests]
            found.add("split view", segment, last, ended, f"{' saw one, '.join(by)} another one")
        elif digests and mine is None:
            found.add("rolled back", segment, last, ended, f"{names} co-signed it, and the trail ends before")
        elif digests and not agreeing:
            found.add("rewritten", segment, last, ended, f"{names} co-signed another one")
        elif mine is not None and len(agreeing) < quorum and ended <= before:
            found.add("not co-signed", segment, last, ended, f"{len(agreeing)} of {quorum} witnesses co-signed it")
        if len(agreeing) >= quorum and cosigned == segment - 1:
            cosigned = segment
    return cosigned, found.all


class _Cursor:
    """The statements of one witness about one host, asked for by segment, in order."""

    def __init__(self, name: str, said: Iterator[Statement]) -> None:
        self.name, self._said = name, said
        self._next = next(said, None)

    @property
    def ended(self) -> bool:
        return self._next is None

    def at(self, segment: int) -> Statement | None:
        """Return what it said of a segment, None where nothing."""
        if self._next is None or self._next.segment != segment:
            return None
        found, self._next = self._next, next(self._said, None)
        return found


class _Runs:
    """Findings, of which neighbours that say the same are one."""

    def __init__(self, host: str) -> None:
        self.host, self.all = host, list[Finding]()
        self._run: tuple[str, str, int, int] = ("", "", 0, 0)

    def add(self, kind: str, segment: int, last: int, ended: int, why: str) -> None:
        same, first = self._run[:2] == (kind, why) and self._run[3] == segment - 1, segment
        if same:
            first = self._run[2]
            self.all.pop()
        self._run = (kind, why, first, segment)
        which = f"segment {segment}" if first == segment else f"segments {first} to {segment}"
        self.all.append(_finding(kind, f"{self.host}, {which}: {why}", last, ended))


def _finding(kind: str, detail: str, last: int = 0, ended: int = 0) -> Finding:
    return Finding(kind=kind, first=0, last=last, begun=0, ended=ended, detail=detail)  # type: ignore[arg-type] # one of its kinds


def _of(path: Path, host: str, first: int) -> Iterator[Statement]:
    return (it for it, _, _ in _statements(path) if it.kind == "head" and it.host == host and it.segment >= first)


def _heads(place: Place, first: int, last: int) -> Iterator[tuple[Head, str]]:
    """Yield the heads that the trail's own verifier has found good, each with its digest."""
    for text in place.head_lines() if last >= first else ():
        head, data, _ = heads.parse(text)
        if head.segment >= first:  # older ones were sent again since they were retired
            yield head, heads.digest(data)
        if head.segment >= last:
            return
