"""Reading a trail for people: the events as the files say them, unjudged."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from dualtrack.audit import record
from dualtrack.audit.place import Place, lines
from dualtrack.audit.record import Record
from dualtrack.errors import BadInput


def matching(folder: Path, kind: str = "", text: str = "") -> Iterator[Record]:
    """Yield the events of a kind with a text in them, in order; lines that are no records are passed over."""
    place = Place(folder)
    if not os.path.lexists(place.root):
        raise BadInput(f"{folder} holds no trail")
    for number in place.numbers():
        with place.open(place.segment(number)) as file:
            for line in lines(file):
                try:
                    found, _, _ = record.parse(line)
                except BadInput:
                    continue
                if (not kind or found.kind == kind) and (not text or text in found.body or text in found.source):
                    yield found
