"""Tells a gateway whether requests hold personal data, so that those stay in the country (`dualtrack pii screen`).

A connection on loopback is one question: the length of a request's body in eight bytes, then the body, which is JSON.
The answer is `0` where nothing is found in it, `1` where something is, or where it cannot be told. Whoever gets no
answer must take it for `1`. Nothing of a body is written anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib

from dualtrack.errors import External
from dualtrack.knowledge.pii import body as request
from dualtrack.knowledge.pii.scan import scan

#: Of a request's body; and seconds until it is there.
MOST_BYTES, PATIENCE_S = 64 << 20, 15.0


def holds(body: bytes) -> bool:
    """Tell whether a request holds personal data: in texts, numbers and names of its JSON, escapes resolved.

    Also where it is no JSON, or no text: what cannot be read cannot be called clean.
    """
    try:
        return bool(scan(request.text(body)))
    except (ValueError, RecursionError, MemoryError):
        return True


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(TimeoutError, OSError, EOFError):  # who asks takes no answer for `1`
        async with asyncio.timeout(PATIENCE_S):
            size = int.from_bytes(await reader.readexactly(8))
            found = size > MOST_BYTES or holds(await reader.readexactly(size))
            writer.write(b"1" if found else b"0")
            await writer.drain()
    writer.close()


async def _serve(address: str, port: int) -> None:
    try:
        server = await asyncio.start_server(_answer, address, port, backlog=1024)
    except OSError as error:
        raise External(f"nobody can be answered on {address}:{port}: {error.strerror or error}") from None
    async with server:
        await server.serve_forever()


def serve(address: str, port: int) -> None:
    """Answer until the process is ended; External where the address cannot be had."""
    holds(b'""')  # loads what it needs before anybody waits
    asyncio.run(_serve(address, port))
