"""What `dualtrack seal`, `unseal`, `seal verify`, `seal show` and `seal rekey` do, without their words."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dualtrack.core.errors import BadInput, Refused
from dualtrack.security.seal import atomic_output, stream
from dualtrack.security.seal import tar as tree
from dualtrack.security.seal.atomic_output import PIPE
from dualtrack.security.seal.chunks import EXPONENT, START
from dualtrack.security.seal.errors import Damaged, Reason, SealError
from dualtrack.security.seal.header import Content, Header
from dualtrack.security.seal.reader import SealedFile
from dualtrack.security.seal.slots import Identity, Recipient, name
from dualtrack.security.seal.unwrap import Opened, closed, copies, new, open_header

Tick = Callable[[int], None]


@dataclass(frozen=True)
class Summary:
    """What a header says: ``recipients`` are `sm2:ID` or `passphrase`; ``chunk`` is in bytes."""

    content: str
    chunk: int
    generation: int
    recipients: tuple[str, ...]


@dataclass(frozen=True)
class Check:
    """What `verify` found: ``verified`` bytes of content, in order, before the first that is not in order."""

    file: str
    ok: bool
    verified: int
    reason: str | None
    message: str
    chunk: int | None
    header: Summary


def seal(source: str, target: str, recipients: Sequence[Recipient], *, force: bool, tick: Tick,
         exponent: int = EXPONENT) -> int:  # fmt: skip
    """Seal a file, a directory or stdin; return how many bytes of content that was."""
    _apart(source, target)
    if target == PIPE and os.isatty(1):
        raise Refused("what is sealed is not text for this terminal", hint="-o FILE, or a pipe")
    is_folder = source != PIPE and Path(source).is_dir()
    opened = new(recipients, Content.FOLDER if is_folder else Content.BYTES, exponent)
    with _reading(source, is_folder, tick) as read, atomic_output.target(target, force=force, mode=_usual()) as write:
        for _ in (0, 1):
            write(memoryview(closed(opened)))
        return stream.seal(read, write, opened.payload, opened.header.chunk)


def unseal(source: str, target: str, identities: Sequence[Identity], *, force: bool, tick: Tick) -> Opened:
    """Unseal a file or stdin to a file, a directory or stdout; return its header.

    To a file or directory nothing is written that is not whole. To stdout each chunk goes once it is verified, and an
    error says when those that follow are not in order. A directory goes to stdout as the tar stream that it is.
    """
    _apart(source, target)
    with atomic_output.source(source, tick) as read:
        opened = open_header(_start(read), identities)
        with stream.unseal(read, opened.payload, opened.header.chunk) as pieces:
            if opened.header.content is Content.FOLDER and target != PIPE:
                with atomic_output.folder(target) as folder:
                    tree.restore(pieces, folder)
            else:
                with atomic_output.target(target, force=force, mode=0o600) as write:
                    for piece in pieces:
                        write(piece)
    return opened


def unseal_range(
    source: str, target: str, identities: Sequence[Identity], offset: int, length: int | None, *, force: bool
) -> Opened:
    """Unseal ``length`` bytes of a sealed file's content from ``offset`` on (all that follow without a length)."""
    if source == PIPE:
        raise BadInput("a range is read from a file, not from a pipe")
    with SealedFile(Path(source), identities) as file:
        if file.opened.header.content is Content.FOLDER:
            raise BadInput(f"{source} holds a directory; a range of it means nothing")
        length = max(0, file.size - offset) if length is None else length
        with (
            file.pieces(offset, length) as pieces,
            atomic_output.target(target, force=force, mode=0o600) as write,
        ):
            for piece in pieces:
                write(piece)
        return file.opened


def verify(source: str, identities: Sequence[Identity], tick: Tick) -> Check:
    """Read all of a sealed file and say whether it is as it was sealed; errors only for what cannot be checked."""
    with atomic_output.source(source, tick) as read:
        opened = open_header(_start(read), identities)
        verified, problem = 0, None
        try:
            with stream.unseal(read, opened.payload, opened.header.chunk) as pieces:
                for piece in pieces:
                    verified += len(piece)
        except SealError as error:
            problem = error
    if problem is None and not opened.twins:
        problem = Damaged(
            Reason.HEADER, "its content is whole, but the two copies of its header differ: one is damaged, or a rekey"
            " was interrupted", hint="dualtrack seal rekey writes both anew",
        )  # fmt: skip
    return Check(
        file=source,
        ok=problem is None,
        verified=verified,
        reason=problem.reason.value if problem else None,
        message=str(problem or "as it was sealed"),
        chunk=problem.chunk if problem else None,
        header=summary(opened.header),
    )


def show(path: Path) -> Summary:
    """Return what a file's header says, which nobody has verified: that takes a key."""
    try:
        with path.open("rb") as file:
            found = copies(file.read(START))
    except OSError as error:
        raise BadInput(f"cannot open {path}: {error.strerror}") from None
    headers = [item for item in found if isinstance(item, Header)]
    if not headers:
        raise next(item for item in found if isinstance(item, SealError))
    return summary(max(headers, key=lambda header: header.generation))


def summary(header: Header) -> Summary:
    """Return a header in words."""
    kind = "folder" if header.content is Content.FOLDER else "bytes"
    return Summary(kind, header.chunk, header.generation, tuple(name(slot) for slot in header.slots))


def length(source: str) -> int:
    """Return how many bytes there are to read, 0 where nobody knows."""
    try:
        return tree.size(Path(source)) if Path(source).is_dir() else Path(source).stat().st_size
    except OSError:
        return 0


@contextmanager
def _reading(source: str, is_folder: bool, tick: Tick) -> Iterator[stream.Read]:
    if not is_folder:
        with atomic_output.source(source, tick) as read:
            yield read
        return
    tar = tree.TarStream(Path(source))

    def read_tar(view: memoryview) -> int:
        got = tar.read(view)
        tick(got)
        return got

    yield read_tar


def _start(read: stream.Read) -> bytes:
    start = bytearray(START)
    with memoryview(start) as view:
        got = stream.fill(read, view)
    return bytes(start[:got])


def _usual() -> int:
    """Return the mode that new files get here: what is sealed may be read by others."""
    mask = os.umask(0o022)
    os.umask(mask)
    return 0o666 & ~mask


def _apart(source: str, target: str) -> None:
    """Refuse a target that is the source, or inside it."""
    if PIPE in (source, target):
        return
    here, there = Path(source).resolve(), Path(target).resolve()
    if here == there or here in there.parents:
        raise BadInput(f"the output {target} is in what is read, {source}", hint="write it elsewhere")
