"""The stored vectors of sealed files, put together again, and what this release makes of one."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualtrack.core.errors import Exit
from dualtrack.crypto import libcrypto
from dualtrack.security.seal import actions, blob, stream
from dualtrack.security.seal.chunks import START
from dualtrack.security.seal.errors import SealError
from dualtrack.security.seal.slots import Identity, Passphrase, Sm2Identity
from dualtrack.security.seal.unwrap import open_header
from tests.support import reference_seal

FILES = sorted((Path(__file__).parents[1] / "fixtures/seal").glob("vectors-*.json"))


@dataclass(frozen=True)
class Vector:
    """A file, the key to try on it, and what must come of it; ``folder`` is what restoring a directory must say."""

    name: str
    data: bytes
    identity: Identity
    judge: reference_seal.Key
    reason: str
    verify: str
    released: int
    released_sha256: str
    folder: str | None


@functools.cache
def load() -> tuple[dict[str, Identity], dict[str, bytes], list[Vector]]:
    """Return the keys and the sound files of the newest set, and the vectors of all of them."""
    keys: dict[str, Identity] = {}
    bases: dict[str, bytes] = {}
    vectors: dict[str, Vector] = {}
    for file in FILES:
        stored = json.loads(file.read_text())
        keys = {name: Sm2Identity(libcrypto.private_key(pem.encode())) for name, pem in stored["keys"].items()}
        keys |= {name: Passphrase(words.encode()) for name, words in stored["passphrases"].items()}
        bases = {name: zlib.decompress(base64.b64decode(text)) for name, text in stored["bases"].items()}
        judges = {name: judge_of(identity) for name, identity in keys.items()}
        for name in stored.get("supersedes", ()):
            del vectors[name]
        for one in stored["vectors"]:
            data = b"".join(_piece(piece, bases) for piece in one.pop("pieces"))
            assert hashlib.sha256(data).hexdigest() == one.pop("sha256"), one["name"]
            assert one["name"] not in vectors
            judge = judges[one["key"]]
            vectors[one["name"]] = Vector(
                data=data, identity=keys[one.pop("key")], judge=judge, folder=one.pop("folder", None), **one
            )
    return keys, bases, list(vectors.values())


def judge_of(identity: Identity) -> reference_seal.Key:
    """Return a key as the second implementation has it."""
    if isinstance(identity, Passphrase):
        return reference_seal.Key(passphrase=identity.secret)
    assert isinstance(identity, Sm2Identity)
    der = base64.b64decode("".join(identity.key.private_pem().decode().splitlines()[1:-1]))
    begin = der.index(bytes.fromhex("0201010420")) + 5  # version 1, and the number itself
    return reference_seal.Key(int.from_bytes(der[begin : begin + 32], "big"), identity.key.point)


def _piece(piece: Any, bases: dict[str, bytes]) -> bytes:
    if isinstance(piece, str):
        return base64.b64decode(piece)
    name, offset, length = piece
    return bases[name][offset : offset + length]


@dataclass(frozen=True)
class Outcome:
    """What came of unsealing to a pipe: the reason of a failure (empty: none), its exit code, and what was released."""

    reason: str
    code: Exit
    released: bytes


def to_pipe(data: bytes, identities: Sequence[Identity]) -> Outcome:
    """Unseal as to a pipe, which is where something can be released before a failure."""
    out = bytearray()
    return attempt(lambda: into(out, data, identities), out)


def into(out: bytearray, data: bytes, identities: Sequence[Identity]) -> None:
    opened = open_header(data[:START], identities)
    with stream.unseal(blob.reading(data[START:]), opened.payload, opened.header.chunk, threads=2) as pieces:
        for piece in pieces:
            out.extend(piece)


def attempt(work: Callable[[], object], out: bytearray) -> Outcome:
    """Return what came of ``work``, which puts what it releases into ``out``."""
    try:
        work()
    except SealError as error:
        return Outcome(error.reason.value, error.code, bytes(out))
    return Outcome("", Exit.OK, bytes(out))


def to_place(data: bytes, identities: Sequence[Identity], folder: Path) -> tuple[Outcome, Path]:
    """Unseal from a file to a file or directory in ``folder``; return what came of it, and where it would be."""
    source, target = folder / "in.sealed", folder / "out"
    source.write_bytes(data)
    work = lambda: actions.unseal(str(source), str(target), identities, force=False, tick=lambda _: None)  # noqa: E731
    return attempt(work, bytearray()), target


def verified(data: bytes, identities: Sequence[Identity], folder: Path) -> str:
    """Return the reason that `seal verify` gives, empty where all is in order."""
    source = folder / "in.sealed"
    source.write_bytes(data)
    try:
        return actions.verify(str(source), identities, lambda _: None).reason or ""
    except SealError as error:
        return error.reason.value
