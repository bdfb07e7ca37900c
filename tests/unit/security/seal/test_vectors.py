"""Files with one fault each, kept for ever: all are found, and nothing unverified is ever released."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import pytest

from dualtrack.core.errors import Exit
from dualtrack.security.seal.errors import SealError
from dualtrack.security.seal.reader import SealedFile
from tests.support import seal_vectors
from tests.support.seal_vectors import Vector

KEYS, BASES, VECTORS = seal_vectors.load()
CONTENT = seal_vectors.to_pipe(BASES["three"], [KEYS["alice"]]).released  # the others have its beginning
EXIT = {"": Exit.OK, "not-sealed": 2, "version": 2, "parameters": 2, "key": 2}  # all others: 1, findings


def test_there_are_many() -> None:
    assert len([vector for vector in VECTORS if vector.verify or vector.folder]) >= 100
    assert {vector.reason or vector.verify for vector in VECTORS} >= {
        "not-sealed", "version", "parameters", "key", "header", "chunk", "truncated", "trailing",
    }  # fmt: skip


@pytest.mark.attack("who seals a file", "makes it mean another to another reader", "prevented", "unseal, by the format")
@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_vector(tmp_path: Path, vector: Vector) -> None:
    keys = [vector.identity]
    outcome = seal_vectors.to_pipe(vector.data, keys)
    assert (outcome.reason, outcome.code) == (vector.reason, EXIT.get(vector.reason, Exit.FINDINGS))
    assert len(outcome.released) == vector.released
    assert hashlib.sha256(outcome.released).hexdigest() == vector.released_sha256
    assert seal_vectors.verified(vector.data, keys, tmp_path) == vector.verify
    outcome, target = seal_vectors.to_place(vector.data, keys, tmp_path)
    if vector.folder is None:
        assert outcome.reason == vector.reason
        assert target.exists() == (vector.reason == "")
        assert not target.exists() or hashlib.sha256(target.read_bytes()).hexdigest() == vector.released_sha256
    else:
        assert (outcome.reason, target.is_dir()) == (vector.folder, vector.folder == "")
    assert {path.name for path in tmp_path.iterdir()} <= {"in.sealed", "out"}


@pytest.mark.parametrize("vector", [v for v in VECTORS if v.reason], ids=lambda vector: vector.name)
def test_no_range_of_it_is_anything_but_its_content(tmp_path: Path, vector: Vector) -> None:
    """Reading by ranges sees less of the file, and yet gives away nothing that was not sealed at that place."""
    path = tmp_path / "in.sealed"
    path.write_bytes(vector.data)
    found = seal_vectors.attempt(lambda: SealedFile(path, [vector.identity]).close(), bytearray())
    if found.reason:
        assert found.reason in {vector.reason, "truncated", "chunk"}
        return
    with SealedFile(path, [vector.identity]) as file:
        assert vector.reason in {"chunk", "trailing"}  # what concerns the header or the end is found on opening
        for offset in range(0, file.size, 4096):
            with contextlib.suppress(SealError):
                part = file.read(offset, min(4096, file.size - offset))
                assert part == CONTENT[offset : offset + 4096]


def test_every_byte_of_a_small_file_counts() -> None:
    data = BASES["byte"]
    keys = [KEYS["alice"]]
    sound = seal_vectors.to_pipe(data, keys)
    for place in range(4096):  # both copies of the header
        flipped = bytearray(data)
        flipped[place] ^= 0x10
        flipped[4096 + place] ^= 0x10
        assert seal_vectors.to_pipe(bytes(flipped), keys).reason, f"byte {place} of the header"
    for place in range(8192, len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[place] ^= 1 << bit
            outcome = seal_vectors.to_pipe(bytes(flipped), keys)
            assert (outcome.reason, outcome.released) == ("chunk", b""), f"byte {place}"
    for place in range(0, 8192, 37):  # one copy: it opens, to the same content
        flipped = bytearray(data)
        flipped[place] ^= 0x10
        assert seal_vectors.to_pipe(bytes(flipped), keys) == sound
    for size in range(0, len(data), 61):
        assert seal_vectors.to_pipe(data[:size], keys).reason
