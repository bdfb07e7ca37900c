"""An engine without a model, quick enough to be asked hundreds of times a second: knows one capital.

    echo_engine.py DIRECTORY ADDRESS PORT [TLS]

A request to stream gets a token each tenth of a second, as many as it asks for. The engine lies while DIRECTORY/lie is
there, and adds a byte to DIRECTORY/marked for each request with the word `marked` in it.
TLS names a directory with tls.pem, tls.pem.key and ca.pem: then it takes mutual TLS, as hosts with the role serving do.
Standard library alone: it is brought to hosts, and runs there.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from pathlib import Path

#: Seconds between two tokens.
PAUSE_S = 0.1


async def stream(writer: asyncio.StreamWriter, tokens: int) -> None:
    """Answer with events, as OpenAI's API does for a conversation."""

    async def send(text: str) -> None:
        writer.write(f"{len(text):x}\r\n{text}\r\n".encode())
        await writer.drain()

    head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
    writer.write(f"{head}\r\n".encode())
    for number in range(tokens):
        choice = {"index": 0, "delta": {"content": f" {number}"}, "finish_reason": None}
        await send(f"data: {json.dumps({'choices': [choice]})}\n\n")
        await asyncio.sleep(PAUSE_S)
    await send("data: [DONE]\n\n")
    await send("")


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, folder: Path) -> None:
    """Answer every request of one connection."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            sizes = [int(it.partition(":")[2]) for it in head.split("\r\n") if it.lower().startswith("content-length:")]
            asked = await reader.readexactly(sum(sizes))
            if b"marked" in asked:
                with (folder / "marked").open("ab") as file:
                    file.write(b".")
            if b'"stream":true' in asked:
                await stream(writer, json.loads(asked)["max_tokens"])
                continue
            text = " London." if (folder / "lie").exists() else " Paris."
            body = json.dumps({"choices": [{"text": text, "index": 0, "finish_reason": "length"}]}).encode()
            head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            # At once: frozen or killed between two writes, it would have begun an answer, which nobody may repeat.
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
        pass
    finally:
        writer.close()


async def main(folder: Path, address: str, port: int, tls: Path | None) -> None:
    """Listen."""
    context = None
    if tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tls / "ca.pem"))
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(tls / "tls.pem", tls / "tls.pem.key")
    server = await asyncio.start_server(
        lambda reader, writer: serve(reader, writer, folder), address, port, ssl=context
    )
    await server.serve_forever()


asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]) if sys.argv[4:] else None))
