"""Tar streams for tests of sealed directories: what `seal` writes, and what it never would."""

from __future__ import annotations

import tarfile
from typing import Any

Given = tuple[str, bytes, dict[str, Any]]  # name, content, and attributes of a TarInfo
DIRECTORY: dict[str, Any] = {"type": tarfile.DIRTYPE, "mode": 0o755}


def tar(*members: Given, end: bytes = bytes(1024), form: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a tar stream of these members, as Python writes it."""
    out = b""
    for name, content, more in members:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        for key, value in more.items():
            setattr(info, key, value)
        out += info.tobuf(form, "utf-8", "surrogateescape") + content + bytes(-len(content) % 512)
    return out + end


def directory(name: str, **more: Any) -> Given:
    """Return a directory."""
    return name, b"", {**DIRECTORY, **more}


def link(name: str, target: str, **more: Any) -> Given:
    """Return a symbolic link."""
    return name, b"", {"type": tarfile.SYMTYPE, "linkname": target, **more}


def nested(depth: int) -> list[Given]:
    """Return a directory in a directory, and so on."""
    return [directory("/".join(["d"] * n)) for n in range(1, depth + 1)]


def field(archive: bytes, place: int, what: bytes) -> bytes:
    """Put bytes into the first header, and make its checksum right."""
    return summed(archive[:place] + what + archive[place + len(what) :])


def summed(archive: bytes) -> bytes:
    """Return it with the right checksum in its first header."""
    block = bytearray(archive[:512])
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + archive[512:]


def record(text: str | bytes) -> bytes:
    """Return `KEY=VALUE` with its length and its line's end."""
    data = text if isinstance(text, bytes) else text.encode()
    size = len(data) + 3
    while size != len(b"%d %s\n" % (size, data)):
        size = len(b"%d %s\n" % (size, data))
    return b"%d %s\n" % (size, data)


def extended(records: bytes, behind: bytes, size: int | None = None) -> bytes:
    """Return an extended header with these records, and what is behind it."""
    head = tar(("x", records, {"type": tarfile.XHDTYPE}), end=b"")
    return (field(head, 124, b"%011o\0" % size) if size is not None else head) + behind
