"""What a knowledge base gives to its copies beside the file of a version: all that is small, in one message.

It is sealed under the master key, which both have, and is on no disk: keys in it could outlive their destruction there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from dualtrack.core.errors import BadInput, External
from dualtrack.knowledge import ledger, retrieval, versions
from dualtrack.knowledge.keys import Keys, Master
from dualtrack.knowledge.ledger import Ledger

_PURPOSE = "offer"


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """The current version and what belongs to it.

    ``since`` is when it became the current one (UTC), ``card`` its card's file, ``keys`` the wrapped key of each of its
    documents, ``ledger`` the file of all deletions, ``retrieval`` that of `retrieval.json`, empty where there is none.
    ``kept`` has the digest of the card of each version that the source has: in no others are deletions looked for.
    """

    version: str
    since: datetime
    card: bytes
    keys: dict[bytes, bytes]
    ledger: bytes
    retrieval: bytes
    kept: dict[str, bytes]


def make(base: Path, key_file: Path | None = None) -> bytes:
    """Return what a knowledge base offers; the errors of `versions.load`."""
    while True:
        link, directory = base / versions.CURRENT, versions.current(base)
        try:
            since = datetime.fromtimestamp(link.lstat().st_mtime, UTC)
            with versions.reported(directory), Keys(base, key_file) as keys:
                versions.read_card(directory, keys)
                deleted = Ledger(base, keys)
                offer = Offer(
                    version=directory.name, since=since, card=(directory / versions.CARD).read_bytes(),
                    keys=keys.wrapped(versions.live(directory, deleted)), ledger=deleted.lines,
                    retrieval=_read(base / retrieval.NAME), kept=dict(cards(base)),
                )  # fmt: skip
                return keys.enclose(_PURPOSE, msgspec.msgpack.encode(offer))
        except (External, OSError):
            if link.resolve() == directory:
                raise
            # It was pruned meanwhile: another one is current.


def opened(sealed: bytes, master: Master) -> Offer:
    """Return what was offered; BadInput where it was not made under the same master key."""
    data = master.disclose(_PURPOSE, sealed)
    try:
        if data is not None:
            return msgspec.msgpack.decode(data, type=Offer)
    except msgspec.MsgspecError:
        pass
    raise BadInput(
        "what the source offers was not made under the master key that is here",
        hint="a copy has the same master key, and the same version of this program, as its source",
    )


def cards(base: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the versions that are there with the digests of their cards: of one id there may be several files."""
    for it in (base / "versions").glob("[0-9a-f]*"):
        if card := card_of(it):
            yield it.name, card


def card_of(version: Path) -> bytes:
    """Return the digest of a version's card; nothing of one that is not there."""
    try:
        return hashlib.sha256((version / versions.CARD).read_bytes()).digest()
    except OSError:
        return b""


def extends(offered: bytes, here: bytes) -> bool:
    """Tell whether a ledger is one that is here, with or without more deletions."""
    return offered.startswith(here[: here.rfind(b"\n") + 1])


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def deletions(base: Path) -> bytes:
    """Return the file of a knowledge base's deletions, empty where there is none."""
    return _read(base / ledger.FILE)
