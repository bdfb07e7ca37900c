"""Heads that are kept elsewhere: as a line of a file, or as a few words on paper."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from dualtrack.audit import head as heads
from dualtrack.audit.check import Anchor
from dualtrack.audit.place import Place, lines
from dualtrack.errors import BadInput


def newest(folder: Path) -> Anchor:
    """Return the last head of a trail, to be kept elsewhere; BadInput where nothing is signed yet."""
    place, found = Place(folder), None
    if place.heads.is_file():
        with place.heads.open("rb") as file:
            for text in lines(file):
                if text.endswith(b"\n"):
                    found = heads.split(text)[0]
    if found is None:
        raise BadInput(f"nothing is signed in {folder} yet", hint="dualtrack audit seal")
    head = heads.decode(found)
    return Anchor(head.host, head.segment, heads.digest(found), head.last, head.ended)


def read(paths: Iterable[Path]) -> Iterator[Anchor]:
    """Yield the anchors in files of a line of JSON each; BadInput for anything else."""
    for path in paths:
        try:
            text = path.read_bytes()
        except OSError as error:
            raise BadInput(f"cannot read {path}: {error.strerror}") from None
        for number, line in enumerate(text.splitlines(), start=1):
            try:
                yield msgspec.json.decode(line, type=Anchor)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise BadInput(f"{path}, line {number} is no anchor: {error}") from None


def paper(anchor: Anchor) -> str:
    """Return an anchor in a line that can be printed, read aloud and typed: the digest in groups of four digits."""
    groups = " ".join(anchor.digest[begin : begin + 4] for begin in range(0, len(anchor.digest), 4))
    return f"{anchor.host}, segment {anchor.segment}, up to record {anchor.last}: {groups}"
