"""Two readers of one format: ours, and one made from docs/reference/seal.md alone, over vectors and mutations of them.

Both must say the same of every file: what it holds, or the same reason and the same bytes before it. `SEAL_MUTATIONS`
sets how many mutations there are in all; they are the same in each run.
"""

from __future__ import annotations

import os
import random
import zlib
from collections.abc import Callable, Sequence

import pytest

from dualtrack.crypto import kdf, libcrypto
from dualtrack.security.seal import blob, header, stream
from dualtrack.security.seal.archive import Archive, Kind
from dualtrack.security.seal.chunks import COPY, START
from dualtrack.security.seal.errors import SealError
from dualtrack.security.seal.slots import Identity, Passphrase, Sm2Identity, Sm2Recipient
from dualtrack.security.seal.unwrap import Opened, closed, new, renewed
from tests.support import reference_archive, reference_seal, seal_vectors
from tests.support.seal_vectors import Vector, judge_of
from tests.support.tars import directory, extended, field, link, record, summed, tar

COUNT = int(os.environ.get("SEAL_MUTATIONS", "500"))
_, _, VECTORS = seal_vectors.load()
Members = dict[bytes, tuple[str, int, int, bytes]]


def ours(archive: bytes) -> Members | None:
    found: Members = {}
    reader = Archive(iter([memoryview(archive)]))
    try:
        for member in reader.members():
            what = member.target if member.kind is Kind.LINK else b"".join(reader.content())
            found[member.name] = (member.kind.name.lower(), member.mode, member.mtime, what)
    except SealError:
        return None
    return found


def theirs(archive: bytes) -> Members | None:
    try:
        return {name: tuple(found) for name, found in reference_archive.read(archive).items()}
    except reference_archive.Alien:
        return None


def judged(data: bytes, *keys: reference_seal.Key) -> tuple[str, bytes]:
    try:
        return "", reference_seal.unseal(data, *keys)
    except reference_seal.Refused as error:
        return error.reason, error.released


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_vector(vector: Vector) -> None:
    reason, released = judged(vector.data, vector.judge)
    assert (reason, len(released)) == (vector.reason, vector.released)
    if vector.folder is not None:
        found = theirs(released)
        assert (found is None) == bool(vector.folder)
        assert found == ours(released)


# --- mutations of archives


def sound(chance: random.Random) -> list[bytes]:
    """Return the members of a directory, each as the bytes that it is in the archive."""
    names = sorted({"/".join(chance.choices("abc", k=chance.randint(1, 4))) for _ in range(7)})
    above = {name[:end] for name in names for end in range(1, len(name), 2)}
    found = []
    for name in sorted({*names, *above}, key=lambda name: name.split("/")):
        kind = chance.choice(["file", "link", "directory", "long"])
        if name in above or kind == "directory":
            made = directory(name, mode=chance.choice([0, 0o755, 0o777]))
        elif kind == "link":
            made = link(name, "/".join(chance.choices(["..", "a", "b", "c", ".", ""], k=chance.randint(1, 4))) or "a")
        else:
            size = chance.choice([0, 1, 511, 512, 513])
            made = (name, chance.randbytes(size), {"mtime": chance.choice([0, 1 << 33, -5, 10**10])})
        found.append(tar(made, end=b""))
    return found


NUMBERS = [
    b"0000000\0",
    b"00000000000\0",
    b"77777777777\0",
    b"0000001 ",
    b"        ",
    b"\x80" + bytes(11),
    b"0001777\0",
    b"0_00",
]
RECORDS = [
    "path=z",
    "path=z/",
    "path=a/../z",
    "path=z\0",
    "path=" + "z" * 255,
    "path=" + "z" * 256,
    "size=0",
    "size=1",
    "size=01",
    "size=+1",
    "size=0_1",
    "size=-1",
    "size=٣",
    "mtime=0",
    "mtime=-0",
    "mtime=-1",
    "mtime=1.0",
    "mtime=99999999999",
    "mtime=100000000000",
    "mtime=" + "9" * 20,
    "linkpath=a",
    "linkpath=..",
    "linkpath=/",
    "linkpath=",
    "hdrcharset=BINARY",
    "hdrcharset=x",
    "uid=0",
    "comment=x",
    "path",
    "=x",
    "GNU.sparse.size=1",
]
PLACES = [
    0,
    1,
    99,
    100,
    107,
    108,
    116,
    124,
    135,
    136,
    147,
    155,
    156,
    157,
    256,
    257,
    263,
    265,
    297,
    329,
    337,
    345,
    500,
    511,
]


