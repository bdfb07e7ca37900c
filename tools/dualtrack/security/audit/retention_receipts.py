"""Notes of what was retired: up to which record and head a host's trail left the store, stated by the authority.

A line for each time, in a file a host: JSON, a space, and the authority's signature. A note holds the last head that
went and the heads that named the next key since the note before it, each with the host's own signature. So a note can
be verified by the host's registered key as the trail itself, and that it was retention is the authority's word alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from dualtrack.core import files
from dualtrack.core.errors import BadInput, Findings
from dualtrack.crypto import libcrypto
from dualtrack.security.audit import index_documents, record
from dualtrack.security.audit import signed_head as heads
from dualtrack.security.audit.layout import Place, lines
from dualtrack.security.audit.proof import Signed, verified
from dualtrack.security.audit.record import Count, Hash, Host, Time
from dualtrack.security.audit.verify import Start
from dualtrack.security.pki import authority

FOLDER = "retired"
PURPOSE = b"dualtrack audit retired 1\n"


class Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What went: all up to record ``n`` (its time ``t``, the chain's hash behind it) and up to the head ``head``.

    ``head`` is None where no head went yet, ``epochs`` are the heads that named the next key since the note before.
    ``at`` is when (nanoseconds since 1970), ``by`` who did it, ``indices`` what was removed, ``snapshot`` where it is
    kept, ``findings`` what the verifier said of it: silences, clocks that were set back.
    """

    host: Host
    n: Count
    t: Time
    chain: Hash
    head: Signed | None
    epochs: tuple[Signed, ...]
    at: Time
    by: str
    indices: tuple[str, ...]
    snapshot: str
    findings: tuple[str, ...] = ()


def path(folder: Path, host: str) -> Path:
    """Return where the notes of a host lie, in the authority's directory."""
    return folder / FOLDER / f"{index_documents.host(host)}.notes"


def add(folder: Path, note: Note) -> None:
    """Sign a note and put it behind the others of its host."""
    target = path(folder, note.host)
    data = msgspec.json.encode(note)
    with files.locked(target):
        before = target.read_bytes() if target.is_file() else b""
        files.write_atomically(target, before + heads.line(data, authority.sign(folder, PURPOSE + data)))


def read(file: Path, ca: Path) -> list[Note]:
    """Return the notes in a file; BadInput for what is none, Findings for one that the authority did not make."""
    try:
        text = file.read_bytes()
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror}") from None
    found = []
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        try:
            data, signature = heads.split(line)
            note = msgspec.json.decode(data, type=Note)
        except (BadInput, msgspec.MsgspecError, UnicodeDecodeError):
            raise BadInput(f"{file}, line {number} is not a note of a retirement") from None
        if not authority.signed(ca, PURPOSE + data, signature):
            raise Findings(f"{file}, line {number} is not the authority's word: nothing says that this was retention")
        found.append(note)
    return found


def starts(notes: Sequence[Note], root: bytes) -> list[Start]:
    """Return where judging may begin, a place for each note, in order (pure).

    Findings where a note names a head that is not the host's, by its registered key, or notes do not continue.
    """
    found = list[Start]()
    key, epoch = libcrypto.public_key(root), 0
    for note in notes:
        if found and (note.host != found[0].host or note.n < found[-1].n):
            raise BadInput("these notes are not of one host, in their order")
        for it in note.epochs:
            named = verified(it, key, epoch)
            if not named.next_key:
                raise Findings(f"the head of segment {named.segment} in a note names no next key")
            key, epoch = libcrypto.public_key(named.next_key.encode()), epoch + 1
        found.append(_start(note, key, epoch, found[-1] if found else None))
    return found


def _start(note: Note, key: libcrypto.PublicKey, epoch: int, before: Start | None) -> Start:
    """Return the place behind one note; ``key`` of ``epoch`` is the one that its heads lead to."""
    if note.head is None:
        segment, previous, last, chain = 0, heads.none(note.host), 0, record.start(note.host).hex()
    else:
        data = note.head.head.encode()
        previous = heads.digest(data)
        # The last head of an epoch names the next key, and was verified with the others that do; no newer head went
        # where it is that of the note before.
        known = note.head in note.epochs[-1:] or (before is not None and before.previous == previous)
        head = heads.decode(data) if known else verified(note.head, key, epoch)
        if head.host != note.host or head.last > note.n or (before and head.segment < before.segment):
            raise Findings(f"a note of {note.host} does not fit its head")
        segment, last, chain = head.segment, head.last, head.chain
    return Start(
        host=note.host,
        segment=segment,
        previous=previous,
        last=last,
        before=chain,
        epoch=epoch,
        key=key.pem(),
        n=note.n,
        chain=note.chain,
        t=note.t,
    )


def compose(
    folder: Path, n: int, segment: int, before: tuple[Note, Start] | None
) -> tuple[int, str, Signed | None, tuple[Signed, ...]]:
    """Return what a note says of record ``n`` and of the heads up to ``segment`` that go with it.

    That is the record's time, the chain's hash behind it, the head, and what named keys since the note ``before``.
    ``folder`` is a trail that was verified; BadInput where it does not hold them.
    """
    place = Place(folder)
    since, head = (before[1].segment, before[0].head) if before else (0, None)
    epochs, holder = list[Signed](), 0
    for text in place.head_lines():
        found, data, signature = heads.parse(text)
        if since < found.segment <= segment:
            if found.last > n:
                raise BadInput(f"head {found.segment} would go before its records")
            head = Signed(data.decode(), signature.hex())
            epochs += [head] if found.next_key else []
        if found.first <= n <= found.last:
            holder = found.segment
    if before and n == before[0].n:  # no record goes, only heads
        return before[0].t, before[0].chain, head, tuple(epochs)
    if holder and place.has(holder):
        with place.open(place.segment(holder)) as file:
            for text in lines(file):
                it, _, chain = record.parse(text)
                if it.n == n:
                    return it.t, chain.hex(), head, tuple(epochs)
    raise BadInput(f"record {n} is not signed yet")
