"""Parts side by side: each asked for, written to its place, checked, and put on record; tried again where that helps.

A thread a part, each with one buffer: memory does not grow with the size of anything. Digests are computed on the way
from the socket to the disk; what an earlier run has put on record is read back and checked before it counts.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

from dualtrack.core.errors import External
from dualtrack.core.retries import retried
from dualtrack.core.s3 import Again, until_next
from dualtrack.data.checkpoints import journal, manifest
from dualtrack.data.checkpoints.journal import Journal
from dualtrack.data.checkpoints.manifest import BLOCK, Manifest, Part
from dualtrack.data.checkpoints.plan import PullPlan
from dualtrack.data.checkpoints.remote import Remote

#: A part may take this long, and a second more for each of so many bytes: who sends slower has failed.
GRACE_S, SLOWEST = 60.0, 256 << 10


class Stopped(Exception):
    """Another part has failed for good: no use in going on."""


class Fetch:
    """The fetching of one version into its staging directory."""

    def __init__(
        self, remote: Remote, plan: PullPlan, folder: Path, *, jobs: int, tick: Callable[[int], object]
    ) -> None:
        self.remote, self.folder, self.jobs = remote, folder, jobs
        self.of, self.keys, self.sealed = plan.of, plan.keys, plan.sealed
        self._tick, self._lock, self._stop = tick, threading.Lock(), threading.Event()
        self._handles: list[int] = []
        self.digests: dict[tuple[int, int], str] = {}
        self.resumed = 0

    def run(self) -> Manifest:
        """Fetch what is missing; return the manifest with the digests of all parts. Raises External and Changed."""
        with self._opened():
            left = self._left()
            with Journal(self.folder / "journal", self._to_disk) as record:
                self._parallel(left, lambda part: self._one(part, record))
            for number in range(len(self.of.files)):
                os.fsync(self._handles[number])
        by_file: dict[int, dict[int, str]] = defaultdict(dict)
        for (file, index), digest in self.digests.items():
            by_file[file][index] = digest
        files = tuple(
            manifest.File(
                path=it.path,
                size=it.size,
                parts=tuple(by_file[n][i] for i in sorted(by_file[n])),
                etag=it.etag,
                version_id=it.version_id,
            )
            for n, it in enumerate(self.of.files)
        )
        return Manifest(schema=self.of.schema, part=self.of.part, files=files, pushed=self.of.pushed)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[None]:
        """Open every file at its full size, so that a disk that is too small says so at once."""
        try:
            for number, file in enumerate(self.of.files):
                path = self.folder / "files" / file.path
                path.parent.mkdir(parents=True, exist_ok=True)
                mode = 0o600 if number in self.sealed else 0o644
                handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
                self._handles.append(handle)
                os.ftruncate(handle, file.size)
                if file.size:
                    os.posix_fallocate(handle, 0, file.size)
            yield
        except OSError as error:
            raise External(
                f"{self.folder}: {error.strerror}", hint="dualtrack store gc --free SIZE makes room"
            ) from None
        finally:
            for handle in self._handles:
                os.close(handle)

    def _to_disk(self, file: int) -> None:
        os.fdatasync(self._handles[file])

    def _left(self) -> list[Part]:
        """Return the parts that are not here yet; those on record are read and checked first."""
        recorded = journal.read(self.folder / "journal")
        everything = list(manifest.parts(self.of))
        here = [part for part in everything if (part.file, part.index) in recorded]
        self._parallel(here, lambda part: self._again(part, recorded[part.file, part.index]))
        return [part for part in everything if (part.file, part.index) not in self.digests]

    def _again(self, part: Part, recorded: str) -> None:
        digest, buffer = hashlib.sha256(), memoryview(bytearray(min(BLOCK, part.size)))
        done = 0
        while done < part.size:
            count = os.preadv(self._handles[part.file], [buffer[: part.size - done]], part.begin + done)
            if not count:
                return
            digest.update(buffer[:count])
            done += count
        if digest.hexdigest() == recorded and recorded == (part.sha256 or recorded):
            with self._lock:
                self.digests[part.file, part.index] = recorded
                self.resumed += part.size
                self._tick(part.size)

    def _parallel(self, parts: list[Part], work: Callable[[Part], None]) -> None:
        """Do all parts, ``jobs`` at a time; the first failure ends the others, and is raised."""
        pool = ThreadPoolExecutor(self.jobs, thread_name_prefix="store")
        futures = [pool.submit(work, part) for part in parts]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:  # also by Ctrl-C
            if any(not it.done() or it.exception() for it in futures):
                self._stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
        for error in (it.exception() for it in futures if not it.cancelled()):
            if error is not None and not isinstance(error, Stopped):
                raise error

    def _one(self, part: Part, record: Journal) -> None:
        def once() -> str:
            if self._stop.is_set():
                raise Stopped
            return self._take(part)

        digest = retried(once, Again, until_next, self._stop.wait)
        with self._lock:
            self.digests[part.file, part.index] = digest
        record.add(part, digest)

    def _take(self, part: Part) -> str:
        """Bring one part to the disk and return its digest; Again for what was cut off, late, or not as pushed."""
        key, sealed = self.keys[part.file], self.sealed.get(part.file)
        file = sealed.file if sealed else self.of.files[part.file]
        begin, size = sealed.span(part) if sealed else (part.begin, part.size)
        stream = self.remote.body(key, file, begin, size)

        def read(view: memoryview) -> int:
            return self.remote.into(stream, view, key)

        digest, done, deadline = hashlib.sha256(), 0, time.monotonic() + GRACE_S + part.size / SLOWEST
        try:
            for data in sealed.content(part, read, key) if sealed else _plain(part, read, key):
                digest.update(data)
                _write(self._handles[part.file], data, part.begin + done)
                done += len(data)
                self._count(len(data))
                if self._stop.is_set():
                    raise Stopped
                if time.monotonic() > deadline:
                    raise Again(f"{key}: slower than {SLOWEST >> 10} KiB/s")
            found = digest.hexdigest()
            if part.sha256 and found != part.sha256:
                raise Again(f"{key}: bytes {part.begin} to {part.begin + part.size} are not what was pushed")
        except BaseException:
            self._count(-done)
            raise
        finally:
            stream.close()
        return found

    def _count(self, count: int) -> None:
        with self._lock:
            self._tick(count)


def _plain(part: Part, read: Callable[[memoryview], int], key: str) -> Iterator[memoryview]:
    """Yield a part as it comes, each piece valid until the next."""
    buffer, left = memoryview(bytearray(min(BLOCK, part.size))), part.size
    while left:
        count = read(buffer[:left])
        if count == 0:
            raise Again(f"{key}: the answer ended {left} bytes early")
        yield buffer[:count]
        left -= count


def _write(handle: int, data: memoryview, at: int) -> None:
    while data:
        count = os.pwrite(handle, data, at)
        data, at = data[count:], at + count