def mutated(members: list[bytes], chance: random.Random) -> bytes:
    """Return an archive with one to three faults, or things that look like faults and are none."""
    members, end = list(members), bytes(1024)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(members)) if members else 0
        one = (members[at] if members else b"") or tar(("a", b"", {}), end=b"")
        how = chance.randrange(12)
        if how == 0:
            one = field(one, chance.choice(PLACES), bytes([chance.choice([0, 1, 0x20, 0x2F, 0x30, 0x37, 0x38, 0xFF])]))
        elif how == 1:
            one = field(one, chance.choice([100, 108, 116, 124, 136, 329]), chance.choice(NUMBERS))
        elif how == 2:
            one = field(one, 156, chance.choice([b"\0", b"0", b"1", b"2", b"5", b"7", b"L", b"x", b"g"]))
        elif how in {3, 4, 5}:
            count = chance.choice([1, 1, 1, 2, 3])
            one = extended(b"".join(record(chance.choice(RECORDS)) for _ in range(count)), one)
        elif how == 6:
            data = bytearray(one)
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            one = bytes(data) if chance.random() < 0.5 else summed(bytes(data))
        elif how == 7:
            one = chance.choice([one + one, b"", one[:-512], one + bytes(512), one[: chance.randrange(len(one))]])
        elif how == 8:
            other = chance.randrange(len(members)) if members else 0
            if members:
                members[at], one = members[other], members[other]
        elif how == 9:
            one += tar(
                link(f"z{chance.randrange(3)}", chance.choice(["z0", "z1", "z2/..", "a/../..", "b", "../x"])), end=b""
            )
        elif how == 10:
            one = field(one, 0, chance.choice([b"a//", b"../", b"./a", b"/a", b"a\0b", b"\0", b"zz/", b"zzz\0"]))
        else:
            end = chance.choice(
                [b"", bytes(512), bytes(1023), bytes(1025), bytes(2048), bytes(1024) + b"\1", b"\1" * 1024]
            )
        members[at : at + 1] = [one]
    return b"".join(members) + end


def test_archives_are_judged_alike() -> None:
    chance = random.Random(2027)
    fine = 0
    for number in range(COUNT - COUNT // 3):
        archive = mutated(sound(chance), chance)
        mine, other = ours(archive), theirs(archive)
        assert mine == other, f"mutation {number}"
        fine += mine is not None
    assert COUNT // 100 < fine < COUNT // 2  # neither are all refused nor none


# --- mutations of sealed files

ALICE, BOB = libcrypto.generate(), libcrypto.generate()
WORDS = Passphrase(b"correct horse battery")
KEYS: dict[str, tuple[Identity, reference_seal.Key]] = {
    name: (identity, judge_of(identity))
    for name, identity in {"alice": Sm2Identity(ALICE), "bob": Sm2Identity(BOB), "words": WORDS}.items()
}
Copies = list[bytes]


def copy_of(made: Opened, chance: random.Random) -> bytes:
    """Return a copy of the header, often with a fault, and then often with a MAC that is right."""
    copy = bytearray(closed(made))
    for _ in range(chance.choice([0, 0, 1, 1, 2])):
        place = chance.choice(
            [
                *range(32),
                *range(32, 56),
                *range(190, 212),
                173,
                174,
                352,
                4063,
                *range(4064, 4096),
                chance.randrange(COPY),
            ]
        )
        copy[place] = chance.choice([0, 1, 2, 3, 11, 12, 22, 25, 26, 255, copy[place] ^ 1 << chance.randrange(8)])
    if chance.random() < 0.4:
        copy[4064:] = kdf.mac(made.data_key, bytes(copy[:4064]))
    if chance.random() < 0.15:
        copy[chance.randrange(COPY) :] = b""
    return bytes(copy).ljust(COPY, b"\0")


def file_of(chance: random.Random, files: Sequence[tuple[Opened, bytes]]) -> bytes:
    """Return a sealed file with some faults: copies of two files and of two generations, chunks in any order."""
    (made, payload), (other, _) = chance.choice(files), chance.choice(files)
    of: list[Callable[[], Opened]] = [
        lambda: made, lambda: made, lambda: made, lambda: other,
        lambda: renewed(made, [Sm2Recipient(chance.choice([ALICE, BOB]))]),
    ]  # fmt: skip
    start = b"".join(copy_of(chance.choice(of)(), chance) for _ in (0, 1))
    if chance.random() < 0.5:
        start = start[:COPY] * 2
    units = [payload[place : place + 4112] for place in range(0, len(payload), 4112)]
    how = chance.randrange(8)
    if how == 0:
        units = chance.choices(units, k=chance.randint(0, 3))
    elif how == 1:
        units[-1] = units[-1][: chance.choice([0, 1, 15, 16, 17, len(units[-1]) - 1])]
    elif how == 2:
        units.append(bytes(chance.choice([1, 15, 16, 17])))
    elif how == 3:
        data = bytearray(units[-1])
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        units[-1] = bytes(data)
    data = start + b"".join(units)
    return data[: chance.choice([0, 7, 8, 100, COPY, START - 1, START])] if chance.random() < 0.04 else data


def test_sealed_files_are_judged_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(header, "LOG_N", 10)
    monkeypatch.setattr(header, "P", 1)
    chance = random.Random(2028)
    files = []
    for size, to in (
        (0, [Sm2Recipient(ALICE)]), (17, [Sm2Recipient(BOB), Sm2Recipient(ALICE)]), (4096, [WORDS]),
        (4100, [Sm2Recipient(ALICE), WORDS]),
    ):  # fmt: skip
        made = new(to, header.Content.BYTES, 12)
        out = bytearray()
        stream.seal(blob.reading(bytes(size)), out.extend, made.payload, 4096, threads=1)
        files.append((made, bytes(out)))
    seen = set()
    for number in range(COUNT // 3):
        data = file_of(chance, files)
        names = chance.sample(list(KEYS), chance.choice([1, 1, 2]))
        mine = seal_vectors.to_pipe(data, [KEYS[name][0] for name in names])
        other = judged(data, *(KEYS[name][1] for name in names))
        assert (mine.reason, mine.released) == other, f"mutation {number}, {names}: {zlib.crc32(data)}"
        seen.add(mine.reason)
    assert seen >= {"", "header", "key", "parameters", "not-sealed", "chunk", "truncated"}
