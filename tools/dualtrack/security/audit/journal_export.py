"""Entries of systemd's journal in its export format, with a bound on each field and on each entry.

The format: https://systemd.io/JOURNAL_EXPORT_FORMATS/#journal-export-format. A field is `NAME=value` and a newline, or
`NAME`, a newline, the length of the value as 64 bits (little endian), the value and a newline. An empty line ends an
entry. journalctl breaks an entry off, without that line, where the journal's file is removed meanwhile: such an entry
is left out, so that its number is missing. A sender chooses values, also binary ones of many megabytes: what is beyond
a bound is skipped as it arrives, so an entry takes bounded memory and time whatever its size is.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

#: Bytes of a value, and values of an entry, that are kept; the rest is counted.
VALUE, VALUES = 256 << 10, 256
_LENGTH = struct.Struct("<Q")
#: Values that the sender did not choose: journald adds them, and accepts no such names from senders.
TRUSTED = b"_"
#: The first field of each entry: its place in the journal. No sender can set it.
CURSOR = b"__CURSOR"


@dataclass(slots=True)
class JournalEntry:
    """An entry: its values by name, in bytes, and how many bytes of a value were left out."""

    fields: dict[bytes, list[bytes]] = field(default_factory=dict)
    cut: dict[bytes, int] = field(default_factory=dict)
    count: int = 0

    def add(self, name: bytes, value: bytes, more: int = 0) -> None:
        """Add a value of which ``more`` bytes are not there; only counted where the entry has too many values."""
        if more or len(value) > VALUE:
            self.cut[name] = self.cut.get(name, 0) + more + max(0, len(value) - VALUE)
            value = value[:VALUE]
        if self.count >= VALUES and not name.startswith(TRUSTED):
            self.cut[name] = self.cut.get(name, 0) + len(value)
            return
        self.count += 1
        self.fields.setdefault(name, []).append(value)

    def first(self, name: bytes) -> bytes:
        """Return the only value of that name; b"" where there is none, or more than one."""
        found = self.fields.get(name, ())
        return found[0] if len(found) == 1 else b""


class Parser:
    """Makes entries out of blocks of bytes as they arrive."""

    def __init__(self) -> None:
        self._data = b""
        self._entry = JournalEntry()
        # A value of which the beginning is in the entry already, and how many of its bytes are still to come.
        self._skip = 0
        # A text value that is too long: what comes up to the next newline belongs to it.
        self._long: bytes | None = None

    def feed(self, data: bytes) -> list[JournalEntry]:
        """Take the next block; return the entries that are complete with it."""
        data, self._data = self._data + data, b""
        found: list[JournalEntry] = []
        at, size = 0, len(data)
        while at < size:
            if self._skip:
                step = min(self._skip, size - at)
                self._skip -= step
                at += step
                continue
            if self._long is not None:
                end = data.find(b"\n", at)
                self._entry.cut[self._long] += (size if end < 0 else end) - at
                at = size if end < 0 else end + 1
                self._long = None if end >= 0 else self._long
                continue
            if not self._entry.count:  # most entries are text alone, and come as a whole
                end = data.find(b"\n\n", at)
                if end >= 0 and (whole := _text(data[at:end])) is not None:
                    found.append(whole)
                    at = end + 2
                    continue
            step = self._field(data, at, found)
            if not step:
                break
            at += step
        self._data = data[at:]
        return found

    def _field(self, data: bytes, at: int, found: list[JournalEntry]) -> int:
        """Take the field that begins at ``at``; return its length, 0 where it has not come as a whole."""
        end = data.find(b"\n", at)
        if end == at:
            if self._entry.count or self._entry.cut:
                found.append(self._entry)
            self._entry = JournalEntry()
            return 1
        if end < 0:
            return self._begin_long(data, at)
        name, equals, value = data[at:end].partition(b"=")
        if equals:
            if name == CURSOR:
                self._entry = JournalEntry()
            self._entry.add(name, value)
            return end + 1 - at
        begin = end + 1 + _LENGTH.size
        if len(data) < begin:
            return 0
        length: int = _LENGTH.unpack_from(data, end + 1)[0]
        kept = min(length, VALUE)
        if len(data) < begin + kept + 1:
            return 0
        self._entry.add(name, data[begin : begin + kept], length - kept)
        self._skip = length - kept + 1  # the newline behind it as well
        return begin + kept - at

    def _begin_long(self, data: bytes, at: int) -> int:
        """Take the beginning of a text value that is longer than the bound."""
        name, equals, value = data[at:].partition(b"=")
        if not equals or len(value) <= VALUE:
            return 0
        self._entry.add(name, value)
        self._entry.cut.setdefault(name, 0)
        self._long = name
        return len(data) - at


def _text(lines: bytes) -> JournalEntry | None:
    """Return the entry that these lines are; None where a value is binary, or an entry was broken off.

    The name of a binary field is a line without `=`, and stands before its value: so an empty line within a value is
    never taken for the end of an entry.
    """
    entry = JournalEntry()
    for line in lines.split(b"\n"):
        name, equals, value = line.partition(b"=")
        if not equals or (name == CURSOR and entry.count):
            return None
        entry.add(name, value)
    return entry
