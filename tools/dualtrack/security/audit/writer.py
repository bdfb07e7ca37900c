"""Writing a trail: records in groups, each group on the disk before anybody is told that it is safe.

One writer a trail (a lock of the kernel's). After a crash the next one takes off a last line that is not whole, which
nobody was told of, and continues; a whole line that is wrong was changed by somebody: what follows it is put aside, and
that is an event in the chain.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from dualtrack.core.append_log import AppendLog, append, recovered
from dualtrack.core.errors import BadInput, External, Refused
from dualtrack.core.files import destroy, hold, make_folder, sync_path, write_atomically
from dualtrack.crypto import libcrypto
from dualtrack.security.audit import keys, record
from dualtrack.security.audit import signed_head as heads
from dualtrack.security.audit.layout import Place, lines
from dualtrack.security.audit.record import Record
from dualtrack.security.audit.signed_head import Head

#: Records of a segment at most, and nanoseconds from its first record to its seal.
RECORDS, AGE_NS = 4096, 60 * 10**9
#: Nanoseconds that a key is used for.
EPOCH_NS = 24 * 3600 * 10**9


def begin(folder: Path, host: str) -> libcrypto.PublicKey:
    """Begin a trail for ``host`` in a new directory; return the key to register elsewhere.

    One that was begun for it, and in which nothing was written yet, is the same: nobody may have read its key.
    """
    place = Place(folder)
    if (begun := _begun(place, host)) is not None:
        return begun
    if os.path.lexists(place.root) or os.path.lexists(place.heads):
        raise Refused(f"{folder} holds a trail", hint="a trail is begun once; another host takes another directory")
    if not re.fullmatch(record.HOST, host):
        raise BadInput(f"{host!r} is not a name of a host", hint="letters, digits, dots, hyphens, underscores")
    make_folder(folder)
    place.check_folders()
    make_folder(place.segments, mode=0o700)
    key = keys.new(place.key(0))
    write_atomically(folder / "host", f"{host}\n".encode())
    write_atomically(place.root, key.pem())
    sync_path(folder)
    return key


def _begun(place: Place, host: str) -> libcrypto.PublicKey | None:
    """Return the key of a trail of ``host`` in which nothing was written yet; None for anything else."""
    if os.path.lexists(place.heads) or not os.path.lexists(place.root):
        return None
    place.check_folders()
    try:
        with place.open(place.root) as file:
            root = file.read(libcrypto.MAX_PEM)
        if place.name() != host or place.numbers() or keys.load(place.key(0)).pem() != root:
            return None
    except (BadInput, External, OSError):
        return None
    place.sync()
    return libcrypto.public_key(root)


class Writer:
    """The one who writes a trail. `append` any number of events, then `commit`: after that they are safe.

    ``last`` and ``chain`` are the newest record's number and hash, ``segment`` and ``epoch`` the present ones.
    """

    last: int
    chain: bytes
    segment: int
    epoch: int
    key: libcrypto.PrivateKey
    _sealed: int  # the last record that a head names, the chain's hash there, and that head's digest
    _before: bytes
    _previous: str
    _begun: int  # when the segment's first record came, 0 before; when the epoch began; the latest time seen
    _epoch_begun: int
    _latest: int

    def __init__(
        self, folder: Path, *, clock: Callable[[], int] = time.time_ns, records: int = RECORDS, age_ns: int = AGE_NS,
        epoch_ns: int = EPOCH_NS,
    ) -> None:  # fmt: skip
        self.place, self.clock = Place(folder), clock
        self.records, self.age_ns, self.epoch_ns = records, age_ns, epoch_ns
        self.host = self.place.name()
        self.place.check_folders()
        self._lock = hold(self.place.lock, "another process writes this trail")
        #: When something was appended last, by the monotonic clock, in seconds.
        self.appended = time.monotonic()
        #: Set by whoever wants this epoch to end, also by a signal's handler: the next `commit` ends it.
        self.turning = False
        self._waiting: list[bytes] = []
        self._log: AppendLog | None = None
        try:
            self._recover()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self.commit()
        self.close()

    def close(self) -> None:
        """Let go of the trail; what was not committed is lost."""
        self._leave()
        os.close(self._lock)

    def _leave(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None

    def append(self, kind: str, source: str = "", body: bytes = b"") -> int:
        """Add an event and return the number of its (last) record; safe when `commit` has returned."""
        now, self.appended = self.clock(), time.monotonic()
        if now < self._latest - record.BACK_NS:
            self._add(now, "clock", "", {"body": f"set back by {(self._latest - now) / 1e9:.1f} s"})
        for fields in record.bodies(body):
            self._add(now, kind, source, fields)
        return self.last

    def _add(self, now: int, kind: str, source: str, fields: dict[str, object]) -> None:
        data = record.encode(Record(n=self.last + 1, t=now, kind=kind, source=source, **fields))  # type: ignore[arg-type]
        self.last += 1
        self.chain = record.link(self.chain, data)
        self._waiting.append(record.line(data, self.chain))
        self._latest = now
        if self._begun == 0:
            self._begun = now

    def commit(self) -> None:
        """Bring what was appended to the disk; seal the segment when it is long or old enough."""
        if self.turning:
            self.turn()
            return
        self._write()
        if self.last - self._sealed >= self.records or self._is_old():
            self.seal()

    def _is_old(self) -> bool:
        """Tell whether what is not signed has waited long enough, also by a clock that was set back since."""
        return self.last > self._sealed and not 0 <= self.clock() - self._begun < self.age_ns

    def turn(self) -> Head:
        """End the epoch now: what is there is signed, the present key names another one, and is destroyed."""
        self.append("epoch", "audit", b"ended by hand")
        self._write()
        self.turning = False
        return self._seal(turn=True)

    def _write(self) -> None:
        if not self._waiting:
            return
        try:
            if self._log is None:
                path = self.place.segment(self.segment)
                self._log = AppendLog(self.place.handle(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND))
                sync_path(self.place.segments)
            self._log.append(self._waiting)
        except OSError as error:  # nothing half stays: the same events can be written when there is room again
            raise External(f"the trail cannot be written: {error.strerror}", hint="is the disk full?") from None
        self._waiting.clear()

    def seal(self) -> Head | None:
        """Sign what is not signed yet, as one segment; begin a new key when this one was used for long enough."""
        self._write()
        return None if self.last == self._sealed else self._seal()

    def _seal(self, *, turn: bool = False) -> Head:
        now = self.clock()
        over = turn or now - self._epoch_begun >= self.epoch_ns
        following = keys.new(self.place.key(self.epoch + 1)) if over else None
        head = Head(
            host=self.host,
            segment=self.segment,
            first=self._sealed + 1,
            last=self.last,
            before=self._before.hex(),
            chain=self.chain.hex(),
            previous=self._previous,
            begun=self._begun,
            ended=now,
            epoch=self.epoch,
            next_key=following.pem().decode() if following else "",
        )
        data = heads.encode(head)
        append(self.place.heads, [heads.line(data, self.key.sign(heads.signed(data)))])
        if following is not None:
            destroy(self.place.key(self.epoch))
            self.key, self.epoch, self._epoch_begun = following, self.epoch + 1, now
        self._after(head, data)
        return head

    def _after(self, head: Head, data: bytes) -> None:
        self._leave()
        self.segment, self._sealed, self._begun = head.segment + 1, head.last, 0
        self._before, self._previous = bytes.fromhex(head.chain), heads.digest(data)

    # --- after a crash

    def _recover(self) -> None:
        self.segment, self.last, self._sealed, self._begun, self._latest = 1, 0, 0, 0, 0
        self.chain = self._before = record.start(self.host)
        self._previous, self.epoch, self._epoch_begun = heads.none(self.host), 0, self.clock()
        announced, ended = "", dict[int, tuple[bytes, bytes]]()
        for head, data, signature in _heads(self.place):
            self.last, self.chain, self._latest = head.last, bytes.fromhex(head.chain), head.ended
            if head.next_key:
                self._epoch_begun, announced = head.ended, head.next_key
                ended[head.epoch] = heads.signed(data), signature
            elif head.segment == 1:
                self._epoch_begun = head.begun
            self.epoch = head.epoch + bool(head.next_key)
            self._after(head, data)
        # What a killed writer left can be read and need not be on the disk: keys are destroyed by what it says.
        for path in (self.place.heads, self.place.segment(self.segment)):
            if os.path.lexists(path):
                with self.place.open(path) as file:
                    os.fsync(file.fileno())
        self.place.sync()
        self._settle_keys(announced, ended)
        self._tail()
        if self._is_old():
            self._seal()  # before anything new is there: records that wait longer are not the writer's own

    def _settle_keys(self, announced: str, ended: Mapping[int, tuple[bytes, bytes]]) -> None:
        """Keep the key of the present epoch; one that is over, or was made and never announced, goes.

        Over is what a head says that this key has signed (``ended``, by epoch). Refused, and nothing is destroyed,
        where the heads are too few for the keys and segments that are there: the key that is kept has no copy.
        """
        present, rest = self.place.key(self.epoch), list[Path]()
        for path in sorted(self.place.keys.glob("*.pem")):
            number = int(path.stem) if re.fullmatch("[0-9]{6}", path.stem) else -1
            if number == self.epoch:
                continue
            # Before its head was on the disk, the one that makes a new key may have been killed.
            unannounced = number == self.epoch + 1 and os.path.lexists(present)
            if not (self._is_over(path, ended.get(number)) or unannounced):
                raise self._contradicts(f"there is the key {path.name}, and the last head leads to epoch {self.epoch}")
            rest.append(path)
        if further := [it for it in self.place.numbers() if it > self.segment]:
            raise self._contradicts(f"there is segment {further[-1]}, and the next head is that of {self.segment}")
        self.key = keys.load(present)
        if announced and self.key.pem().decode() != announced:
            raise External(
                "the trail's key is not the one that its last epoch announced", hint="dualtrack audit verify"
            )
        for path in rest:
            destroy(path)

    def _is_over(self, path: Path, ended: tuple[bytes, bytes] | None) -> bool:
        """Tell whether a key has signed the head that ends its epoch, or is one no more: half destroyed."""
        with self.place.open(path) as file:
            data = file.read(libcrypto.MAX_PEM)
        try:
            return ended is not None and libcrypto.private_key(data).verifies(ended[1], ended[0])
        except BadInput:
            return ended is not None

    def _contradicts(self, what: str) -> External:
        return External(
            f"{self.place.heads} lacks heads: {what}",
            hint="restore it, also from an index or a copy; nothing is changed",
        )

    def _tail(self) -> None:
        """Read the records of the segment that is not sealed yet."""
        path = self.place.segment(self.segment)
        if not os.path.lexists(path):
            return
        good, rest = 0, b""
        with self.place.open(path) as file:
            for text in lines(file):
                try:
                    found, data, chain = record.parse(text)
                except BadInput:
                    rest = text
                    break
                if found.n != self.last + 1 or record.link(self.chain, data) != chain:
                    rest = text
                    break
                self.last, self.chain, self._latest = found.n, chain, found.t
                self._begun = self._begun or found.t
                good += len(text)
            torn = rest and not rest.endswith(b"\n") and file.read(1) == b""
        if rest:
            aside = "" if torn else self._put_aside(path, good)
            self.place.cut(path, good)
            if aside:
                self.append("damaged", "audit", f"record {self.last + 1} of segment {self.segment}: {aside}".encode())

    def _put_aside(self, path: Path, begin: int) -> str:
        name = f"{path.stem}.damaged-{self.clock()}"
        with self.place.open(path) as file:
            file.seek(begin)
            write_atomically(path.with_name(name), file.read())
        return name


def _heads(place: Place) -> Iterator[tuple[Head, bytes, bytes]]:
    """Yield a file's heads, their bytes and signatures; a torn last line is taken off: nobody was told of it."""
    path = place.heads
    if not os.path.lexists(path):
        return
    for text in recovered(place.handle(path, os.O_RDWR)):
        try:
            head, data, signature = heads.parse(text)
        except BadInput:
            raise External(f"{path} was changed", hint="dualtrack audit verify says where") from None
        yield head, data, signature
