"""Tells a gateway whether requests hold personal data, so that those stay in the country (`dualtrack pii screen`).

A connection is one question: the length of a request's body in eight bytes, then the body, which is JSON.
The answer is `0` where nothing is found in it, `1` where something is, or where it cannot be told. Whoever gets no
answer must take it for `1`. Nothing of a body is written anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket

from dualtrack.core.errors import BadInput, External
from dualtrack.knowledge.pii.worker import CLEAN, FOUND, LENGTH, Worker

#: Of a request's body; and seconds until it is there, and looked at.
MOST_BYTES, PATIENCE_S = 64 << 20, 15.0
#: Seconds until its length is there, which is sent at once: who sends none shall not keep a connection for long.
LENGTH_S = 2.0
#: Bytes of a body that is short: these never wait for long ones, which have a process of their own.
SHORT = 64 << 10


class Screen:
    """What answers: a process for short bodies, and one for long ones."""

    def __init__(self) -> None:
        """Begin without processes."""
        self.short, self.long = Worker(), Worker()

    async def start(self) -> None:
        """Start the processes and let them load what they need, before anybody waits. Raises External."""
        try:
            answers = await asyncio.gather(*(it.ask(b'""') for it in (self.short, self.long)))
        except OSError as error:
            raise External(f"no process can be started: {error.strerror or error}") from None
        if set(answers) != {CLEAN}:
            raise External("the processes that look at requests do not work")

    async def end(self) -> None:
        """End the processes."""
        for it in (self.short, self.long):
            await it.end()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one question, in time or not at all."""
        with contextlib.suppress(TimeoutError, OSError, EOFError):  # the caller takes no answer for `1`
            async with asyncio.timeout(PATIENCE_S):
                writer.write(await self._answer(reader))
                await writer.drain()
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        async with asyncio.timeout(LENGTH_S):
            size = int.from_bytes(await reader.readexactly(LENGTH))
        if size > MOST_BYTES:
            return FOUND
        worker = self.short if size <= SHORT else self.long
        return await worker.ask(await reader.readexactly(size))


#: The first file that systemd passes to a service (sd_listen_fds(3)).
PASSED = 3


def passed() -> socket.socket | None:
    """Return the socket that systemd has made for this process: nobody else can have its place, also while this one is
    away. None where it was started without one."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
        return None
    return socket.socket(fileno=PASSED)


async def _serve(address: str, port: int | None) -> None:
    # An exception of a signal handler would end any task that happens to run; the loop's own handler ends this one.
    if this := asyncio.current_task():
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    screen = Screen()
    try:
        if port is not None:
            server: asyncio.Server = await asyncio.start_server(screen.answer, address, port, backlog=1024)
        elif found := passed():
            server = await asyncio.start_unix_server(screen.answer, sock=found)
        else:
            raise BadInput("a port is missing, and systemd has passed no socket", hint="--port NUMBER")
    except OSError as error:
        raise External(f"nobody can be answered on {address}:{port}: {error.strerror or error}") from None
    async with server:
        try:
            await screen.start()
            await server.serve_forever()
        finally:
            await screen.end()


def serve(address: str, port: int | None) -> None:
    """Answer until the process is ended, at a port or at the socket that systemd has passed.

    External where the address, or a process, cannot be had; BadInput where there is neither.
    """
    try:
        asyncio.run(_serve(address, port))
    except asyncio.CancelledError:  # by SIGTERM, which has its default action again
        signal.raise_signal(signal.SIGTERM)
