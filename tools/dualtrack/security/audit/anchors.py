"""Heads that are kept elsewhere: a line of a file, an object that nobody can delete, or a few words on paper."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from dualtrack.core.append_log import append_after_torn
from dualtrack.core.errors import BadInput
from dualtrack.security.audit import signed_head as heads
from dualtrack.security.audit import witness_log
from dualtrack.security.audit.layout import Place, lines
from dualtrack.security.audit.verify import Anchor

if TYPE_CHECKING:
    from dualtrack.core.s3 import Bucket

#: How a place in a bucket begins.
BUCKET = "s3://"
#: How the line of an anchor begins, as it is written here.
BEGIN = b'{"host":"'
#: Quotation marks in an anchor: five names, and two values that are strings without any.
FIELD_QUOTES = 14


def newest(folder: Path) -> Anchor:
    """Return the last head of a trail, to be kept elsewhere; BadInput where nothing is signed yet."""
    found = None
    for text in Place(folder).head_lines():
        if text.endswith(b"\n"):
            found = heads.split(text)[0]
    if found is None:
        raise BadInput(f"nothing is signed in {folder} yet", hint="dualtrack audit sign")
    head = heads.decode(found)
    return Anchor(host=head.host, segment=head.segment, digest=heads.digest(found), last=head.last, ended=head.ended)


def keep(anchor: Anchor, place: str, *, days: int) -> bool:
    """Keep an anchor in a file, or in a bucket (s3://BUCKET/PATH) for ``days``; return False where it is kept already.

    The bucket has object lock: in compliance mode nobody deletes or shortens it before, the account's root neither.
    In a file it is on the disk when this returns, and what an interrupted run left of a line is taken off.
    """
    data = msgspec.json.encode(anchor)
    if not place.startswith(BUCKET):
        # For all to read: it is not a secret, and whoever verifies is often another account.
        append_after_torn(Path(place), data + b"\n", 0o644, lambda torn: _lacks_newline(torn, place))
        return True
    from dualtrack.core.s3 import with_retries

    remote, path = _bucket(place)
    key = "/".join(filter(None, (path.strip("/"), anchor.host, f"{anchor.segment:08d}.json")))
    until = datetime.now(UTC) + timedelta(days=days)
    lock = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": until, "ChecksumAlgorithm": "SHA256"}
    return with_retries(lambda: remote.put_once(key, data, **lock))


def _lacks_newline(torn: bytes, place: str) -> bool:
    """Return whether a last line without its newline is a whole anchor; BadInput for what is not a part of one."""
    if not torn.endswith(b"}"):
        if (torn.startswith(BEGIN) and b"}" not in torn) or BEGIN.startswith(torn):
            return False
    else:
        with contextlib.suppress(BadInput):
            return _anchor(torn, place, 0) is not None
    raise BadInput(f"{place} does not end with an anchor", hint="name a file of anchors, or a new one")


def read(places: Iterable[str]) -> Iterator[Anchor]:
    """Yield the anchors in files of a line of JSON each, and in buckets; BadInput for anything else.

    The heads in a witness's statements are such, too; nobody's signature is looked at here (`quorum`). Of a bucket
    every version counts, also of what was written over or deleted since.
    """
    for place in places:
        if place.startswith(BUCKET):
            remote, path = _bucket(place)
            texts: Iterable[bytes] = remote.versions(path)
        else:
            texts = _lines(Path(place))
        count = 0
        for number, line in enumerate(texts, start=1):
            if it := _anchor(line, place, number):
                count += 1
                yield it
        if not count:
            raise BadInput(f"there are no anchors at {place}")


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from lines(file)
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}") from None


def _anchor(line: bytes, place: str, number: int) -> Anchor | None:
    """Return the anchor in a line; None for a witness's statement that is none, BadInput for anything else."""
    try:
        if not witness_log.is_one(line):
            found = msgspec.json.decode(line, type=Anchor)
            # Each field once: two readers see one anchor.
            if line.count(b'"') != FIELD_QUOTES:
                raise BadInput("a field is there twice")
            return found
        # Without its end it is written just now.
        if line.endswith(b"\n") and (it := witness_log.parse(line)[0]).kind == "head":
            return Anchor(host=it.host, segment=it.segment, digest=it.digest, last=it.last, ended=it.ended)
    except (msgspec.MsgspecError, UnicodeDecodeError, BadInput) as error:
        raise BadInput(f"{place}, number {number} is not an anchor: {error}") from None
    return None


def _bucket(place: str) -> tuple[Bucket, str]:
    from dualtrack.core.s3 import Bucket

    bucket, _, path = place.removeprefix(BUCKET).partition("/")
    return Bucket(bucket), path


def paper(anchor: Anchor) -> str:
    """Return an anchor in a line that can be printed, read aloud and typed: the digest in groups of four digits."""
    groups = " ".join(anchor.digest[begin : begin + 4] for begin in range(0, len(anchor.digest), 4))
    return f"{anchor.host}, segment {anchor.segment}, up to record {anchor.last}: {groups}"
