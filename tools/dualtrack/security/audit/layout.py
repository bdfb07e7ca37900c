"""Where the files of a trail lie, for who writes and who verifies."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from dualtrack.core.errors import BadInput
from dualtrack.core.files import check_own_folder, not_own, open_own, sync_path
from dualtrack.security.audit import record

#: The file of a segment: from 1 on.
SEGMENT = re.compile(r"(?!0{8})([0-9]{8})\.log")


class Place:
    """A trail's directory.

    segments/NNNNNNNN.log   the records of a segment, a line each
    heads.log               the segments' heads, a line each, signed
    root.pem                the public key of epoch 0; it counts only where it came another way
    keys/NNNNNN.pem         the private key of the present epoch, and nothing else

    None of them is a link: what is in another place is not this trail's. Whoever opens one does it here.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.heads, self.root, self.lock = folder / "heads.log", folder / "root.pem", folder / "lock"
        self.keys, self.segments = folder / "keys", folder / "segments"

    def segment(self, number: int) -> Path:
        """Return the file of a segment."""
        return self.segments / f"{number:08d}.log"

    def key(self, epoch: int) -> Path:
        """Return the file of an epoch's private key."""
        return self.keys / f"{epoch:06d}.pem"

    def head_lines(self) -> Iterator[bytes]:
        """Yield the lines of the file of heads, none where there is no file; the last one may be written just now."""
        try:
            file = self.open(self.heads)
        except FileNotFoundError:
            return
        with file:
            yield from lines(file)

    def open(self, path: Path) -> BinaryIO:
        """Open one of the trail's files to be read; FileNotFoundError where there is none, NotOwn for a link."""
        return os.fdopen(self.handle(path), "rb")

    def handle(self, path: Path, flags: int = os.O_RDONLY, mode: int = 0o600) -> int:
        """Return a handle of one of the trail's files, made with ``mode`` where ``flags`` say so."""
        return open_own(self.folder, path.relative_to(self.folder).as_posix(), flags, mode)

    def cut(self, path: Path, size: int) -> None:
        """Take off what a file has behind ``size`` bytes."""
        handle = self.handle(path, os.O_RDWR)
        try:
            os.ftruncate(handle, size)
            os.fsync(handle)
        finally:
            os.close(handle)

    def sync(self) -> None:
        """Bring the names in the trail's directories to the disk."""
        for path in (self.segments, self.folder):
            if path.exists():
                sync_path(path)

    def check_folders(self) -> None:
        """Refuse a trail whose directories are links, before anything is made in them."""
        for path in (self.segments, self.keys):
            check_own_folder(path)

    def has(self, number: int) -> bool:
        """Tell whether there is a file of a segment."""
        return self.size(self.segment(number)) is not None

    def size(self, path: Path) -> int | None:
        """Return how many bytes a file has, None where there is no regular one."""
        try:
            found = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def numbers(self) -> list[int]:
        """Return the segments that there are files of."""
        return sorted(int(name[:8]) for name, good in self._entries() if good)

    def strangers(self) -> list[str]:
        """Return what lies among the segments and is none: other names, directories, links."""
        return sorted(name for name, good in self._entries() if not good)

    def name(self) -> str:
        """Return the host's name; BadInput where no trail is, or the name is none."""
        try:
            with self.open(self.folder / "host") as file:
                found = re.fullmatch(rf"({record.HOST})\n", file.read(record.HEX * 8).decode("ascii"))
        except (OSError, UnicodeDecodeError) as error:
            if isinstance(error, OSError):
                raise BadInput(f"{self.folder} holds no trail", hint="dualtrack audit init") from None
            found = None
        if found is None:
            raise BadInput(f"the file host in {self.folder} is not a name of a host")
        return found[1]

    def _entries(self) -> list[tuple[str, bool]]:
        """Return the names among the segments, each with whether it is one's."""
        try:
            at = os.open(self.segments, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return []
        except NotADirectoryError:  # a link also
            raise not_own(self.segments, "directory") from None
        try:
            with os.scandir(at) as found:
                return [
                    (it.name, bool(SEGMENT.fullmatch(it.name)) and it.is_file(follow_symlinks=False)) for it in found
                ]
        finally:
            os.close(at)


def lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a file in bounded memory: one that is longer than any record comes in pieces."""
    while text := file.readline(record.LINE):
        yield text


def whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a file that somebody writes to: one that was whole by the time it was read comes whole."""
    for text in lines(file):
        if not text.endswith(b"\n") and len(text) < record.LINE:
            file.seek(-len(text), os.SEEK_CUR)  # the rest may have come since
            text = file.readline(record.LINE)
        yield text
