"""Reading a trail for people: the events as the files say them, unjudged."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from dualtrack.core.errors import BadInput
from dualtrack.security.audit import record
from dualtrack.security.audit import signed_head as heads
from dualtrack.security.audit.layout import Place, lines
from dualtrack.security.audit.record import Record


def matching(folder: Path, kind: str = "", text: str = "") -> Iterator[Record]:
    """Yield the events of a kind with a text in them, in order; lines that are not records are passed over."""
    place = Place(folder)
    if not os.path.lexists(place.root):
        raise BadInput(f"{folder} holds no trail")
    # A text that JSON spells as it is must be in the line: most lines need not be parsed to be passed over.
    probe = text.encode() if text.isprintable() and not {'"', "\\"} & set(text) else b""
    for number in place.numbers():
        with place.open(place.segment(number)) as file:
            for line in lines(file):
                if probe not in line:
                    continue
                try:
                    found, _, _ = record.parse(line)
                except BadInput:
                    continue
                if (not kind or found.kind == kind) and (not text or text in found.body or text in found.source):
                    yield found


def missing(folder: Path) -> str:
    """Return what cannot have been among the events of a host's own trail, '' where nothing is seen to be missing.

    That is a segment that a head names and that is gone or empty, or one before the last that no head names: the next
    one is begun after that. What is there may still be wrong.
    """
    place = Place(folder)
    present, signed = place.numbers(), set[int]()
    for name in place.strangers():
        if ".damaged-" not in name:  # put aside by the writer
            return f"{place.segments / name} is not a segment"
    for line in place.head_lines():
        try:
            signed.add(number := heads.parse(line)[0].segment)
        except BadInput:
            break  # written just now, or the segments behind it have no head
        if not place.size(place.segment(number)):
            return f"{place.segment(number)} is gone or empty"
    for number in present[:-1]:
        if number not in signed:
            return f"{place.heads} has no head of {place.segment(number).name}"
    return ""
