"""Give a sealed file other keys: its header is written anew, its content stays where it is.

There are two copies of the header. The one that was *not* opened is written first and synced, then the other: whenever
the work stops, at least one copy is whole, and the file opens with the old keys or with the new ones.

Each copy is made zero first, so that a write that was torn cannot be taken for two headers that somebody made of one
generation: with those, a file opens to one content for some and to another for others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from dualtrack.core.errors import BadInput, External, Refused
from dualtrack.core.files import lock
from dualtrack.security.seal.chunks import COPY, START
from dualtrack.security.seal.slots import Identity, Recipient
from dualtrack.security.seal.unwrap import Opened, closed, open_header, renewed

WriteAt = Callable[[bytes, int], None]  # writes at an offset, and returns when it is on the disk


def rekey(path: Path, identities: Sequence[Identity], recipients: Sequence[Recipient]) -> Opened:
    """Make ``recipients``, and nobody else, those who can open ``path``; return its new header.

    What was sealed stays sealed with the same data key: whoever kept a copy of the old file still opens that copy.
    """
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise BadInput(f"cannot open {path} to write to it: {error.strerror}") from None
    try:
        if not lock(file, wait=False):
            raise Refused(f"{path} is being given new keys by somebody else", hint="wait for them")
        old = open_header(os.pread(file, START, 0), identities)
        new = renewed(old, recipients)
        replace_copies(lambda data, place: _write_synced(file, data, place), new)
    except OSError as error:
        raise External(
            f"cannot write {path}: {error.strerror}", hint="it opens with its old keys or the new"
        ) from error
    finally:
        os.close(file)
    return new


def replace_copies(write: WriteAt, new: Opened) -> None:
    """Write both copies, the one that was opened last."""
    copy = closed(new)
    for number in (1 - new.copy, new.copy):
        write(bytes(COPY), number * COPY)
        write(copy, number * COPY)


def _write_synced(file: int, data: bytes, place: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(file, data[done:], place + done)
    os.fsync(file)
