"""Sends what was reviewed: the difference between the version that answers and what the bucket's log says.

    writeback.sqlite    what was decided about each text, by keyed digests of it; the name that this base writes under

What was sent is asked of the log, and noted nowhere else: whoever is killed has nothing to clear up.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Sequence, Set
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from dualtrack.core.errors import BadInput, External, Refused
from dualtrack.core.files import locked
from dualtrack.knowledge import versions
from dualtrack.knowledge.tables import Held, Table
from dualtrack.knowledge.writeback import records
from dualtrack.knowledge.writeback.log import CHANGES, TRIES, Batch, Change, Live, Log, LogState, Names
from dualtrack.knowledge.writeback.records import Record, Unclean

Say = Callable[[str], None]


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """A text that may be sent: its id, where it is from, how long it is, and whether it may leave, if that was said."""

    id: str
    collection: str
    source: str
    characters: int
    approved: bool | None


class Pushed(msgspec.Struct, frozen=True, kw_only=True):
    """What a push did: documents that were sent, removed, and are in the bucket as they should be; those that are not.

    ``number`` is the last of the log.
    """

    sent: int
    removed: int
    unchanged: int
    waiting: int
    rejected: int
    unclean: list[Unclean]
    epoch: int
    number: int


class Decisions(Held):
    """What was decided."""

    def __init__(self, base: Path) -> None:
        """Open the file, or make it; BadInput where there is no knowledge base."""
        if not (base / versions.CURRENT).exists():
            raise BadInput(f"{base} has no knowledge base", hint="dualtrack kb ingest makes one")
        self._table = Table(
            base / "writeback.sqlite",
            "CREATE TABLE IF NOT EXISTS decisions (content BLOB PRIMARY KEY, approved INT NOT NULL,"
            " person TEXT NOT NULL, time TEXT NOT NULL) WITHOUT ROWID",
            "CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
            journal="DELETE",
        )

    def of(self, content: bytes) -> bool | None:
        """Return whether a text may leave; None where nobody has said."""
        found = self._table.ask("SELECT approved FROM decisions WHERE content = ?", (content,))
        return bool(found[0][0]) if found else None

    def decide(self, contents: Sequence[bytes], *, approved: bool, person: str) -> None:
        """Note whether texts may leave."""
        now = datetime.now(UTC).strftime("%FT%TZ")
        rows = [(it, int(approved), person, now) for it in contents]
        self._table.change("INSERT OR REPLACE INTO decisions VALUES (?, ?, ?, ?)", rows)

    def state(self, log: Log) -> LogState:
        """Return what a log said when it was read last; nothing where it is not that log any more."""
        found = self._table.ask("SELECT value FROM facts WHERE name = ?", (log.place,))
        try:
            state = msgspec.json.decode(found[0][0], type=LogState) if found else LogState()
        except msgspec.MsgspecError:
            return LogState()
        return state if log.known(state) else LogState()

    def note(self, log: Log, state: LogState) -> None:
        """Note what a log says."""
        self._table.change("INSERT OR REPLACE INTO facts VALUES (?, ?)", [(log.place, msgspec.json.encode(state))])

    def writer(self) -> str:
        """Return the name that this base writes under, made once."""
        self._table.change("INSERT OR IGNORE INTO facts VALUES ('writer', ?)", [(secrets.token_hex(8),)])
        return str(self._table.ask("SELECT value FROM facts WHERE name = 'writer'")[0][0])


def texts(
    base: Path, collections: Sequence[str], names: Names, key_file: Path | None = None
) -> list[tuple[Text, Record]]:
    """Return the texts that may be sent, and whether they may leave, with what would be sent."""
    found = []
    with Decisions(base) as decisions:
        for _, it in records.read(base, collections, key_file):
            if isinstance(it, Record):
                content = names.content(records.encode(it))
                row = Text(
                    id=content.hex(), collection=it.collection, source=it.source,
                    characters=sum(len(part.text) for part in it.parts), approved=decisions.of(content),
                )  # fmt: skip
                found.append((row, it))
    return found


def decide(
    base: Path, collections: Sequence[str], names: Names, chosen: Sequence[str], key_file: Path | None = None, *,
    approved: bool, person: str,
) -> list[str]:  # fmt: skip
    """Approve or reject texts by their ids, or all that wait, and return the ids; BadInput where one is none."""
    there = {it.id: it.approved for it, _ in texts(base, collections, names, key_file)}
    waiting = sorted(name for name, said in there.items() if said is None)
    ids = waiting if list(chosen) == ["all"] else list(dict.fromkeys(chosen))
    if unknown := [it for it in ids if it not in there]:
        raise BadInput(f"there is no text {unknown[0]}", hint="dualtrack writeback review lists them")
    with locked(base / "writeback"), Decisions(base) as decisions:
        decisions.decide([bytes.fromhex(it) for it in ids], approved=approved, person=person)
    return ids


def push(
    base: Path, collections: Sequence[str], log: Log, key_file: Path | None = None, *, take_over: bool = False,
    check: bool = False, say: Say,
) -> Pushed:  # fmt: skip
    """Send what was approved and is not in the bucket, and remove what is not here any more.

    With ``check`` what is there is read, and sent again where it is damaged. Refused where another writer writes there;
    External where something fails: the next run continues from there.
    """
    with locked(base / "writeback", say), Decisions(base) as decisions:
        sender = _Sender(log, decisions, take_over=take_over, check=check)
        here, left, unclean = set[bytes](), Counter[str](), []
        for place, it in records.read(base, collections, key_file):
            document = log.names.document(place)
            if isinstance(it, Unclean):
                here.add(document)
                unclean.append(it)
                continue
            decision = decisions.of(content := log.names.content(data := records.encode(it)))
            left["waiting" if decision is None else "approved" if decision else "rejected"] += 1
            if decision is not False:  # what was sent before of one that waits, stays
                here.add(document)
            if decision:
                sender.have(document, it.collection, content, data, say)
        kinds = {log.names.document(it) for it in collections}
        live = sender.state.live.items()
        if not here and not left and not unclean and not any(it.collection in kinds for _, it in live):
            raise BadInput(f"there is no document of {', '.join(collections)}", hint="dualtrack kb versions, --base")
        for document, one in list(live):
            if one.collection in kinds and document not in here:
                sender.drop(document, one)
        sender.end(kinds)
        return Pushed(
            sent=sender.sent, removed=sender.removed, unchanged=sender.unchanged, waiting=left["waiting"],
            rejected=left["rejected"], unclean=unclean, epoch=sender.epoch, number=sender.state.number,
        )  # fmt: skip


class _Sender:
    """Writes batches, a hundred changes each, and reads after each one what the log says."""

    def __init__(self, log: Log, decisions: Decisions, *, take_over: bool, check: bool) -> None:
        self._log, self._decisions, self._check = log, decisions, check
        self.writer = decisions.writer()
        self.state = log.follow(decisions.state(log))
        self.epoch = log.hold(self.writer, self.state, take_over=take_over)
        self._there = log.objects()
        self.sent = self.removed = self.unchanged = 0
        self._changes: list[Change] = []
        if self.state.epoch < self.epoch:
            self._write(())

    def have(self, document: bytes, collection: str, content: bytes, data: bytes, say: Say) -> None:
        """Have the log say what is in a document, and the document in the bucket."""
        if content not in self._there:
            self._log.put(content, data)
        elif self._check and not self._whole(content):
            self._log.put(content, data, anew=True)
        live = self.state.live.get(document)
        if live and live.content == content:
            self.unchanged += 1
            return
        self._changes.append(
            Change(document=document, collection=self._log.names.document(collection), content=content)
        )  # fmt: skip
        self.sent += 1
        say(f"{self.sent} documents sent")
        if len(self._changes) >= CHANGES:
            self.flush()

    def _whole(self, content: bytes) -> bool:
        try:
            self._log.get(content)
        except External:
            return False
        return True

    def drop(self, document: bytes, live: Live) -> None:
        """Have the log say that a document is gone."""
        self._changes.append(Change(document=document, collection=live.collection))
        self.removed += 1

    def flush(self) -> None:
        """Write the changes that were gathered."""
        for start in range(0, len(self._changes), CHANGES):
            self._write(tuple(self._changes[start : start + CHANGES]))
        self._changes = []

    def end(self, kinds: Set[bytes]) -> None:
        """Write what is left, remove what nobody needs, and note what the log says: the next push reads on there.

        External where documents of some collections are not in the bucket, though they were when this began.
        """
        self.flush()
        there = self._log.objects()
        if lost := sum(it.collection in kinds and it.content not in there for it in self.state.live.values()):
            raise External(f"{lost} documents were removed from the bucket meanwhile", hint="push again")
        # Listed before this is asked: nothing in it was sent by a writer that took over, and needs it.
        if (held := self._log.epoch()) and (held[0].epoch, held[0].writer) == (self.epoch, self.writer):
            self.state = self._log.follow(self.state)
            self._log.sweep(self.state, there, datetime.now(UTC))
        self._decisions.note(self._log, self.state)

    def _write(self, changes: tuple[Change, ...]) -> None:
        """Add a batch to the log, after whatever others have added."""
        for _ in range(TRIES):
            batch = Batch(number=self.state.number + 1, epoch=self.epoch, writer=self.writer, changes=changes)
            written = self._log.append(batch)
            self.state = self._log.follow(self.state)
            if self.state.epoch > self.epoch:
                raise Refused(
                    "another writer has taken over meanwhile: what was not sent before does not count",
                    hint="its name: dualtrack writeback status; push again with --take-over",
                )
            # Where an answer was lost, the batch is there all the same.
            if written or (changes and all(self._is_so(it) for it in changes)):
                return
        raise External("others write to the log all the time", hint="end all but one")

    def _is_so(self, change: Change) -> bool:
        live = self.state.live.get(change.document)
        return (live.content if live else b"") == change.content
