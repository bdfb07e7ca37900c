"""Unsealing on the way: chunks of sealed files are verified and decrypted between the socket and the disk.

A sealed file's parts are cut at its chunks, so each is fetched, checked by its tags and written separately, in any
order, and an ended pull continues with the parts that are missing. The last chunk is verified first: it alone proves
how long the content is. The sealed bytes never lie on the disk, and nothing is read or written twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from dualtrack.core.errors import BadInput, Refused
from dualtrack.core.s3 import Again, Tampered, with_retries
from dualtrack.crypto import sm4
from dualtrack.crypto.kdf import PayloadKey
from dualtrack.crypto.sizes import TAG
from dualtrack.data.checkpoints import manifest as manifests
from dualtrack.data.checkpoints.address import Address
from dualtrack.data.checkpoints.cache import UNSEALED
from dualtrack.data.checkpoints.manifest import File, Manifest, Part
from dualtrack.data.checkpoints.plan import PullPlan
from dualtrack.data.checkpoints.remote import Remote
from dualtrack.security.seal import stream
from dualtrack.security.seal.chunks import START, Layout
from dualtrack.security.seal.errors import SealError
from dualtrack.security.seal.header import Content
from dualtrack.security.seal.pipeline import Piece
from dualtrack.security.seal.slots import Identity
from dualtrack.security.seal.unwrap import open_header

#: What sealed files of a checkpoint are called; their content is called the same without it.
SUFFIX = ".sealed"
#: Puts what comes into the view and returns how much; 0 at the end.
Read = Callable[[memoryview], int]


@dataclass(frozen=True)
class Sealed:
    """A sealed object, opened: where its chunks lie, and what they are verified and decrypted with."""

    file: File
    layout: Layout
    key: PayloadKey
    gcm: sm4.Gcm

    def span(self, part: Part) -> tuple[int, int]:
        """Return where in the object a part of the content lies: the first byte, and how many."""
        chunks = self.layout.touched(part.begin, part.size)
        begin, _ = self.layout.place(chunks[0])
        last, size = self.layout.place(chunks[-1])
        return begin, last + size - begin

    def content(self, part: Part, read: Read, name: str) -> Iterator[memoryview]:
        """Yield the verified content of a part, each piece valid until the next; Tampered for what is not as sealed."""
        data = bytearray(self.layout.chunk + TAG)
        for index in self.layout.touched(part.begin, part.size):
            _, size = self.layout.place(index)
            with memoryview(data) as view:
                if stream.fill(read, view[:size]) < size:
                    raise Again(f"{name}: the answer ended early")
            self.verify(Piece(index, index == self.layout.count - 1, size, data), name)
            with memoryview(data)[: size - TAG] as view:
                yield view

    def verify(self, piece: Piece, name: str) -> None:
        """Decrypt a chunk in place; Tampered when it is damaged, which may have happened on the way."""
        try:
            stream.open_piece(self.gcm, self.key.prefix, self.layout.chunk, piece)
        except SealError as error:
            raise Tampered(f"{name}: {error}") from None


def opened(remote: Remote, address: Address, of: Manifest, identities: Sequence[Identity], jobs: int) -> PullPlan:
    """Return the plan of a pull that opens what is sealed; NotOpened when no key fits, External for a damaged end."""
    keys = [remote.key(address, of, file) for file in of.files]
    numbers = [number for number, file in enumerate(of.files) if file.path.endswith(SUFFIX)]
    if not numbers:
        raise BadInput(f"nothing in {address} is called …{SUFFIX}", hint="pull it without a key")
    with ThreadPoolExecutor(jobs) as pool:
        found = list(pool.map(lambda it: _open(remote, keys[it], of.files[it], of.part, identities), numbers))
    sealed = dict(zip(numbers, found, strict=True))
    files = [
        File(
            path=file.path.removesuffix(SUFFIX),
            size=sealed[number].layout.size,
            etag=_pin(file),
            version_id=file.version_id,
        )
        if number in sealed
        else file
        for number, file in enumerate(of.files)
    ]
    shown = Manifest(schema=of.schema, part=of.part, files=tuple(files), pushed=of.pushed)
    # The same rules as for what was pushed: no name twice, none that is a directory, too.
    return PullPlan(manifests.decode(manifests.encode(shown), f"{address}, unsealed,"), keys, sealed, UNSEALED)


def _pin(file: File) -> str:
    """Return what tells a sealed object from every other one: its ETag, or the digests that it was pushed with."""
    return file.etag or (f"sha256:{hashlib.sha256(' '.join(file.parts).encode()).hexdigest()}" if file.parts else "")


def _start(bytes_of: Callable[[int, int], bytearray], file: File, part: int, key: str) -> bytes:
    """Return the bytes with an object's header; where digests are known it is the header that was pushed.

    Anybody can seal for a public key, so a header that opens is not proof of who sealed. The header has the key of all
    chunks, and who does not have that key makes no chunk that opens.
    """
    if not file.parts:
        return bytes(bytes_of(0, min(START, file.size)))

    def first() -> bytes:
        data = bytes_of(0, min(part, file.size))
        if hashlib.sha256(data).hexdigest() != file.parts[0]:
            raise Tampered(f"{key}: its first bytes are not what was pushed")
        return bytes(memoryview(data)[:START])

    return with_retries(first)


def _open(remote: Remote, key: str, file: File, part: int, identities: Sequence[Identity]) -> Sealed:
    def bytes_of(begin: int, size: int) -> bytearray:
        def read() -> bytearray:
            data, body = bytearray(size), remote.body(key, file, begin, size)
            try:
                with memoryview(data) as view:
                    if stream.fill(lambda rest: remote.into(body, rest, key), view) < size:
                        raise Again(f"{key}: the answer ended early")
            finally:
                body.close()
            return data

        return with_retries(read)

    try:
        opened = open_header(_start(bytes_of, file, part, key), identities)
        layout = Layout(opened.header.chunk, file.size)
    except SealError as error:
        raise type(error)(error.reason, f"{key}: {error}", chunk=error.chunk) from None
    if opened.header.content is Content.FOLDER:
        raise Refused(f"{key} is a sealed directory", hint="seal a checkpoint's files one by one, or pull it as it is")
    if part % layout.chunk:
        raise BadInput(f"{key} has chunks of {layout.chunk} bytes, which do not fit into parts of {part}")
    found = Sealed(file, layout, opened.payload, sm4.gcm(opened.payload.key))

    def last() -> None:
        index = layout.count - 1
        place, size = layout.place(index)
        data = bytes_of(place, size) + bytearray(layout.chunk + TAG - size)
        found.verify(Piece(index, True, size, data), key)

    with_retries(last)
    return found
