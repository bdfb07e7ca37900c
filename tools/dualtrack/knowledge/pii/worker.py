"""A process that looks at the bodies of requests, one after another, apart from the one that is asked.

It is asked on stdin as the service is on its port, the length in eight bytes and the body, and answers on stdout.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
import sys
from asyncio.subprocess import Process

from dualtrack.core import proc, processor_time
from dualtrack.core.errors import External
from dualtrack.knowledge.pii import matching
from dualtrack.knowledge.pii.body import holds

LENGTH, CLEAN, FOUND = 8, b"0", b"1"
#: Addresses that the process may have; what needs more counts as personal data.
MOST_MEMORY = 2 << 30
#: Seconds of processor time for a body, and bytes for each of which there is one more: what needs more counts as
#: personal data, too, so that nobody waits for a text that is made to take long. The slowest one that is known, mail
#: addresses alone, is looked at with 1.8 MB a second.
MOST_S, BYTES_A_SECOND = 1.0, 512 << 10


class Worker:
    """Such a process: started when it is asked, and anew when it has ended. Questions wait for their turn."""

    def __init__(self) -> None:
        """Begin without a process."""
        self._turn = asyncio.Lock()
        self._process: Process | None = None

    @property
    def pid(self) -> int | None:
        """The number of the process, where it has been started."""
        return self._process.pid if self._process else None

    @property
    def busy(self) -> bool:
        """Whether somebody has their turn."""
        return self._turn.locked()

    async def ask(self, body: bytes) -> bytes:
        """Return FOUND or CLEAN for a body; FOUND as well where the process ends meanwhile.

        Raises OSError where none can be started. Who waits no longer, cancels: then the process is ended, since its
        answer would be taken for that to the next question.
        """
        async with self._turn:
            to, answers = await self._started()
            try:
                with contextlib.suppress(OSError, EOFError):
                    to.write(len(body).to_bytes(LENGTH) + body)
                    await to.drain()
                    return await answers.readexactly(1)
            except BaseException:
                await self.end()
                raise
            await self.end()
            return FOUND

    async def end(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process:
            # Not `process.kill()`: that may collect the process itself, and asyncio then finds none and says so.
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
            await process.wait()
            if process.stdin:
                with contextlib.suppress(OSError):  # what it has not read
                    await process.stdin.wait_closed()

    async def _started(self) -> tuple[asyncio.StreamWriter, asyncio.StreamReader]:
        if self._process is None or self._process.returncode is not None:
            # What is found here is found there; on a host packages lie in several places. Ctrl-C is for this process.
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", __name__, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/",
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}, start_new_session=True,
            )  # fmt: skip
        if self._process.stdin is None or self._process.stdout is None:
            raise External("a process without pipes")  # none is started so
        return self._process.stdin, self._process.stdout


def main() -> None:
    """Answer until nobody asks any more, or who started this process has ended."""
    if not proc.end_with_parent(signal.SIGKILL):
        return
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    matching.prepare()  # not in the time of the first body
    while len(length := sys.stdin.buffer.read(LENGTH)) == LENGTH:
        size = int.from_bytes(length)
        body = sys.stdin.buffer.read(size)
        if len(body) < size:
            return
        processor_time.end_after(MOST_S + size / BYTES_A_SECOND)
        answer = FOUND if holds(body) else CLEAN
        processor_time.end_after(0)
        os.write(sys.stdout.fileno(), answer)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):  # nobody waits for the answer any more
        main()
