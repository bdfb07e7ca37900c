"""Finds personal data in a text: `scan` returns what is where."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from dualtrack.knowledge.pii import candidates, escapes, forms, keys, mails, matching, numbers
from dualtrack.knowledge.pii.kinds import KINDS

#: Bytes that are looked at together, and how much before and after them as well: further than any rule looks.
PART, OVERLAP = 8 << 20, 32 << 10
#: Bytes that are decoded together.
PIECE = 256 << 10
#: Where findings overlap, the first of these is what both are called.
ORDER = {name: number for number, name in enumerate(KINDS)}


class PiiFinding(msgspec.Struct, frozen=True, order=True):
    """Personal data: where it begins and ends, in bytes of UTF-8, and its kind."""

    start: int
    end: int
    kind: str


#: The same, without names for its parts: many are made.
Span = tuple[int, int, str]
#: Finds more in a part of a text (names, addresses): returns kinds, starts and ends in characters.
Recogniser = Callable[[str], Iterator[tuple[str, int, int]]]


def scan(data: bytes, recognisers: tuple[Recogniser, ...] = ()) -> list[PiiFinding]:
    """Return what is found in a text of UTF-8, in order and without overlaps.

    Raises UnicodeDecodeError where the text is none: what cannot be read cannot be called clean.
    """
    _readable(data)
    found: list[Span] = []
    for first in range(0, max(len(data), 1), PART):
        begin = candidates.boundary(data, max(0, first - OVERLAP))
        part = data[begin : candidates.boundary(data, min(first + PART + OVERLAP, len(data)))]
        found += (
            (begin + start, begin + end, kind)
            for kind, start, end in _part(part, recognisers)
            if first <= begin + start < first + PART
        )
    found = [(mails.whole(data, *it[:2]) if it[2] == "email" and data[it[0]] > 127 else it[0], *it[1:]) for it in found]
    return [PiiFinding(*it) for it in _apart(keys.extended(data, found))]


def _readable(data: bytes) -> None:
    """Raise UnicodeDecodeError where a text is none. Small pieces stay in the processor's cache."""
    place = 0
    try:
        while place < len(data):
            end = candidates.boundary(data, min(place + PIECE, len(data)))
            data[place:end].decode()
            place = end
    except UnicodeDecodeError:
        data.decode()
        raise


def _part(data: bytes, recognisers: tuple[Recogniser, ...]) -> Iterator[tuple[str, int, int]]:
    yield from _as_written(data)
    if escaped := escapes.decoded(data):
        for kind, start, end in _as_written(escaped.data):
            if span := escaped.span(start, end):
                yield kind, *span
    if recognisers:
        text = data.decode()
        for recogniser in recognisers:
            for kind, start, end in recogniser(text):
                first = len(text[:start].encode())
                yield kind, first, first + len(text[start:end].encode())


def _as_written(data: bytes) -> Iterator[tuple[str, int, int]]:
    if windows := candidates.find(data):
        matches = list(numbers.find(windows.plain, windows.codes)) if windows.digits else []
        if windows.hits:
            matches += matching.find(windows.plain, windows.codes, windows.hits)
        if form := forms.second(windows):
            matches += form.spans(list(_in_form(form)))
        spans = windows.bytes([(start, end) for _, start, end in matches])
        for (kind, *_), (first, last) in zip(matches, spans, strict=True):
            yield kind, first, last


def _in_form(form: forms.Form) -> Iterator[tuple[str, int, int]]:
    yield from numbers.find(form.numbers.tobytes().decode("utf-32-le"), form.numbers)
    if form.hits:
        yield from matching.find(form.text, form.codes, form.hits)


def _apart(found: Iterable[Span]) -> list[Span]:
    """Return findings in order, those that overlap as one: all that any of them covers, by the first kind's name."""
    merged: list[Span] = []
    over = 0
    for it in sorted(found):
        if it[0] < over:
            start, _, kind = merged.pop()
            it = start, max(over, it[1]), min(kind, it[2], key=ORDER.__getitem__)
        merged.append(it)
        over = it[1]
    return merged
