"""Brings what was sent into a directory, a file for each document: `kb ingest` takes it in from there.

    <collection>/<name>-<document>.md    a document; the name is made of its source
    conflicts/…                          what came too late: another writer had taken over
    .writeback.json                      what is here, and up to where the log was read

What a log says at its end counts; a file is whole or not there. Names are noted before files are written: whoever is
killed leaves none that nobody knows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from dualtrack.core.errors import BadInput, External
from dualtrack.core.files import check_own_folder, locked, read, write_atomically
from dualtrack.knowledge.writeback import records
from dualtrack.knowledge.writeback.log import Live, Log, LogState
from dualtrack.knowledge.writeback.records import Record

Say = Callable[[str], None]
STATE = ".writeback.json"
TRIES = 3
#: Bytes of a document's part in the name of its file, and documents that are brought together.
_NAME, _TOGETHER = 150, 100


class Have(msgspec.Struct, frozen=True, kw_only=True):
    """A document that is here: what is in it (a keyed digest), and its file."""

    content: bytes
    file: str


class Here(msgspec.Struct, frozen=True, kw_only=True):
    """`.writeback.json`: the log's place, what it said, and the documents that are here.

    ``writing`` are files that were about to be written, or removed.
    """

    place: str
    state: LogState = LogState()
    documents: dict[str, Have] = {}
    writing: tuple[str, ...] = ()


class Pulled(msgspec.Struct, frozen=True, kw_only=True):
    """What a pull did, in documents. ``conflicts`` are the files of what came too late, of this run alone."""

    new: int
    changed: int
    removed: int
    unchanged: int
    conflicts: list[str]
    epoch: int
    number: int


def pull(log: Log, to: Path, say: Say) -> Pulled:
    """Have in a directory what the log says; BadInput where the directory is another log's.

    External where a document is missing or damaged, or the log is shorter than it was.
    """
    if to.exists() and not to.is_dir():
        raise BadInput(f"{to} is not a directory")
    to.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(to / "writeback", say):
        for left in reversed(range(TRIES)):
            here = read(to / STATE, Here, "take it to another directory") or Here(place=log.place)
            if here.place != log.place:
                raise BadInput(f"{to} has what came from {here.place}", hint="name another directory")
            if not log.known(here.state):
                raise External(f"the log in {log.place} is not the one that it was", hint="was the bucket restored?")
            state = log.follow(here.state)
            try:
                return _Pull(log, to, here, say).done(state)
            except External:
                if not left or log.batch(state.number + 1) is None:
                    raise  # otherwise it was replaced while it was read
    raise AssertionError


class _Pull:
    """Brings a directory to a state of the log."""

    def __init__(self, log: Log, to: Path, here: Here, say: Say) -> None:
        self._log, self._to, self._here, self._say = log, to, here, say
        self._new = self._changed = 0

    def done(self, state: LogState) -> Pulled:
        """Bring it there."""
        self._clear()
        had = self._here.documents
        wanted = [it for it in sorted(state.live.items()) if not self._has(it[0].hex(), it[1])]
        for start in range(0, len(wanted), _TOGETHER):
            self._bring(wanted[start : start + _TOGETHER])
            self._say(f"{self._new + self._changed} of {len(wanted)} documents")
        gone = {name: it for name, it in self._here.documents.items() if bytes.fromhex(name) not in state.live}
        self._note(writing=tuple(it.file for it in gone.values()),
                   documents={name: it for name, it in self._here.documents.items() if name not in gone})  # fmt: skip
        self._clear()
        conflicts = self._conflicts(state)
        self._note(state=state)
        return Pulled(
            new=self._new, changed=self._changed, removed=len(gone),
            unchanged=len(had.keys() & self._here.documents.keys()) - self._changed, conflicts=conflicts,
            epoch=state.epoch, number=state.number,
        )  # fmt: skip

    def _has(self, name: str, live: Live) -> bool:
        found = self._here.documents.get(name)
        return found is not None and found.content == live.content and (self._to / found.file).is_file()

    def _bring(self, part: Sequence[tuple[bytes, Live]]) -> None:
        """Write some documents; their names are noted before, and those that they had."""
        made: dict[str, tuple[Have, Record]] = {}
        for document, live in part:
            record = records.decode(self._log.get(live.content))
            file = f"{_safe(record.collection)}/{_safe(record.source)}-{document.hex()[:8]}.md"
            made[document.hex()] = Have(content=live.content, file=file), record
        old = [self._here.documents[name].file for name in made if name in self._here.documents]
        self._note(writing=(*old, *(have.file for have, _ in made.values())))
        for have, record in made.values():
            self._write(have.file, record)
        known = self._here.documents.keys()
        self._new += len(made.keys() - known)
        self._changed += len(made.keys() & known)
        self._note(documents={**self._here.documents, **{name: have for name, (have, _) in made.items()}})
        self._clear()

    def _clear(self) -> None:
        """Remove files that were being written, or had another name, and belong to no document."""
        known = {it.file for it in self._here.documents.values()}
        for name in self._here.writing:
            if name not in known:
                (self._to / name).unlink(missing_ok=True)
        self._note(writing=())

    def _note(self, **changes: object) -> None:
        self._here = replace(self._here, **changes)
        write_atomically(self._to / STATE, msgspec.json.encode(self._here), 0o600)

    def _write(self, name: str, record: Record) -> None:
        path = self._to / name
        check_own_folder(path.parent)
        write_atomically(path, record.text().encode(), 0o600)

    def _conflicts(self, state: LogState) -> list[str]:
        """Keep what came too late beside the rest, and return the files; or that the text is not there any more."""
        found = []
        for batch in state.late[len(self._here.state.late) :]:
            for it in batch.changes:
                live = state.live.get(it.document)
                if not it.content or (live and live.content == it.content):
                    continue
                try:
                    record = records.decode(self._log.get(it.content))
                except External:
                    found.append(f"a document of batch {batch.number}, whose text is not there any more")
                    continue
                name = f"conflicts/{_safe(record.source)}-{it.document.hex()[:8]}-epoch-{batch.epoch}-{batch.number}.md"
                self._write(name, record)
                found.append(name)
        return found


def _safe(name: str) -> str:
    """Return a part of a file's name, whatever was sent: letters, digits, hyphens and underscores."""
    plain = re.sub(r"[^\w-]+", "-", name.removesuffix(".md")).encode()[:_NAME].decode(errors="ignore")
    return plain.strip("-_") or "document"
