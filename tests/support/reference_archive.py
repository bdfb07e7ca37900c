"""A second reader of sealed directories, from docs/reference/seal.md alone; it restores nothing."""

from __future__ import annotations

from typing import NamedTuple

DECIMAL = frozenset(b"0123456789")
OCTAL = frozenset(b"01234567")


class Alien(Exception):
    """The archive is not as the format says."""


class Found(NamedTuple):
    """What a name is: its type, mode, time, and content or target."""

    kind: str
    mode: int
    mtime: int
    what: bytes


def need(condition: object) -> None:
    if not condition:
        raise Alien


def read(data: bytes) -> dict[bytes, Found]:
    """Return all members of an archive by name; Alien where it is not as the format says."""
    found: dict[bytes, Found] = {}
    previous: list[bytes] = []
    place = 0
    while True:
        block = data[place : place + 512]
        need(len(block) == 512)
        if block == bytes(512):
            break
        header, place = head(block), place + 512
        given: dict[str, bytes] = {}
        if header["type"] == b"x":
            size = int(header["size"])
            need(1 <= size <= 65536)
            given = records(filled(data, place, size))
            place += -(-size // 512) * 512
            block = data[place : place + 512]
            need(len(block) == 512)
            header, place = head(block), place + 512
        kind = {b"0": "file", b"2": "link", b"5": "directory"}.get(header["type"])
        need(kind)
        name, target = given.get("path", header["name"]), given.get("linkpath", header["target"])
        if kind == "directory":
            need(name[-1:] == b"/")
            name = name[:-1]
        size = decimal(given["size"], signed=False, below=1 << 63) if "size" in given else int(header["size"])
        mtime = decimal(given["mtime"], signed=True, below=10**11) if "mtime" in given else int(header["mtime"])
        mode = int(header["mode"])
        need(mode <= 0o777)
        need(kind == "file" or (size == 0 and "size" not in given))
        if kind == "link":
            need(1 <= len(target) <= 4095 and 0 not in target)
        else:
            need(header["target"] == b"" and "linkpath" not in given)
        parts = name.split(b"/")
        need(len(name) <= 4095 and 0 not in name)
        need(all(1 <= len(part) <= 255 and part not in (b".", b"..") for part in parts))
        need(parts > previous)
        above = b"/".join(parts[:-1])
        need(not above or (above in found and found[above].kind == "directory"))
        content = filled(data, place, size)
        place += -(-size // 512) * 512
        found[name] = Found(str(kind), mode, mtime, target if kind == "link" else content)
        previous = parts
    need(len(data) >= place + 1024 and data[place:].count(0) == len(data) - place)
    for name, member in found.items():
        if member.kind == "link":
            leads(found, name)
    return found


def filled(data: bytes, place: int, size: int) -> bytes:
    """Return ``size`` bytes, and see to it that zeros fill up their last block."""
    end = place + -(-size // 512) * 512
    need(end <= len(data) and not any(data[place + size : end]))
    return data[place : place + size]


def head(block: bytes) -> dict[str, bytes]:
    """Return a header's fields; numbers as decimal digits."""
    total = sum(block[:148]) + 8 * 32 + sum(block[156:])
    need(block[148:156] == f"{total:06o}".encode() + b"\0 ")
    need(block[108:124] == b"0000000\x000000000\0")
    need(block[257:265] == b"ustar\x0000")
    need(block[265:329] == bytes(64) and block[345:] == bytes(167))
    need(block[329:345] in (bytes(16), b"0000000\x000000000\0"))
    return {
        "name": text(block[:100]), "mode": octal(block[100:108]), "size": octal(block[124:136]),
        "mtime": octal(block[136:148]), "type": block[156:157], "target": text(block[157:257]),
    }  # fmt: skip


def text(field: bytes) -> bytes:
    name = field.rstrip(b"\0")
    need(0 not in name)
    return name


def octal(field: bytes) -> bytes:
    need(field[-1] == 0 and OCTAL.issuperset(field[:-1]))
    return str(int(field[:-1], 8)).encode()


def records(data: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    while data:
        digits = data.split(b" ", 1)[0]
        need(1 <= len(digits) <= 5 and DECIMAL.issuperset(digits) and digits[:1] != b"0")
        size = int(digits)
        need(size <= len(data))
        record, data = data[:size], data[size:]
        need(record[-1:] == b"\n")
        key, equals, value = record[len(digits) + 1 : -1].partition(b"=")
        need(equals and key in (b"path", b"linkpath", b"size", b"mtime", b"hdrcharset") and key.decode() not in found)
        found[key.decode()] = value
    need(found.get("hdrcharset", b"BINARY") == b"BINARY")
    return found


def decimal(digits: bytes, *, signed: bool, below: int) -> int:
    bare = digits[1:] if signed and digits[:1] == b"-" else digits
    need(bare and len(bare) < 20 and DECIMAL.issuperset(bare))
    need(bare[:1] != b"0" or digits == b"0")
    value = int(digits)
    need(abs(value) < below)
    return value


def leads(found: dict[bytes, Found], name: bytes) -> None:
    """Walk a link's way, all of it anew for each link: at most 40 links, never above the top."""
    here = name.split(b"/")[:-1]
    left = found[name].what.split(b"/")
    need(not found[name].what.startswith(b"/"))
    links = 1
    while left:
        part = left.pop(0)
        if part in (b"", b"."):
            continue
        if part == b"..":
            need(here)
            here.pop()
            continue
        there = found.get(b"/".join([*here, part]))
        if there is None or there.kind != "link":
            here.append(part)
            continue
        links += 1
        need(links <= 40 and not there.what.startswith(b"/"))
        left = there.what.split(b"/") + left
