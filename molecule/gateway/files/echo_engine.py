"""An engine without a model: knows that Paris is the capital of France, and lies while the file LIE is there."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lie: Path) -> None:
    """Answer every request of one connection."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            sizes = [int(it.partition(":")[2]) for it in head.split("\r\n") if it.lower().startswith("content-length:")]
            await reader.readexactly(sum(sizes))
            text = " London." if lie.exists() else " Paris."
            body = json.dumps({"choices": [{"text": text, "index": 0, "finish_reason": "length"}]}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body))
            writer.write(body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main(port: int, lie: Path) -> None:
    """Listen on loopback."""
    server = await asyncio.start_server(lambda reader, writer: serve(reader, writer, lie), "127.0.0.1", port)
    await server.serve_forever()


asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
