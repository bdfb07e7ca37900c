"""What is in the bucket: sealed documents, and a log that says which of them count, in an order that all agree on.

    PREFIX/epoch              who writes now: the epoch's number and the writer's name; replaced only by who has read it
    PREFIX/log/<number>       a batch of changes, created once, numbered from 1 without a gap
    PREFIX/objects/<content>  a document, under a keyed digest of what is in it

Everything but the epoch is sealed under a key that both sides have. A batch names the epoch that it was written in; one
of an epoch that had ended, as the batches before it say, does not count: its writer did not know that another one had
taken over.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec.structs import replace

from dualtrack.core.errors import BadInput, External, Refused
from dualtrack.core.s3 import Bucket
from dualtrack.data.checkpoints.address import BUCKET
from dualtrack.knowledge.keys import Master

#: Bytes of a document as it is sent, and of a batch; and changes in one batch.
MOST_DOCUMENT, MOST_BATCH, CHANGES = 256 << 20, 16 << 20, 100
TRIES = 8
#: Days that a text which came too late stays in the bucket.
LATE_DAYS = 30
OBJECT = re.compile(r"[0-9a-f]{32}")
#: What is below is removed where the log does not name it: it has a name.
PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,200}")


class Epoch(msgspec.Struct, frozen=True, kw_only=True):
    """Who writes: since when (UTC), the number of the epoch from 1 on, and the writer's name."""

    epoch: Annotated[int, msgspec.Meta(ge=1, le=1 << 40)]
    writer: Annotated[str, msgspec.Meta(pattern="^[a-z0-9-]{1,64}$")]
    since: datetime


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A document, by a keyed digest of its place, is now what is in ``content``, or nothing where that is empty.

    ``collection`` is a keyed digest of its name.
    """

    document: bytes
    collection: bytes
    content: bytes = b""


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Changes that were written together; without any it says that an epoch has begun."""

    number: int
    epoch: int
    writer: str
    changes: tuple[Change, ...] = ()


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a document, and which collection it is of."""

    content: bytes
    collection: bytes


class LogState(msgspec.Struct, frozen=True, kw_only=True):
    """What the log says up to a number: the epoch and who wrote last, and the documents.

    ``late`` are batches that do not count: their epoch had ended when they were written. ``mark`` is a digest of the
    last batch, by which the log is known again.
    """

    number: int = 0
    epoch: int = 0
    writer: str = ""
    mark: bytes = b""
    live: dict[bytes, Live] = {}
    late: tuple[Batch, ...] = ()


def apply(state: LogState, batch: Batch) -> LogState:
    """Return what the log says after its next batch."""
    mark = hashlib.sha256(msgspec.msgpack.encode(batch)).digest()
    if batch.epoch < state.epoch:
        return replace(state, number=batch.number, mark=mark, late=(*state.late, batch))
    live = dict(state.live)
    for it in batch.changes:
        if it.content:
            live[it.document] = Live(content=it.content, collection=it.collection)
        else:
            live.pop(it.document, None)
    return replace(state, number=batch.number, epoch=batch.epoch, writer=batch.writer, mark=mark, live=live)


class Names(Master):
    """The key that both sides have, and what things are called under it: nobody without it can test a guess."""

    def __init__(self, shared_key: Path) -> None:
        """Read it; BadInput where it is none."""
        try:
            super().__init__(shared_key.parent, shared_key)
        except BadInput:
            raise BadInput(
                f"{shared_key} is not a shared key",
                hint="--shared-key names it, 32 random bytes: openssl rand -out FILE 32",
            ) from None

    def content(self, data: bytes) -> bytes:
        """Return what a document is called after: all that is in it."""
        return self.mac("writeback content", data)[:16]

    def document(self, place: str) -> bytes:
        """Return what a place is called, of a document or a collection."""
        return self.mac("writeback document", place.encode())[:16]


class Log:
    """A log in a bucket, below a prefix."""

    def __init__(self, remote: Bucket, prefix: str, names: Names) -> None:
        self.remote, self.prefix, self.names = remote, prefix.strip("/"), names

    @property
    def place(self) -> str:
        """Where it is."""
        return f"s3://{self.remote.bucket}/{self.prefix}"

    @property
    def _purpose(self) -> str:
        """What batches are sealed for: they are good in their own place alone."""
        return f"writeback batch {self.remote.bucket}/{self.prefix}"

    def key(self, *parts: str) -> str:
        """Return the key of an object."""
        return "/".join([*([self.prefix] if self.prefix else []), *parts])

    def epoch(self) -> tuple[Epoch, str] | None:
        """Return who writes, with the object's tag; None where nobody has yet."""
        found = self.remote.read(self.key("epoch"), 4096)
        if found is None:
            return None
        try:
            return msgspec.json.decode(found[0], type=Epoch), found[1]
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise External(f"s3://{self.remote.bucket}/{self.key('epoch')} is damaged: {error}") from None

    def hold(self, writer: str, state: LogState, *, take_over: bool) -> int:
        """Be who writes and return the epoch; Refused where somebody else is, but with ``take_over``.

        ``state`` is what the log says: an epoch that it has seen the end of is not held again, whoever wrote it there.
        """
        for _ in range(TRIES):
            found = self.epoch()
            mine = found[0].writer == writer if found else state.writer in ("", writer)
            if found and mine and found[0].epoch >= state.epoch:
                return found[0].epoch
            if not mine and not take_over:
                if not found:
                    raise Refused(
                        f"somebody else has written to {self.place}, and who is not said there any more",
                        hint="one writer: end that one, then --take-over",
                    )
                raise Refused(
                    f"{found[0].writer} writes to {self.place} since"
                    f" {found[0].since:%Y-%m-%d %H:%M} UTC (epoch {found[0].epoch})",
                    hint="one writer: end that one, then --take-over",
                )
            number = max(found[0].epoch if found else 0, state.epoch) + 1
            data = msgspec.json.encode(
                Epoch(epoch=number, writer=writer, since=datetime.now(UTC).replace(microsecond=0))
            )
            key = self.key("epoch")
            if self.remote.replace(key, data, found[1]) if found else self.remote.create(key, data):
                return number
        raise External("other writers take over all the time", hint="end all but one")

    def batch(self, number: int) -> Batch | None:
        """Return a batch, None where the log ends before it; External where it is not what was written there."""
        key = self.key("log", f"{number:012}")
        found = self.remote.read(key, MOST_BATCH)
        if found is None:
            return None
        data = self.names.disclose(self._purpose, found[0])
        try:
            batch = None if data is None else msgspec.msgpack.decode(data, type=Batch)
        except msgspec.MsgspecError:
            batch = None
        if batch is None or batch.number != number:
            raise BadInput(
                f"s3://{self.remote.bucket}/{key} was not written under this key, or elsewhere", hint="--shared-key"
            )
        return batch

    def known(self, state: LogState) -> bool:
        """Tell whether this is the log that said something before, at its end then or later."""
        if not state.number:
            return True
        batch = self.batch(state.number)
        return batch is not None and hashlib.sha256(msgspec.msgpack.encode(batch)).digest() == state.mark

    def follow(self, state: LogState) -> LogState:
        """Return what the log says at its end."""
        while batch := self.batch(state.number + 1):
            state = apply(state, batch)
        return state

    def append(self, batch: Batch) -> bool:
        """Write a batch; return False where its number is taken."""
        data = self.names.enclose(self._purpose, msgspec.msgpack.encode(batch))
        return self.remote.create(self.key("log", f"{batch.number:012}"), data)

    def put(self, content: bytes, data: bytes, *, anew: bool = False) -> None:
        """Have a document in the bucket, where it is not there yet; with ``anew`` in place of what is there."""
        key = self.key("objects", content.hex())
        if anew:
            self.remote.remove(key)
        self.remote.create(key, self.names.enclose("writeback document", data))

    def objects(self) -> dict[bytes, datetime]:
        """Return the documents in the bucket, and since when each is there."""
        start = self.key("objects", "")
        found = ((it["Key"].removeprefix(start), it["LastModified"]) for it in self.remote.listed(start))
        return {bytes.fromhex(name): since for name, since in found if OBJECT.fullmatch(name)}

    def get(self, content: bytes) -> bytes:
        """Return a document; External where it is not there, or not what it is called after."""
        key = self.key("objects", content.hex())
        found = self.remote.read(key, MOST_DOCUMENT)
        data = found and self.names.disclose("writeback document", found[0])
        if not data or self.names.content(data) != content:
            what = "is damaged" if found else "is not there"
            raise External(f"s3://{self.remote.bucket}/{key} {what}", hint="push again from its source")
        return data

    def sweep(self, state: LogState, there: Mapping[bytes, datetime], now: datetime) -> None:
        """Remove documents that the log does not name; for who writes, and has read the log.

        What came too late stays for `LATE_DAYS`: a receiver keeps it as a conflict.
        """
        named = {it.content for it in state.live.values()}
        late = {it.content for batch in state.late for it in batch.changes}
        for content, since in there.items():
            if content not in named and not (content in late and now - since < timedelta(days=LATE_DAYS)):
                self.remote.remove(self.key("objects", content.hex()))


def at(bucket: str, shared_key: Path, *, region: str = "", endpoint: str = "") -> Log:
    """Return the log at s3://BUCKET/PREFIX under a shared key; BadInput for what is none."""
    name, _, prefix = bucket.removeprefix("s3://").partition("/")
    if not bucket.startswith("s3://") or not BUCKET.fullmatch(name) or not PREFIX.fullmatch(prefix.strip("/")):
        raise BadInput(f"{bucket} is not a place in S3", hint="s3://BUCKET/PREFIX")
    return Log(Bucket(name, region=region, endpoint=endpoint), prefix, Names(shared_key))
