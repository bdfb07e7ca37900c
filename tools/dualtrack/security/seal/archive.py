"""The archive in a sealed directory: there is one way to write it, and no other is read. Bytes to members, only.

docs/reference/seal.md has the rules. Python's own `tarfile` reads far more than `seal` writes (old and GNU headers,
octal digits of any script), so two readers could see two different directories in one stream.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from dualtrack.security.seal.errors import Damaged, Reason
from dualtrack.security.seal.links import Links

BLOCK = 512
MAX_NAME = 4095  # bytes of a path and of a link's target: what Linux takes in one call
MAX_PART = 255
MAX_TIME = 99_999_999_999  # seconds before and after 1970: five thousand years, and no system's clock overflows
_MAX_SIZE = (1 << 63) - 1
_MAX_EXTENDED = 64 * 1024
_PIECE = 256 * 1024
_NOBODY = b"0000000\0"
_MAGIC = b"ustar\x0000"
_DEVICES = {bytes(16), b"0000000\x000000000\x00"}  # both are written, by different releases of Python
_OCTAL = re.compile(rb"[0-7]+\0")
_RECORD = re.compile(rb"([1-9][0-9]{0,4}) (path|linkpath|size|mtime|hdrcharset)=")
_SIZE = re.compile(rb"0|[1-9][0-9]{0,18}")
_TIME = re.compile(rb"0|-?[1-9][0-9]{0,10}")


class Kind(Enum):
    """What a member is; the value is its type in a tar header."""

    FILE = b"0"
    LINK = b"2"
    DIRECTORY = b"5"


@dataclass(frozen=True)
class Member:
    """A file, a symbolic link or a directory: ``name`` is its path, ``mtime`` in whole seconds since 1970."""

    kind: Kind
    name: bytes
    mode: int
    size: int
    mtime: int
    target: bytes = b""


@dataclass(frozen=True)
class _Header:
    """A tar header whose fields are well-formed; what they say together is not checked yet."""

    kind: bytes
    name: bytes
    mode: int
    size: int
    mtime: int
    target: bytes


class Archive:
    """The members of a verified tar stream, in order; Damaged for a stream that `seal` would not have written.

    What is wrong with links shows at the end only, since a link may lead through one that comes later.
    """

    def __init__(self, pieces: Iterator[memoryview]) -> None:
        self._stream = _Bytes(pieces)
        self._links = Links()
        self._last: tuple[bytes, ...] = ()
        self._inside: tuple[bytes, ...] = ()  # the directory that the next member may be in, or in one above
        self._unread = 0

    def members(self) -> Iterator[Member]:
        """Yield each member. Its `content` is read by whoever wants it, before the next is asked for."""
        while (member := _next_member(self._stream)) is not None:
            self._place(member)
            if member.kind is Kind.LINK:
                self._links.add(member.name, member.target)
            self._unread = member.size
            yield member
            for _ in self.content():
                pass
            if self._stream.exactly(-member.size % BLOCK).strip(b"\0"):
                raise alien(f"something behind the end of {shown(member.name)}")
        while rest := self._stream.upto(_PIECE):  # to the very end: only there does a cut stream show
            if rest.strip(b"\0"):
                raise alien("something follows its end")
        if (astray := self._links.astray()) is not None:
            name, why = astray
            raise alien(f"the link {shown(name)} {why}")

    def content(self) -> Iterator[bytes]:
        """Yield the rest of the present member's content."""
        while self._unread:
            part = self._stream.upto(min(self._unread, _PIECE))
            if not part:
                raise alien("it ends too early")
            self._unread -= len(part)
            yield part

    def _place(self, member: Member) -> None:
        """Check that a member's name is a new one, in its order, and in a directory of this archive."""
        parts = tuple(member.name.split(b"/"))
        if not acceptable(member.name):
            raise alien(f"a name that leads elsewhere, or is too long: {shown(member.name)}")
        if parts <= self._last:
            raise alien(f"a name that comes twice, or out of its order: {shown(member.name)}")
        if self._inside[: len(parts) - 1] != parts[:-1]:
            raise alien(f"a name in no directory that came before it: {shown(member.name)}")
        self._last = parts
        self._inside = parts if member.kind is Kind.DIRECTORY else parts[:-1]


def acceptable(name: bytes) -> bool:
    """Say whether a path can be in an archive."""
    return (
        len(name) <= MAX_NAME
        and b"\0" not in name
        and all(0 < len(part) <= MAX_PART and part not in {b".", b".."} for part in name.split(b"/"))
    )


def shown(name: bytes) -> str:
    """Return a name for a message of one line."""
    text = name if len(name) <= 100 else name[:60] + b"..." + name[-30:]
    return repr(text.decode("utf-8", "surrogateescape"))


def alien(why: str) -> Damaged:
    """Return the error of an archive that is authentic and yet not as `seal` writes it."""
    return Damaged(Reason.ARCHIVE, f"what was sealed is not a directory as dualtrack seals it: {why}")


class _Bytes:
    """Verified pieces, to be read by count."""

    def __init__(self, pieces: Iterator[memoryview]) -> None:
        self._pieces = pieces
        self._rest = b""

    def upto(self, size: int) -> bytes:
        """Return the next bytes, ``size`` of them at most; none at the end."""
        if not self._rest:
            # Copied, because the buffer behind a piece goes back to work when the next is asked for.
            self._rest = bytes(next(self._pieces, b""))
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def exactly(self, size: int) -> bytes:
        """Return ``size`` bytes; Damaged where there are fewer."""
        parts = bytearray()
        while len(parts) < size:
            part = self.upto(size - len(parts))
            if not part:
                raise alien("it ends too early")
            parts += part
        return bytes(parts)


def _next_member(stream: _Bytes) -> Member | None:
    """Return the next member, its extended header applied; None behind the two blocks that end the archive."""
    block = stream.exactly(BLOCK)
    if not block.strip(b"\0"):
        if stream.exactly(BLOCK).strip(b"\0"):
            raise alien("one zero block where two end it")
        return None
    header = _header(block)
    records: dict[bytes, bytes] = {}
    if header.kind == b"x":
        if not 0 < header.size <= _MAX_EXTENDED:
            raise alien("an extended header of no size that it may have")
        data = stream.exactly(header.size + -header.size % BLOCK)
        if data[header.size :].strip(b"\0"):
            raise alien("something behind an extended header")
        records = _records(data[: header.size])
        header = _header(stream.exactly(BLOCK))
    return _member(header, records)


def _header(block: bytes) -> _Header:
    if block[148:156] != b"%06o\0 " % (sum(block) - sum(block[148:156]) + 8 * ord(" ")):
        raise alien("a header with a wrong checksum")
    if (
        block[108:124] != 2 * _NOBODY
        or block[257:265] != _MAGIC
        or block[329:345] not in _DEVICES
        or (block[265:329] + block[345:]).strip(b"\0")
    ):
        raise alien("a header of another kind of tar, or with an owner")
    return _Header(
        kind=block[156:157],
        name=_text(block[:100]),
        mode=_octal(block[100:108]),
        size=_octal(block[124:136]),
        mtime=_octal(block[136:148]),
        target=_text(block[157:257]),
    )


def _text(field: bytes) -> bytes:
    text, _, rest = field.partition(b"\0")
    if rest.strip(b"\0"):
        raise alien("something behind a name")
    return text


def _octal(field: bytes) -> int:
    if not _OCTAL.fullmatch(field):
        raise alien("a number that is not octal digits and a zero byte")
    return int(field[:-1], 8)


def _records(data: bytes) -> dict[bytes, bytes]:
    """Return the records of an extended header: `LENGTH KEY=VALUE` and a line's end, each key once."""
    found: dict[bytes, bytes] = {}
    while data:
        start = _RECORD.match(data)
        size = int(start[1]) if start else 0
        if not start or not start.end() < size <= len(data) or data[size - 1 : size] != b"\n" or start[2] in found:
            raise alien("an extended header that cannot be read")
        found[start[2]] = data[start.end() : size - 1]
        data = data[size:]
    if found.get(b"hdrcharset", b"BINARY") != b"BINARY":
        raise alien("names in another character set")
    return found


def _member(header: _Header, records: dict[bytes, bytes]) -> Member:
    try:
        kind = Kind(header.kind)
    except ValueError:
        raise alien(f"no file, directory or link: type {header.kind!r}") from None
    name = records.get(b"path", header.name)
    if name.endswith(b"/") != (kind is Kind.DIRECTORY):
        raise alien(f"a directory's name ends with a slash, and no other does: {shown(name)}")
    if header.mode > 0o777:
        raise alien(f"more than nine bits of mode: {shown(name)}")
    size = _number(records.get(b"size"), _SIZE, header.size)
    mtime = _number(records.get(b"mtime"), _TIME, header.mtime)
    if size > _MAX_SIZE or (kind is not Kind.FILE and (size or b"size" in records)):
        raise alien(f"a size that it cannot have: {shown(name)}")
    target = records.get(b"linkpath", header.target)
    if kind is Kind.LINK:
        if not 0 < len(target) <= MAX_NAME or b"\0" in target:
            raise alien(f"a link to nothing: {shown(name)}")
    elif header.target or b"linkpath" in records:
        raise alien(f"a target of what is not a link: {shown(name)}")
    return Member(kind, name.removesuffix(b"/"), header.mode, size, mtime, target)


def _number(record: bytes | None, form: re.Pattern[bytes], field: int) -> int:
    if record is None:
        return field
    if not form.fullmatch(record):
        raise alien("a number in an extended header that is not written as it should be")
    return int(record)
